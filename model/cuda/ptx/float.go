package ptx

import (
	"math"

	"github.com/quire-ml/quire/model/kernel"
)

// notNumber is what an operation of .f32 gives that has no number for a result,
// whatever its operands were.
const notNumber = 0x7FFFFFFF

func f32(a uint64) float32 { return math.Float32frombits(uint32(a)) }

func f64(a uint64) float64 { return math.Float64frombits(a) }

func bits32(x float32) uint64 {
	if x != x {
		return notNumber
	}
	return uint64(math.Float32bits(x))
}

func bits64(x float64) uint64 { return math.Float64bits(x) }

// floats32 adds the operations of float32, each rounded once to the nearest, halves
// to even.
func floats32(ops map[string]any) {
	ops["add.rn.f32"] = func(a, b uint64) uint64 { return bits32(f32(a) + f32(b)) }
	ops["sub.rn.f32"] = func(a, b uint64) uint64 { return bits32(f32(a) - f32(b)) }
	ops["mul.rn.f32"] = func(a, b uint64) uint64 { return bits32(f32(a) * f32(b)) }
	ops["div.rn.f32"] = func(a, b uint64) uint64 { return bits32(f32(a) / f32(b)) }
	ops["rcp.rn.f32"] = func(a uint64) uint64 { return bits32(1 / f32(a)) }
	ops["fma.rn.f32"] = func(a, b, c uint64) uint64 { return bits32(kernel.FMA(f32(a), f32(b), f32(c))) }
	// A square root of a float64 is so exact that rounding it again is rounding once.
	ops["sqrt.rn.f32"] = func(a uint64) uint64 { return bits32(float32(math.Sqrt(float64(f32(a))))) }
	ops["neg.f32"] = func(a uint64) uint64 { return a ^ 1<<31 }
	ops["abs.f32"] = func(a uint64) uint64 { return a &^ (1 << 31) }
	ops["min.f32"] = func(a, b uint64) uint64 { return bits32(float32(least(float64(f32(a)), float64(f32(b))))) }
	ops["max.f32"] = func(a, b uint64) uint64 { return bits32(float32(-least(-float64(f32(a)), -float64(f32(b))))) }
}

// floats64 adds the operations of float64. The bits of a result that is not a number
// are those of this machine.
func floats64(ops map[string]any) {
	ops["add.rn.f64"] = func(a, b uint64) uint64 { return bits64(f64(a) + f64(b)) }
	ops["sub.rn.f64"] = func(a, b uint64) uint64 { return bits64(f64(a) - f64(b)) }
	ops["mul.rn.f64"] = func(a, b uint64) uint64 { return bits64(f64(a) * f64(b)) }
	ops["div.rn.f64"] = func(a, b uint64) uint64 { return bits64(f64(a) / f64(b)) }
	ops["rcp.rn.f64"] = func(a uint64) uint64 { return bits64(1 / f64(a)) }
	ops["fma.rn.f64"] = func(a, b, c uint64) uint64 { return bits64(math.FMA(f64(a), f64(b), f64(c))) }
	ops["sqrt.rn.f64"] = func(a uint64) uint64 { return bits64(math.Sqrt(f64(a))) }
	ops["neg.f64"] = func(a uint64) uint64 { return a ^ 1<<63 }
	ops["abs.f64"] = func(a uint64) uint64 { return a &^ (1 << 63) }
	ops["min.f64"] = func(a, b uint64) uint64 { return bits64(least(f64(a), f64(b))) }
	ops["max.f64"] = func(a, b uint64) uint64 { return bits64(-least(-f64(a), -f64(b))) }
}

// least returns the smaller of two numbers; -0 is smaller than 0. Of a number and
// something that is none, it is the number.
func least(a, b float64) float64 {
	switch {
	case a != a:
		return b
	case b != b:
		return a
	}
	return min(a, b)
}

// conversions adds cvt between all types of integers and floats.
func conversions(ops map[string]any) {
	for to, narrow := range extend {
		for from, widen := range extend {
			ops["cvt."+to+"."+from] = func(a uint64) uint64 { return narrow(widen(a)) }
		}
	}
	for t, widen := range extend {
		if t[0] == 's' {
			ops["cvt.rn.f32."+t] = func(a uint64) uint64 { return bits32(float32(int64(widen(a)))) }
			ops["cvt.rn.f64."+t] = func(a uint64) uint64 { return bits64(float64(int64(widen(a)))) }
		} else {
			ops["cvt.rn.f32."+t] = func(a uint64) uint64 { return bits32(float32(widen(a))) }
			ops["cvt.rn.f64."+t] = func(a uint64) uint64 { return bits64(float64(widen(a))) }
		}
	}
	ops["cvt.f64.f32"] = func(a uint64) uint64 { return bits64(float64(f32(a))) }
	ops["cvt.rn.f32.f64"] = func(a uint64) uint64 { return bits32(float32(f64(a))) }
	rounds := map[string]func(float64) float64{"rni": math.RoundToEven, "rzi": math.Trunc, "rmi": math.Floor, "rpi": math.Ceil}
	for mode, round := range rounds {
		ops["cvt."+mode+".f32.f32"] = func(a uint64) uint64 { return bits32(float32(round(float64(f32(a))))) }
		ops["cvt."+mode+".f64.f64"] = func(a uint64) uint64 { return bits64(round(f64(a))) }
		for t := range extend {
			ops["cvt."+mode+"."+t+".f32"] = func(a uint64) uint64 { return toInteger(t, round(float64(f32(a))), false) }
			ops["cvt."+mode+"."+t+".f64"] = func(a uint64) uint64 { return toInteger(t, round(f64(a)), true) }
		}
	}
}

// toInteger converts to type t, and to its nearest value where x is outside. Where x is
// not a number, it is 0 or the highest bit alone: the latter where one side has 64 bits.
func toInteger(t string, x float64, double bool) uint64 {
	width := map[string]int{"8": 8, "16": 16, "32": 32, "64": 64}[t[1:]]
	low, high := 0.0, math.Ldexp(1, width)
	lowest, highest := uint64(0), uint64(1)<<width-1
	if t[0] == 's' {
		low, high = -math.Ldexp(1, width-1), math.Ldexp(1, width-1)
		lowest, highest = -(uint64(1) << (width - 1)), 1<<(width-1)-1
	}
	switch {
	case x != x && (double || width == 64):
		return 1 << (width - 1)
	case x != x:
		return 0
	case x <= low:
		return lowest
	case x >= high:
		return highest
	case t[0] == 's':
		return uint64(int64(x))
	}
	return uint64(x)
}
