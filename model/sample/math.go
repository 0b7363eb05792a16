package sample

import "math"

const (
	expMin = -708 // smaller arguments give 0: no result is subnormal

	log2E = 1.4426950408889634
	ln2Hi = 0x1.62e42feep-1       // ln 2 in two parts; the first has 32 bits,
	ln2Lo = 0x1.a39ef35793c76p-33 // so that n·ln2Hi is exact

	// roundShift moves the fraction bits out of a float64: x + roundShift has
	// round(x) in its low mantissa bits, ties to even.
	roundShift = 3 << 51
)

// exp returns e^x for x <= 0 with a relative error below 2e-15, and 0 below
// expMin. It is Taylor's polynomial of degree 12 after a reduction to |r| <=
// ln2/2, where the next term is below 2e-16. The conversions round each product,
// so that no compiler fuses a product with a sum.
func exp(x float64) float64 {
	if !(x >= expMin) {
		return 0
	}
	t := float64(x*log2E) + roundShift
	n := t - roundShift
	r := x - float64(n*ln2Hi)
	r -= float64(n * ln2Lo)
	// Estrin's scheme: short chains of dependent operations.
	r2 := r * r
	r4 := float64(r2 * r2)
	a := 1.0/2 + float64(r*(1.0/6)) + float64(r2*(1.0/24+float64(r*(1.0/120))))
	b := 1.0/720 + float64(r*(1.0/5040)) + float64(r2*(1.0/40320+float64(r*(1.0/362880))))
	c := 1.0/3628800 + float64(r*(1.0/39916800)) + float64(r2*(1.0/479001600))
	p := a + float64(r4*(b+float64(r4*c)))
	p = 1 + (r + float64(r2*p))
	return float64(p * math.Float64frombits(math.Float64bits(t)<<52+0x3ff0000000000000))
}

// random is SplitMix64 (Steele, Lea and Flood, 2014) that begins at a hash of
// seed and stream: number i is a function of seed, stream and i alone.
type random uint64

const gamma = 0x9e3779b97f4a7c15

func newRandom(seed int64, stream uint64) random {
	start := random(seed)
	start = random(start.next() + stream)
	return random(start.next())
}

// next returns 64 random bits.
func (r *random) next() uint64 {
	*r += gamma
	x := uint64(*r)
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// uniform returns a multiple of 2^-53 in [0, 1).
func (r *random) uniform() float64 { return float64(r.next()>>11) * 0x1p-53 }
