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
