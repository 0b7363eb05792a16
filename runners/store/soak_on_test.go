//go:build soak

package store_test

const soak = true
