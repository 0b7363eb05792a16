package rnn

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
)

// wave returns n values of a sine, which no two tests share.
func wave(n int, step float64) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Sin(float64(i+1) * step))
	}
	return x
}

// sameBits fails the test at the first value that differs.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: value %d is %x, want %x", name, i, got[i], want[i])
		}
	}
}

// TestOutputParts compares an output whose rows go through it in parts with the
// products, the loss and the sums of all rows at once.
func TestOutputParts(t *testing.T) {
	const R, H, V = 75, 9, 37
	team := kernel.NewTeam()
	x, w, b := wave(R*H, 0.7), wave(V*H, 1.3), wave(V, 2.1)
	targets, losses := make([]int32, R), make([]float64, R)
	for r := range targets {
		targets[r] = int32(r * r % V)
	}
	d, dx, dw, db := make([]float32, R*V), make([]float32, R*H), make([]float32, V*H), make([]float32, V)
	team.Gemm(R, V, H, x, H, 1, w, 1, H, b, 0, d, V)
	logits := append([]float32(nil), d...)
	kernel.CrossEntropy(losses, d, d, targets, 1/float32(R), R, V)
	team.Gemm(R, H, V, d, V, 1, w, H, 1, nil, 0, dx, H)
	team.Gemm(V, H, R, d, 1, V, x, H, 1, nil, 0, dw, H)
	kernel.ColumnSum(db, d, V, R, 0, V)

	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 3} {
		runtime.GOMAXPROCS(procs)
		for _, rows := range []int{1, 2, 16, 37, 74, 75} {
			t.Run(fmt.Sprintf("%d rows, GOMAXPROCS %d", rows, procs), func(t *testing.T) {
				o := newOutput(team, R, H, V, rows)
				o.Run(wave(R*H, 0.3), wave(V*H, 0.4), wave(V, 0.5), targets, make([]float32, R*H), make([]float32, V*H), make([]float32, V))
				for range 2 { // runs find the values of other weights, and of the same
					gx, gw, gb := make([]float32, R*H), wave(V*H, 1), wave(V, 1)
					o.Run(x, w, b, targets, gx, gw, gb)
					sameBits(t, "gradient of x", gx, dx)
					sameBits(t, "gradient of w", gw, dw)
					sameBits(t, "gradient of b", gb, db)
					for r, l := range o.Losses() {
						if l != losses[r] {
							t.Fatalf("loss %d is %v, want %v", r, l, losses[r])
						}
					}
				}
				got := make([]float32, R*V)
				o.Logits(got, x, w, b)
				sameBits(t, "logits", got, logits)
			})
		}
	}
}

// TestOutputRows: small vocabularies have one part, large ones parts of a strip for each
// processor, and no row is left over for a part of its own.
func TestOutputRows(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, c := range []struct{ procs, R, H, V, rows int }{
		{2, 6400, 256, 65, 6400}, {2, 6400, 1024, 65, 1600}, {2, 6400, 256, 2000, 915}, {2, 6400, 256, 20_000, 256}, {16, 6400, 256, 20_000, 1600},
		{2, 257, 1, 20_000, 129}, {1, 5, 1, 20_000, 5}, {2, 5000, 1, 1 << 16, 250},
	} {
		runtime.GOMAXPROCS(c.procs)
		o := NewOutput(kernel.NewTeam(), c.R, c.H, c.V)
		if o.rows != c.rows {
			t.Errorf("%+v: parts of %d rows", c, o.rows)
		}
		values := float64(len(o.logits) + c.H*o.rows + 2*c.V*c.H)
		if most := OutputValues(float64(c.R), float64(c.H), float64(c.V)); values > most {
			t.Errorf("%+v: %g values, OutputValues says %g", c, values, most)
		}
	}
}
