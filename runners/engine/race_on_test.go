//go:build race

package engine

// raced is whether the race detector is on.
const raced = true
