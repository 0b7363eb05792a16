package ptx

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestFloatForms has the bits of exact results, rounded once, as rational arithmetic in
// Python gives them: halves, sums and products that rounding twice gets wrong, subnormal
// numbers, and what overflows.
func TestFloatForms(t *testing.T) {
	checkRows(t, []row{
		{"add.rn.f32 %f0, %f1, %f2", []uint64{0x3F800000, 0x33800000}, 0x3F800000},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{0x3F800001, 0x33800000}, 0x3F800002},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{0x7F7FFFFF, 0x73000000}, 0x7F800000},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{0x00000001, 0x007FFFFF}, 0x00800000},
		{"sub.rn.f32 %f0, %f1, %f2", []uint64{0x3F800000, 0x33000000}, 0x3F800000},
		{"sub.rn.f32 %f0, %f1, %f2", []uint64{0x3F800000, 0x32800000}, 0x3F800000},
		{"sub.rn.f32 %f0, %f1, %f2", []uint64{0x00800000, 0x00000001}, 0x007FFFFF},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{0x3F800001, 0x3F800001}, 0x3F800002},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{0x00800001, 0x3F000000}, 0x00400000},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{0x20000000, 0x1F800001}, 0x00400000},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{0x7F000000, 0x40000000}, 0x7F800000},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{0x3F800000, 0x40400000}, 0x3EAAAAAB},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{0xC0000000, 0x40400000}, 0xBF2AAAAB},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{0x00000003, 0x40000000}, 0x00000002},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{0x00800000, 0x3F800001}, 0x007FFFFF},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{0x3F800800, 0x3F800800, 0x21800000}, 0x3F801001},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{0x3F800800, 0x3F800800, 0xA1800000}, 0x3F801000},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{0x3F800001, 0x3F7FFFFF, 0xBF800000}, 0x337FFFFE},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{0x00000003, 0x3F000000, 0x00000000}, 0x00000002},
		{"add.rn.f64 %fd0, %fd1, %fd2", []uint64{0x3FF0000000000000, 0x3CA0000000000000}, 0x3FF0000000000000},
		{"add.rn.f64 %fd0, %fd1, %fd2", []uint64{0x3FF0000000000001, 0x3CA0000000000000}, 0x3FF0000000000002},
		{"sub.rn.f64 %fd0, %fd1, %fd2", []uint64{0x3FF0000000000000, 0x3C90000000000000}, 0x3FF0000000000000},
		{"sub.rn.f64 %fd0, %fd1, %fd2", []uint64{0x0010000000000000, 0x0000000000000001}, 0x000FFFFFFFFFFFFF},
		{"mul.rn.f64 %fd0, %fd1, %fd2", []uint64{0x3FF0000000000001, 0x3FF0000000000001}, 0x3FF0000000000002},
		{"mul.rn.f64 %fd0, %fd1, %fd2", []uint64{0x0010000000000001, 0x3FE0000000000000}, 0x0008000000000000},
		{"div.rn.f64 %fd0, %fd1, %fd2", []uint64{0x3FF0000000000000, 0x4008000000000000}, 0x3FD5555555555555},
		{"div.rn.f64 %fd0, %fd1, %fd2", []uint64{0x0000000000000003, 0x4000000000000000}, 0x0000000000000002},
		{"fma.rn.f64 %fd0, %fd1, %fd2, %fd3", []uint64{0x3FF0000000000001, 0x3FEFFFFFFFFFFFFF, 0xBFF0000000000000}, 0x3C9FFFFFFFFFFFFE},
		{"fma.rn.f64 %fd0, %fd1, %fd2, %fd3", []uint64{0x3FF0000004000000, 0x3FF0000004000000, 0x3000000000000000}, 0x3FF0000008000001},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0x40000000}, 0x3FB504F3},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0x3F7FFFFF}, 0x3F7FFFFF},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0x00000001}, 0x1A3504F3},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0x00800001}, 0x20000000},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0x40400000}, 0x3FDDB3D7},
		{"sqrt.rn.f64 %fd0, %fd1", []uint64{0x4000000000000000}, 0x3FF6A09E667F3BCD},
		{"sqrt.rn.f64 %fd0, %fd1", []uint64{0x3FEFFFFFFFFFFFFF}, 0x3FEFFFFFFFFFFFFF},
		{"sqrt.rn.f64 %fd0, %fd1", []uint64{0x4008000000000000}, 0x3FFBB67AE8584CAA},
		{"rcp.rn.f32 %f0, %f1", []uint64{0x40400000}, 0x3EAAAAAB},
		{"rcp.rn.f32 %f0, %f1", []uint64{0x3F800001}, 0x3F7FFFFE},
		{"rcp.rn.f32 %f0, %f1", []uint64{0x7F000001}, 0x00400000},
		{"cvt.rn.f32.s32 %f0, %r1", []uint64{0x01000001}, 0x4B800000},
		{"cvt.rn.f32.s32 %f0, %r1", []uint64{0xFEFFFFFD}, 0xCB800002},
		{"cvt.rn.f32.s32 %f0, %r1", []uint64{0x7FFFFFFF}, 0x4F000000},
		{"cvt.rn.f32.u32 %f0, %r1", []uint64{0xFFFFFFFF}, 0x4F800000},
		{"cvt.rn.f32.u32 %f0, %r1", []uint64{0x01000003}, 0x4B800002},
		{"cvt.rn.f32.u64 %f0, %rd1", []uint64{0x8000008000000001}, 0x5F000001},
		{"cvt.rn.f32.u64 %f0, %rd1", []uint64{0x8000008000000000}, 0x5F000000},
		{"cvt.rn.f32.u64 %f0, %rd1", []uint64{0xFFFFFFFFFFFFFFFF}, 0x5F800000},
		{"cvt.rn.f32.s64 %f0, %rd1", []uint64{0xBFFFFFBFFFFFFFFF}, 0xDE800001},
		{"cvt.rn.f64.s32 %fd0, %r1", []uint64{0xFFFFFFFD}, 0xC008000000000000},
		{"cvt.rn.f64.u64 %fd0, %rd1", []uint64{0xFFFFFFFFFFFFFFFF}, 0x43F0000000000000},
		{"cvt.rn.f64.u64 %fd0, %rd1", []uint64{0x0020000000000001}, 0x4340000000000000},
		{"cvt.rn.f64.s64 %fd0, %rd1", []uint64{0xFFDFFFFFFFFFFFFD}, 0xC340000000000002},
		{"cvt.rn.f32.f64 %f0, %fd1", []uint64{0x3FF0000010000000}, 0x3F800000},
		{"cvt.rn.f32.f64 %f0, %fd1", []uint64{0x3FF0000030000000}, 0x3F800002},
		{"cvt.rn.f32.f64 %f0, %fd1", []uint64{0x36A0000000000001}, 0x00000001},
		{"cvt.rn.f32.f64 %f0, %fd1", []uint64{0x47EFFFFFF0000000}, 0x7F800000},
		{"cvt.f64.f32 %fd0, %f1", []uint64{0x00000001}, 0x36A0000000000000},
		{"cvt.f64.f32 %fd0, %f1", []uint64{0x3FC00000}, 0x3FF8000000000000},
	})
}

