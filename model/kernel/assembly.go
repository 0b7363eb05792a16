//go:build (amd64 || arm64) && !purego

package kernel

//go:generate sh -c "cd _asm && go run . -variant avx2 -out ../avx2_amd64.s -stubs ../avx2_amd64.go -pkg kernel"
//go:generate sh -c "cd _asm && go run . -variant avx512 -out ../avx512_amd64.s -stubs ../avx512_amd64.go -pkg kernel"
//go:generate sh -c "cd _asm && go run ./neon -out ../neon_arm64.s -stubs ../neon_arm64.go"

// A tileFunc is a generated tile of a fixed number of rows. Strides are bytes.
type tileFunc func(k int, a *float32, ars, acs int, b, init *float32, irs int, c *float32, crs int)

// tiles returns the tile that calls list[r-1] for r rows. Assembly checks no
// lengths, so the tile does.
func tiles(list []tileFunc, cols int) tile {
	return func(r, k int, a []float32, ars, acs int, b, init []float32, irs int, c []float32, crs int) {
		_ = a[(r-1)*ars+(k-1)*acs]
		_ = b[k*cols-1]
		_ = init[(r-1)*irs+cols-1]
		_ = c[(r-1)*crs+cols-1]
		list[r-1](k, &a[0], 4*ars, 4*acs, &b[0], &init[0], 4*irs, &c[0], 4*crs)
	}
}

// peakLoops is the argument of the functions that measure a peak.
const peakLoops = 1 << 20
