//go:build !soak

package serve_test

const soak = false