// TestFloatSpecials has what PTX says of zeros, infinities and what is not a number.
func TestFloatSpecials(t *testing.T) {
	const (
		one, zero, minus0 = 0x3F800000, 0, 0x80000000
		inf, minusInf     = 0x7F800000, 0xFF800000
		nan, none         = 0xFFC12345, 0x7FFFFFFF
	)
	checkRows(t, []row{
		{"add.rn.f32 %f0, %f1, %f2", []uint64{nan, one}, none},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{inf, minusInf}, none},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{minus0, minus0}, minus0},
		{"add.rn.f32 %f0, %f1, %f2", []uint64{minus0, zero}, zero},
		{"sub.rn.f32 %f0, %f1, %f2", []uint64{inf, inf}, none},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{inf, zero}, none},
		{"mul.rn.f32 %f0, %f1, %f2", []uint64{minus0, one}, minus0},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{one, minus0}, minusInf},
		{"div.rn.f32 %f0, %f1, %f2", []uint64{zero, zero}, none},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{inf, zero, one}, none},
		{"fma.rn.f32 %f0, %f1, %f2, %f3", []uint64{zero, zero, minus0}, zero},
		{"sqrt.rn.f32 %f0, %f1", []uint64{0xBF800000}, none},
		{"sqrt.rn.f32 %f0, %f1", []uint64{minus0}, minus0},
		{"rcp.rn.f32 %f0, %f1", []uint64{minus0}, minusInf},
		{"rcp.rn.f64 %fd0, %fd1", []uint64{0x8000000000000000}, 0xFFF0000000000000},
		{"rcp.rn.f64 %fd0, %fd1", []uint64{0x4000000000000000}, 0x3FE0000000000000},
		{"neg.f32 %f0, %f1", []uint64{one}, 0xBF800000},
		{"neg.f32 %f0, %f1", []uint64{0}, minus0},
		{"neg.f64 %fd0, %fd1", []uint64{0}, 0x8000000000000000},
		{"abs.f32 %f0, %f1", []uint64{minusInf}, inf},
		{"abs.f64 %fd0, %fd1", []uint64{0xBFF0000000000000}, 0x3FF0000000000000},
		{"min.f32 %f0, %f1, %f2", []uint64{zero, minus0}, minus0},
		{"min.f32 %f0, %f1, %f2", []uint64{minus0, zero}, minus0},
		{"min.f32 %f0, %f1, %f2", []uint64{nan, one}, one},
		{"min.f32 %f0, %f1, %f2", []uint64{one, nan}, one},
		{"min.f32 %f0, %f1, %f2", []uint64{nan, nan}, none},
		{"max.f32 %f0, %f1, %f2", []uint64{minus0, zero}, zero},
		{"max.f32 %f0, %f1, %f2", []uint64{one, inf}, inf},
		{"max.f32 %f0, %f1, %f2", []uint64{nan, minusInf}, minusInf},
		{"min.f64 %fd0, %fd1, %fd2", []uint64{0x4000000000000000, 0x3FF0000000000000}, 0x3FF0000000000000},
		{"max.f64 %fd0, %fd1, %fd2", []uint64{0x4000000000000000, 0x3FF0000000000000}, 0x4000000000000000},
		{"cvt.rn.f32.f64 %f0, %fd1", []uint64{0xFFF8000000000000}, none},
		{"selp.f32 %f0, %f1, %f2, %p3", []uint64{nan, one, 1}, nan},
		{"selp.f64 %fd0, %fd1, %fd2, %p3", []uint64{7, 9, 0}, 9},
		{"mov.f32 %f0, %f1", []uint64{nan}, nan},
		{"mov.f64 %fd0, %fd1", []uint64{0xFFF8000000000001}, 0xFFF8000000000001},
	})
}

