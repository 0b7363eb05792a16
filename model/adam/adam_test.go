package adam

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/quire-ml/quire/model/kernel"
)

// pair is a parameter and its gradient.
type pair struct{ value, grad gorgonia.Value }

func (p pair) Value() gorgonia.Value         { return p.value }
func (p pair) Grad() (gorgonia.Value, error) { return p.grad, nil }

func vector(x []float32) gorgonia.Value {
	return tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))
}

// TestStep compares three steps on two parameters with the same steps in float64.
func TestStep(t *testing.T) {
	for _, clip := range []float64{0, 0.5, 100} {
		p := [][]float32{{1, -2, 0.5}, {3}}
		var want [][]float64
		for _, x := range p {
			var y []float64
			for _, v := range x {
				y = append(y, float64(v))
			}
			want = append(want, y)
		}
		m, v := [][]float64{{0, 0, 0}, {0}}, [][]float64{{0, 0, 0}, {0}}
		s := New(kernel.NewTeam(), 0.1, clip, []int{3, 1})
		for step := 1; step <= 3; step++ {
			k := float32(step)
			g := [][]float32{{0.3 * k, -1.5, 0}, {2 / k}}
			if err := s.Step([]gorgonia.ValueGrad{pair{vector(p[0]), vector(g[0])}, pair{vector(p[1]), vector(g[1])}}); err != nil {
				t.Fatal(err)
			}
			var norm float64
			for _, x := range g {
				for _, y := range x {
					norm += float64(y) * float64(y)
				}
			}
			norm = math.Sqrt(norm)
			if math.Abs(s.Norm()-norm) > 1e-12 {
				t.Errorf("clip %g step %d: norm %.15g, want %.15g", clip, step, s.Norm(), norm)
			}
			scale := 1.0
			if clip > 0 {
				scale = clip / math.Max(norm, clip)
			}
			rate := 0.1 * math.Sqrt(1-math.Pow(0.999, float64(step))) / (1 - math.Pow(0.9, float64(step)))
			for i := range want {
				for j := range want[i] {
					y := float64(g[i][j]) * scale
					m[i][j] += 0.1 * (y - m[i][j])
					v[i][j] += 0.001 * (y*y - v[i][j])
					want[i][j] -= rate * m[i][j] / (math.Sqrt(v[i][j]) + 1e-7)
					if math.Abs(float64(p[i][j])-want[i][j]) > 2e-6 {
						t.Errorf("clip %g step %d: parameter %d[%d] is %.8f, want %.8f", clip, step, i, j, p[i][j], want[i][j])
					}
				}
			}
		}
	}
}

// TestBadGradient demands that a gradient of NaN or Inf changes nothing.
func TestBadGradient(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
		p, g := []float32{1, 2}, []float32{0.5, bad}
		s := New(kernel.NewTeam(), 0.1, 1, []int{2})
		err := s.Step([]gorgonia.ValueGrad{pair{vector(p), vector(g)}})
		if err == nil || !strings.HasPrefix(err.Error(), "adam: step 1: the norm of the gradients is") {
			t.Errorf("%v: error %v", bad, err)
		}
		if fmt.Sprint(p, s.M, s.V, s.T) != "[1 2] [[0 0]] [[0 0]] 0" {
			t.Errorf("%v: changed to %v, %v, %v, %d", bad, p, s.M, s.V, s.T)
		}
	}
}

func TestRefusesOtherModels(t *testing.T) {
	s := New(kernel.NewTeam(), 0.1, 0, []int{2})
	one := pair{vector([]float32{1}), vector([]float32{1})}
	wide := pair{tensor.New(tensor.WithShape(2), tensor.WithBacking([]float64{1, 2})), vector([]float32{1, 2})}
	for _, model := range [][]gorgonia.ValueGrad{{}, {one}, {wide}, {one, one}} {
		if err := s.Step(model); err == nil {
			t.Errorf("a model of %d parameters was taken", len(model))
		}
	}
}

func TestPower(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 10, 1000, 123457} {
		if got, want := power(0.999, n), math.Pow(0.999, float64(n)); math.Abs(got-want) > 1e-12*want {
			t.Errorf("0.999^%d = %.17g, want %.17g", n, got, want)
		}
	}
}

// TestMean compares the mean with its definition.
func TestMean(t *testing.T) {
	for _, d := range []float64{0, 0.5, 0.999} {
		p := []float32{1, -2, 0.5}
		s := New(kernel.NewTeam(), 0.3, 0, []int{3})
		s.Average, s.Mean = d, [][]float32{{1, -2, 0.5}}
		var past [][]float32
		for step := range 20 {
			g := []float32{float32(step%5) - 2, 0.1, -float32(step)}
			if err := s.Step([]gorgonia.ValueGrad{pair{vector(p), vector(g)}}); err != nil {
				t.Fatal(err)
			}
			past = append(past, append([]float32(nil), p...))
			for i := range p {
				var sum, weights float64
				for k, x := range past {
					weight := math.Pow(d, float64(len(past)-1-k))
					sum, weights = sum+weight*float64(x[i]), weights+weight
				}
				if got, want := float64(s.Mean[0][i]), sum/weights; math.Abs(got-want) > 1e-5 {
					t.Errorf("decay %g, step %d: mean %d is %.7f, want %.7f", d, step+1, i, got, want)
				}
			}
		}
	}
}
