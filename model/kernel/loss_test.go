package kernel

import (
	"math"
	"testing"
)

// TestCrossEntropy checks against float64, with logits that overflow a naive
// exponential.
func TestCrossEntropy(t *testing.T) {
	for _, V := range []int{1, 2, 7, 16, 17, 65, 300} {
		logits := random(11, 3*V)
		for i := range logits[2*V:] {
			logits[2*V+i] *= 60
		}
		targets := []int32{0, int32(V - 1), int32(V / 2)}
		losses, d := make([]float64, 3), make([]float32, 3*V)
		CrossEntropy(losses, d, logits, targets, 0.25, 3, V)
		for r, target := range targets {
			row := logits[r*V : (r+1)*V]
			top, sum := math.Inf(-1), 0.0
			for _, x := range row {
				top = max(top, float64(x))
			}
			for _, x := range row {
				sum += math.Exp(float64(x) - top)
			}
			want := math.Log(sum) + top - float64(row[target])
			if math.Abs(losses[r]-want) > 2e-6*(1+want) {
				t.Errorf("V %d row %d: loss %.9g, want %.9g", V, r, losses[r], want)
			}
			for v, x := range row {
				g := math.Exp(float64(x)-top) / sum
				if v == int(target) {
					g--
				}
				if math.Abs(float64(d[r*V+v])-0.25*g) > 1e-7 {
					t.Errorf("V %d row %d: gradient %d is %.9g, want %.9g", V, r, v, d[r*V+v], 0.25*g)
				}
			}
		}
	}
}

// TestLaneSum pins the order of the sum: terms 16 apart first, then lanes 8 apart, and
// lanes beside each other last.
func TestLaneSum(t *testing.T) {
	if got := pairs(&[lanes]float32{0: 0x1p30, 1: 0.5, 8: -0x1p30}); got != 0.5 {
		t.Errorf("the pairs give %g, want 0.5: those 8 apart come first", got)
	}
	every(t, func(t *testing.T) {
		x := make([]float32, 16*41+9)
		for i := range x {
			x[i] = -100 // a term of 0
		}
		x[0] = 20 // a term that takes no other up which is below 16
		for k := range 40 {
			x[16*k+8] = 0 // 40 terms of 1 in lane 8
		}
		x[16*40], x[16*41] = 0, 0 // lane 0 takes neither up
		big := Exp(20)
		if got := expSum(x, x, 0, new([lanes]float32)); got != big+40 || got == big {
			t.Errorf("lane sum %g, want %g + 40", got, big)
		}
	})
}

// TestGreatest has the greatest value at every place of rows around the lanes.
func TestGreatest(t *testing.T) {
	every(t, func(t *testing.T) {
		for n := 1; n <= 66; n++ {
			for at := range n {
				x := random(uint64(n), n)
				x[at] = 9
				if got := greatest(x, new([lanes]float32)); got != 9 {
					t.Fatalf("of %d values with 9 at %d the greatest is %g", n, at, got)
				}
				for i := range x {
					x[i] = -10 - abs(x[i])
				}
				x[at] = -9
				if got := greatest(x, new([lanes]float32)); got != -9 {
					t.Fatalf("of %d negative values with -9 at %d the greatest is %g", n, at, got)
				}
			}
		}
	})
}
