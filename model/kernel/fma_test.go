package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// exactFMA rounds a·b + c once, by arbitrary precision.
func exactFMA(a, b, c float32) float32 {
	x := new(big.Float).SetPrec(2000).SetFloat64(float64(a))
	x.Mul(x, new(big.Float).SetPrec(2000).SetFloat64(float64(b)))
	x.Add(x, new(big.Float).SetPrec(2000).SetFloat64(float64(c)))
	f, _ := x.Float32()
	return f
}

func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func TestFMA(t *testing.T) {
	for _, c := range []struct{ a, b, c float32 }{
		{1 + 0x1p-12, 1 + 0x1p-12, 0x1p-60},  // just above half-way: rounding twice goes down
		{1 + 0x1p-12, 1 + 0x1p-12, -0x1p-60}, // just below
		{1 + 0x1p-12, 1 - 0x1p-12, 0x1p-24},  // exact tie
		{0x1p-100, 0x1p-49, 0x1p-149},        // the smallest subnormal
		{0x1.8p-100, 0x1p-50, 0x1p-149},      // half-way between subnormals
		{0x1.8p-100, 0x1.000002p-50, 0},      // just above
		{0x1.fffffep127, 1, 0x1p102},         // just short of overflow
		{0x1.fffffep127, 1, 0x1p103},         // overflow by a tie
		{0x1.fffffep127, 2, -0x1.fffffep127}, // overflow only in between
		{0, 5, -3}, {3, 5, -15}, {-1, 0x1p-149, 0x1p-149},
	} {
		if got, want := FMA(c.a, c.b, c.c), exactFMA(c.a, c.b, c.c); !sameBits(got, want) {
			t.Errorf("FMA(%x, %x, %x) = %x, want %x", c.a, c.b, c.c, got, want)
		}
	}
	if got := FMA(float32(math.Inf(1)), 1, float32(math.Inf(-1))); got == got {
		t.Errorf("Inf - Inf = %g, want NaN", got)
	}
}

// TestFMARandom draws the mantissas that make half-way cases likely.
func TestFMARandom(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 9))
	draw := func() float32 {
		mantissa := r.Uint32() & 0x7fffff
		if r.IntN(2) == 0 {
			mantissa &= 0x7ff000 >> r.IntN(8)
		}
		exp := uint32(127 - 40 + r.IntN(80))
		if r.IntN(8) == 0 {
			exp = uint32(r.IntN(255))
		}
		return math.Float32frombits(r.Uint32()&(1<<31) | exp<<23 | mantissa)
	}
	for range 300_000 {
		a, b, c := draw(), draw(), draw()
		if got, want := FMA(a, b, c), exactFMA(a, b, c); !sameBits(got, want) && want != 0 {
			t.Fatalf("FMA(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}
