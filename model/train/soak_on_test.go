//go:build soak

package train_test

const soak = true
