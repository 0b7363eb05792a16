package kernel

import "math"

// FMA returns a·b + c rounded once to float32, as the FMA instruction of a
// processor does.
//
// The product of two float32 is exact in float64, and the float64 sum rounded
// to float32 is the right answer, except where rounding twice could differ from
// rounding once: the float64 sum lies half-way between two float32, or below
// the normal range, where float32 has fewer bits.
func FMA(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	if roundsTwice(s) {
		return fmaOdd(p, float64(c), s)
	}
	return float32(s)
}

const (
	lowBits   = 1<<29 - 1   // float64 mantissa bits that float32 lacks
	tie       = 1 << 28     // those bits half-way between two float32
	minNormal = 0x381 << 53 // 2^-126 as float64, shifted left by one to lose the sign
)

// roundsTwice reports whether s may need fmaOdd.
func roundsTwice(s float64) bool {
	u := math.Float64bits(s)
	return u&lowBits == tie || u<<1 < minNormal
}

// fmaOdd rounds p + c to float32, where s is p + c rounded to float64. The
// exact error of s (Knuth's two-sum) moves s to the neighbour with an odd last
// bit when s is inexact: rounding to odd loses nothing that the second rounding
// needs (Boldo and Melquiond, 2008).
func fmaOdd(p, c, s float64) float32 {
	if s == 0 || math.IsInf(s, 0) || math.IsNaN(s) {
		return float32(s)
	}
	t := s - p
	e := (p - (s - t)) + (c - t)
	if u := math.Float64bits(s); e != 0 && u&1 == 0 {
		if (e > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float32(s)
}