// TestToInteger has the rules of cvt: a mode of rounding, the nearest value of the type
// for what is outside, and for what is not a number 0, or the highest bit where a side
// has 64 bits.
func TestToInteger(t *testing.T) {
	const half, oneAndHalf, twoAndHalf = 0x3F000000, 0x3FC00000, 0x40200000
	const minusOneAndHalf, nan, inf = 0xBFC00000, 0x7FC00000, 0x7F800000
	checkRows(t, []row{
		{"cvt.rni.s32.f32 %r0, %f1", []uint64{half}, 0},
		{"cvt.rni.s32.f32 %r0, %f1", []uint64{oneAndHalf}, 2},
		{"cvt.rni.s32.f32 %r0, %f1", []uint64{twoAndHalf}, 2},
		{"cvt.rni.s32.f32 %r0, %f1", []uint64{minusOneAndHalf}, 0xFFFFFFFE},
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{minusOneAndHalf}, 0xFFFFFFFF},
		{"cvt.rmi.s32.f32 %r0, %f1", []uint64{minusOneAndHalf}, 0xFFFFFFFE},
		{"cvt.rpi.s32.f32 %r0, %f1", []uint64{minusOneAndHalf}, 0xFFFFFFFF},
		{"cvt.rpi.s32.f32 %r0, %f1", []uint64{half}, 1},
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{0x4F000000}, 0x7FFFFFFF}, // 2^31
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{0x4EFFFFFF}, 0x7FFFFF80},
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{0xCF000000}, 0x80000000},
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{0xCF000001}, 0x80000000},
		{"cvt.rzi.s32.f32 %r0, %f1", []uint64{nan}, 0},
		{"cvt.rzi.u32.f32 %r0, %f1", []uint64{minusOneAndHalf}, 0},
		{"cvt.rzi.u32.f32 %r0, %f1", []uint64{inf}, 0xFFFFFFFF},
		{"cvt.rzi.u32.f32 %r0, %f1", []uint64{0x4F7FFFFF}, 0xFFFFFF00},
		{"cvt.rzi.u32.f32 %r0, %f1", []uint64{nan}, 0},
		{"cvt.rzi.s64.f32 %rd0, %f1", []uint64{nan}, 0x8000000000000000},
		{"cvt.rzi.u64.f32 %rd0, %f1", []uint64{nan}, 0x8000000000000000},
		{"cvt.rzi.u64.f32 %rd0, %f1", []uint64{0x5F000000}, 0x8000000000000000}, // 2^63
		{"cvt.rzi.u64.f32 %rd0, %f1", []uint64{inf}, 0xFFFFFFFFFFFFFFFF},
		{"cvt.rzi.s64.f32 %rd0, %f1", []uint64{0x5F000000}, 0x7FFFFFFFFFFFFFFF},
		{"cvt.rzi.s32.f64 %r0, %fd1", []uint64{0x7FF8000000000000}, 0x80000000},
		{"cvt.rzi.s32.f64 %r0, %fd1", []uint64{0xC1DFFFFFFFFFFFFF}, 0x80000001}, // just above -2^31
		{"cvt.rzi.u32.f64 %r0, %fd1", []uint64{0x7FF8000000000000}, 0x80000000},
		{"cvt.rni.s64.f64 %rd0, %fd1", []uint64{0x4004000000000000}, 2}, // 2.5
		{"cvt.rzi.s16.f32 %rs0, %f1", []uint64{0x47800000}, 0x7FFF},     // 65536
		{"cvt.rzi.u16.f32 %rs0, %f1", []uint64{0x47800000}, 0xFFFF},
		{"cvt.rzi.s8.f32 %rs0, %f1", []uint64{0xC3800000}, 0xFF80}, // -256
		{"cvt.rni.f32.f32 %f0, %f1", []uint64{twoAndHalf}, 0x40000000},
		{"cvt.rni.f32.f32 %f0, %f1", []uint64{0xBE99999A}, 0x80000000},
		{"cvt.rzi.f32.f32 %f0, %f1", []uint64{minusOneAndHalf}, 0xBF800000},
		{"cvt.rmi.f32.f32 %f0, %f1", []uint64{minusOneAndHalf}, 0xC0000000},
		{"cvt.rpi.f32.f32 %f0, %f1", []uint64{oneAndHalf}, 0x40000000},
		{"cvt.rmi.f64.f64 %fd0, %fd1", []uint64{0xBFF8000000000000}, 0xC000000000000000},
	})
}

