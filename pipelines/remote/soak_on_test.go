//go:build soak

package remote_test

const soak = true
