//go:build !soak

package store_test

// soak says whether the long sweeps run: go test -tags soak.
const soak = false
