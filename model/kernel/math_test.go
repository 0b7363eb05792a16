package kernel

import (
	"math"
	"testing"
)

// ulps returns the distance of got from want in units of want's last place.
func ulps(got float32, want float64) float64 {
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

// TestFunctions compares with Go's float64 functions, whose errors are far below a
// float32 unit.
func TestFunctions(t *testing.T) {
	for _, f := range []struct {
		name     string
		got      func(float32) float32
		want     func(float64) float64
		from, to float64
		bound    float64 // units in the last place
	}{
		{"Exp", Exp, math.Exp, expMin, expMax, 1.1},
		{"Sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, -80, 120, 2.6},
		{"Tanh", Tanh, math.Tanh, -12, 12, 2.1},
		{"Tanh near 0", Tanh, math.Tanh, -0.7, 0.7, 2.1},
	} {
		worst, at := 0.0, float32(0)
		const n = 200_000
		for i := 0; i <= n; i++ {
			x := float32(f.from + (f.to-f.from)*float64(i)/n)
			if d := ulps(f.got(x), f.want(float64(x))); d > worst || math.IsNaN(d) {
				worst, at = d, x
			}
		}
		t.Logf("%s: worst difference %.2f units at %g", f.name, worst, at)
		if !(worst <= f.bound) {
			t.Errorf("%s(%g) is off by %.2f units in the last place, at most %.1f allowed", f.name, at, worst, f.bound)
		}
	}
}

// TestFunctionBits pins results: other bits would make other checkpoints.
func TestFunctionBits(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name      string
		got, want float32
	}{
		{"Exp(0)", Exp(0), 1}, {"Exp(1)", Exp(1), 2.7182817},
		{"Exp(-87.1)", Exp(-87.1), 0}, {"Exp(-Inf)", Exp(-inf), 0}, {"Exp(Inf)", Exp(inf), Exp(expMax)}, {"Exp(NaN)", Exp(nan), nan},
		{"Sigmoid(0)", Sigmoid(0), 0.5}, {"Sigmoid(120)", Sigmoid(120), 1}, {"Sigmoid(-120)", Sigmoid(-120), 0},
		{"Sigmoid(Inf)", Sigmoid(inf), 1}, {"Sigmoid(-Inf)", Sigmoid(-inf), 0}, {"Sigmoid(NaN)", Sigmoid(nan), nan},
		{"Tanh(0)", Tanh(0), 0}, {"Tanh(-120)", Tanh(-120), -1}, {"Tanh(Inf)", Tanh(inf), 1}, {"Tanh(NaN)", Tanh(nan), nan},
		{"Tanh(0.5)", Tanh(0.5), 0.46211717}, {"Tanh(-2)", Tanh(-2), -0.9640276},
	} {
		if !sameBits(c.got, c.want) {
			t.Errorf("%s = %v (%#x), want %v (%#x)", c.name, c.got, math.Float32bits(c.got), c.want, math.Float32bits(c.want))
		}
	}
}

func TestLog(t *testing.T) {
	worst := 0.0
	for x := 1e-300; x < 1e300; x *= 1.0137 {
		want := math.Log(x)
		worst = max(worst, math.Abs(Log(x)-want)/math.Max(math.Abs(want), 0x1p-52)*0x1p52)
	}
	for x := 0.5; x < 2; x += 1.0 / 4096 {
		if want := math.Log(x); want != 0 {
			worst = max(worst, math.Abs(Log(x)-want)/math.Abs(want)*0x1p52)
		}
	}
	t.Logf("worst relative difference %.2f × 2^-52", worst)
	if worst > 2 {
		t.Errorf("worst relative difference %.2f × 2^-52, want at most 2", worst)
	}
	if Log(1) != 0 || !math.IsInf(Log(math.Inf(1)), 1) || !math.IsNaN(Log(0)) || !math.IsNaN(Log(-1)) || !math.IsNaN(Log(math.NaN())) {
		t.Error("Log of 1, +Inf, 0, -1 or NaN is wrong")
	}
}
