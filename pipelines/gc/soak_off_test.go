//go:build !soak

package gc_test

// soak says that the tests are the long ones.
const soak = false
