//go:build !soak

package command_test

// soak says whether the long sweeps run: go test -tags soak.
const soak = false
