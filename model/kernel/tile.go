package kernel

// tileGeneric is variant.tile in plain Go, for 4 columns.
func tileGeneric(r, k int, a []float32, ars, acs int, b, init []float32, irs int, c []float32, crs int) {
	for i := 0; i < r; i++ {
		dot4(k, a[i*ars:], acs, b, init[i*irs:i*irs+4], c[i*crs:i*crs+4])
	}
}

// dot4 computes four columns of a row: four sums side by side hide the latency
// of each.
func dot4(k int, a []float32, acs int, b, init, c []float32) {
	c0, c1, c2, c3 := float64(init[0]), float64(init[1]), float64(init[2]), float64(init[3])
	b = b[:4*k]
	for at := 0; len(b) >= 4; b, at = b[4:], at+acs {
		x := float64(a[at])
		p0, p1, p2, p3 := x*float64(b[0]), x*float64(b[1]), x*float64(b[2]), x*float64(b[3])
		s0, s1, s2, s3 := p0+c0, p1+c1, p2+c2, p3+c3
		if roundsTwice(s0) || roundsTwice(s1) || roundsTwice(s2) || roundsTwice(s3) {
			c0, c1 = float64(fmaOdd(p0, c0, s0)), float64(fmaOdd(p1, c1, s1))
			c2, c3 = float64(fmaOdd(p2, c2, s2)), float64(fmaOdd(p3, c3, s3))
			continue
		}
		c0, c1, c2, c3 = float64(float32(s0)), float64(float32(s1)), float64(float32(s2)), float64(float32(s3))
	}
	c[0], c[1], c[2], c[3] = float32(c0), float32(c1), float32(c2), float32(c3)
}

// peakGeneric runs the tile of plain Go on values that stay in the nearest
// cache, and returns the number of operations.
func peakGeneric() float64 {
	const k, times = 256, 64
	var a [k]float32
	var b [4 * k]float32
	var c [4]float32
	for range times {
		tileGeneric(1, k, a[:], 0, 1, b[:], c[:], 0, c[:], 0)
	}
	return 2 * 4 * k * times
}
