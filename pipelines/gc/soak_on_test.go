//go:build soak

package gc_test

const soak = true
