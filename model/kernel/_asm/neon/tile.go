package main

import "fmt"

// Sizes of the largest tile: 24 accumulators, 4 vectors of b and 4 values of a fill the
// 32 vector registers.
const (
	tileRows = 6
	tileVecs = 4 // of columns
)

// tile emits the product of r rows with a panel of four vectors' columns: the
// accumulators stay in registers while k goes up.
func (f *file) tile(r int) {
	f.begin(fmt.Sprintf("tile%d", r), fmt.Sprintf("is tile for r = %d; strides are bytes.", r), "",
		"k int", "a *float32", "ars, acs int", "b, init *float32", "irs int", "c *float32", "crs int")
	fn := f.fn
	acc := func(i, j int) int { return tileVecs*i + j }
	const b, value = tileVecs * tileRows, tileVecs*tileRows + tileVecs

	init, irs := fn.load("init"), fn.load("irs")
	for i := range r {
		fn.pair("ldp", acc(i, 0), init, 0, false)
		fn.pair("ldp", acc(i, 2), init, 32, false)
		fn.next(i < r-1, init, irs)
	}
	fn.gp = 0
	k, rows := fn.load("k"), []int{fn.load("a")}
	ars, acs, panel, off := fn.load("ars"), fn.load("acs"), fn.load("b"), fn.free()
	for i := 1; i < r; i++ {
		rows = append(rows, fn.free())
		fn.emit("ADD R%d, R%d, R%d", ars, rows[i-1], rows[i])
	}
	fn.emit("MOVD $0, R%d", off)
	fn.label("loop")
	fn.pair("ldp", b, panel, 32, true)
	fn.pair("ldp", b+2, panel, 32, true)
	for i := range r {
		v := value + i%4
		fn.word(0xbc606800|uint32(off)<<16|uint32(rows[i])<<5|uint32(v), "ldr s%d, [x%d, x%d]", v, rows[i], off)
		for j := range tileVecs {
			fn.word(0x4f801000|uint32(v)<<16|uint32(b+j)<<5|uint32(acc(i, j)), "fmla v%d.4s, v%d.4s, v%d.s[0]", acc(i, j), b+j, v)
		}
	}
	fn.emit("ADD R%d, R%d, R%d", acs, off, off)
	fn.emit("SUBS $1, R%d, R%d", k, k)
	fn.emit("BNE loop")

	fn.gp = 0
	c, crs := fn.load("c"), fn.load("crs")
	for i := range r {
		fn.pair("stp", acc(i, 0), c, 0, false)
		fn.pair("stp", acc(i, 2), c, 32, false)
		fn.next(i < r-1, c, crs)
	}
	f.end()
}

// pair loads (ldp) or stores (stp) vectors v and v+1 at p and an offset. With post it is at
// p, which then goes up by the offset.
func (f *function) pair(op string, v, p, offset int, post bool) {
	word, address := uint32(0xad000000), fmt.Sprintf("[x%d, #%d]", p, offset)
	if post {
		word, address = 0xac800000, fmt.Sprintf("[x%d], #%d", p, offset)
	}
	if op == "ldp" {
		word |= 1 << 22
	}
	f.word(word|uint32(offset/vector)<<15|uint32(v+1)<<10|uint32(p)<<5|uint32(v), "%s q%d, q%d, %s", op, v, v+1, address)
}

// next moves a pointer to the next row, where there is one.
func (f *function) next(more bool, p, stride int) {
	if more {
		f.emit("ADD R%d, R%d, R%d", stride, p, p)
	}
}

// peak emits a loop of independent fused multiply-adds without memory. A processor that
// begins four in a cycle, and ends them four cycles later, needs 16 of them.
func (f *file) peak() {
	const chains = 24
	f.begin("peak", fmt.Sprintf("does n times %d vectors' fused multiply-adds.", chains), "", "n int")
	fn := f.fn
	n := fn.load("n")
	for v := range chains + 2 {
		fn.word(0x4f000400|uint32(v), "movi v%d.4s, #0", v)
	}
	fn.label("loop")
	for v := range chains {
		fn.word(0x4e20cc00|(chains+1)<<16|chains<<5|uint32(v), "fmla v%d.4s, v%d.4s, v%d.4s", v, chains, chains+1)
	}
	fn.emit("SUBS $1, R%d, R%d", n, n)
	fn.emit("BNE loop")
	f.end()
}

// sumSquares emits 16 sums in float64, two in a vector, and adds those half the lanes apart.
func (f *file) sumSquares() {
	f.begin("sumSquares", "is sumSquares for n values, a multiple of 16.", "float64", "n int", "src *float32")
	fn := f.fn
	n, src := fn.load("n"), fn.load("src")
	const sums, in, wide = 8, 8, 16 // registers 0 … 7 add, 8 … 11 have values, 16 … 23 have them in float64
	for v := range sums {
		fn.word(0x4f000400|uint32(v), "movi v%d.4s, #0", v)
	}
	fn.emit("CBZ R%d, done", n)
	fn.label("loop")
	fn.pair("ldp", in, src, 32, true)
	fn.pair("ldp", in+2, src, 32, true)
	for v := range sums {
		word, name, half := uint32(0x0e617800), "fcvtl", "2s"
		if v%2 == 1 {
			word, name, half = 0x4e617800, "fcvtl2", "4s"
		}
		fn.word(word|uint32(in+v/2)<<5|uint32(wide+v), "%s v%d.2d, v%d.%s", name, wide+v, in+v/2, half)
		fn.word(0x4e60cc00|uint32(wide+v)<<16|uint32(wide+v)<<5|uint32(v), "fmla v%d.2d, v%d.2d, v%d.2d", v, wide+v, wide+v)
	}
	fn.emit("SUBS $16, R%d, R%d", n, n)
	fn.emit("BNE loop")
	fn.label("done")
	for half := sums / 2; half > 0; half /= 2 {
		for v := range half {
			fn.word(0x4e60d400|uint32(v+half)<<16|uint32(v)<<5|uint32(v), "fadd v%d.2d, v%d.2d, v%d.2d", v, v, v+half)
		}
	}
	fn.word(0x7e70d800, "faddp d0, v0.2d")
	fn.emit("FMOVD F0, ret+%d(FP)", fn.params["ret"].at)
	f.end()
}
