//go:build !soak

package remote_test

// soak says whether the long tests run: go test -tags soak.
const soak = false