// TestRounding compares operations of random numbers, subnormal ones among them, with
// arithmetic of 2400 bits that is rounded once.
func TestRounding(t *testing.T) {
	const precision = 2400 // the sum of the largest and the smallest product of float64 has 4200; what is dropped is no half
	exact := map[string]func(z *big.Float, x []*big.Float){
		"add.rn":  func(z *big.Float, x []*big.Float) { z.Add(x[0], x[1]) },
		"sub.rn":  func(z *big.Float, x []*big.Float) { z.Sub(x[0], x[1]) },
		"mul.rn":  func(z *big.Float, x []*big.Float) { z.Mul(x[0], x[1]) },
		"div.rn":  func(z *big.Float, x []*big.Float) { z.Quo(x[0], x[1]) },
		"fma.rn":  func(z *big.Float, x []*big.Float) { z.Mul(x[0], x[1]).Add(z, x[2]) },
		"sqrt.rn": func(z *big.Float, x []*big.Float) { z.Sqrt(x[0].Abs(x[0])) },
	}
	r := rand.New(rand.NewPCG(5, 6))
	for name, f := range exact {
		for range 3000 {
			var narrow, wide [3]uint64
			var x, y []*big.Float
			for i := range 3 {
				// Exponents near to one another, so that sums cancel; some near the smallest.
				e := 20 + r.IntN(30)
				if r.IntN(4) == 0 {
					e = r.IntN(3)
				}
				narrow[i] = r.Uint64()&0x807FFFFF | uint64(e)<<23
				wide[i] = r.Uint64()&0x800FFFFFFFFFFFFF | uint64(e)<<52
				if name == "sqrt.rn" {
					narrow[i], wide[i] = narrow[i]&0x7FFFFFFF, wide[i]&0x7FFFFFFFFFFFFFFF
				}
				x = append(x, new(big.Float).SetPrec(precision).SetFloat64(float64(f32(narrow[i]))))
				y = append(y, new(big.Float).SetPrec(precision).SetFloat64(f64(wide[i])))
			}
			if (narrow[1]|wide[1])<<1 == 0 || x[1].Sign() == 0 || y[1].Sign() == 0 {
				continue
			}
			z := new(big.Float).SetPrec(precision)
			f(z, x)
			want, _ := z.Float32()
			if got := call(name+".f32", narrow); got != uint64(math.Float32bits(want)) && z.Sign() != 0 {
				t.Fatalf("%s.f32 of %#x: %#x, want %#x", name, narrow, got, math.Float32bits(want))
			}
			f(z, y)
			if want, _ := z.Float64(); call(name+".f64", wide) != math.Float64bits(want) && z.Sign() != 0 {
				t.Fatalf("%s.f64 of %#x: %#x, want %#x", name, wide, call(name+".f64", wide), math.Float64bits(want))
			}
		}
	}
}

// call executes an operation of registers.
func call(name string, x [3]uint64) uint64 {
	switch f := operations[name].(type) {
	case func(a uint64) uint64:
		return f(x[0])
	case func(a, b uint64) uint64:
		return f(x[0], x[1])
	default:
		return f.(func(a, b, c uint64) uint64)(x[0], x[1], x[2])
	}
}
