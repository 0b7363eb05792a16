package kernel

import "math"

const (
	expMax = 88.375 // larger arguments give Exp(expMax), about 2.4e38
	expMin = -87    // smaller arguments give 0: no result is subnormal

	log2E = 1.44269504
	ln2Hi = 0.693359375    // ln 2 in two parts; the first has 9 bits,
	ln2Lo = -2.12194440e-4 // so that n·ln2Hi is exact

	// roundShift moves the fraction bits out of a float32: x + roundShift
	// has round(x) in its low mantissa bits, ties to even.
	roundShift = 3 << 22
)

// Minimax coefficients (Remez) of (eʳ-1-r)/r² on |r| <= ln2/2, relative error
// of the whole 3.1e-9, and of (tanh x - x)/x³ in x² on |x| <= 0.625, relative
// error 4.6e-9.
var (
	expPoly  = [...]float32{0.49999994, 0.1666652, 0.041668393, 0.008368781, 0.0013814467}
	tanhPoly = [...]float32{-0.3333328, 0.13331373, -0.0537337, 0.020618634, -0.0056812926}
)

// Exp returns e^x within 2 units in the last place for expMin <= x <= expMax,
// 0 below and Exp(expMax) above. NaN gives NaN.
func Exp(x float32) float32 {
	if x < expMin {
		return 0
	}
	if x > expMax {
		x = expMax
	}
	t := FMA(x, log2E, roundShift)
	n := t - roundShift
	r := FMA(n, -ln2Hi, x)
	r = FMA(n, -ln2Lo, r)
	p := expPoly[4]
	p = FMA(p, r, expPoly[3])
	p = FMA(p, r, expPoly[2])
	p = FMA(p, r, expPoly[1])
	p = FMA(p, r, expPoly[0])
	p = FMA(p, r*r, r)
	p = p + 1
	scale := math.Float32frombits(math.Float32bits(t)<<23 + 0x3f800000)
	return p * scale
}

// Sigmoid returns 1/(1+e^-x). It computes with e^-|x|, which cannot overflow.
func Sigmoid(x float32) float32 {
	e := Exp(-abs(x))
	num := float32(1)
	if x < 0 {
		num = e
	}
	return num / (1 + e)
}

// Tanh returns the hyperbolic tangent: a polynomial below 0.625 and
// (1-e^-2|x|)/(1+e^-2|x|) with the sign of x above.
func Tanh(x float32) float32 {
	a := abs(x)
	if a < 0.625 {
		u := x * x
		p := tanhPoly[4]
		p = FMA(p, u, tanhPoly[3])
		p = FMA(p, u, tanhPoly[2])
		p = FMA(p, u, tanhPoly[1])
		p = FMA(p, u, tanhPoly[0])
		return FMA(p, u*x, x)
	}
	e := Exp(-2 * a)
	t := (1 - e) / (1 + e)
	return math.Float32frombits(math.Float32bits(t) | math.Float32bits(x)&(1<<31))
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// Log returns the natural logarithm of a normal x > 0 in float64, within 2
// units in the last place: x = m·2^e with m in [√½, √2), log x = e·ln2 +
// 2·artanh((m-1)/(m+1)). NaN gives NaN, +Inf gives +Inf, 0 and
// below give NaN.
func Log(x float64) float64 {
	if !(x > 0) {
		return math.NaN()
	}
	if math.IsInf(x, 1) {
		return x
	}
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m *= 2
		e--
	}
	s := (m - 1) / (m + 1)
	u := s * s
	p := 1.0 / 23
	for k := 21; k >= 3; k -= 2 {
		p = math.FMA(p, u, 1/float64(k))
	}
	t := math.FMA(float64(2*s*u), p, 2*s)
	const hi, lo = 0x1.62e42fee00000p-1, 0x1.a39ef35793c76p-33 // ln 2; hi·e is exact
	return math.FMA(float64(e), hi, math.FMA(float64(e), lo, t))
}
