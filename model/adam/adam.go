// Package adam is the Adam optimizer (Kingma and Ba, 2015) in Keras' form, with
// clipping by the global norm, as a gorgonia.Solver.
//
//	norm = sqrt(Σ g² over all parameters)         g *= clip / max(norm, clip)
//	m += (1-β1)·(g - m)                            v += (1-β2)·(g² - v)
//	p = (1 - lr·decay)·p - lr·sqrt(1-β2^t)/(1-β1^t) · m/(sqrt(v) + ε)
//
// ε is added to sqrt(v) without bias correction; PyTorch adds it to
// sqrt(v/(1-β2^t)). Rates and factors are computed in float64 and rounded once.
package adam

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/quire-ml/quire/model/kernel"
)

// Keras' defaults.
const (
	Beta1   = 0.9
	Beta2   = 0.999
	Epsilon = 1e-7
)

// Solver holds the moments of one training. It is for one goroutine at a time.
//
// A step is three calls: Squares, Begin, Update. Begin is the scalar part, which
// is the same wherever the other two are computed.
type Solver struct {
	LR    float64     // learning rate of the next step
	Clip  float64     // threshold of the global norm; 0 means no clipping
	Decay float64     // weight decay, apart from the gradient (Loshchilov and Hutter, 2019); 0 means none
	M, V  [][]float32 // first and second moment of each parameter, in the order of the sizes given to New
	T     int64       // steps begun

	// Mean is the running mean of the parameters, one slice for each; nil means
	// none. After step t it is Σ d^(t-i)·p_i / Σ d^(t-i) over the steps i, for d =
	// Average in [0, 1).
	Mean    [][]float32
	Average float64

	norm float64

	team          *kernel.Team
	values, grads [][]float32 // of the last Squares
	rates         Rates       // of the last Update
	size          int         // values of all parameters
	squares       []float64   // sums of the chunks of all gradients
	update, sum   func(*kernel.Worker)
}

// Rates are the numbers of one update, the same for every value.
type Rates struct {
	kernel.AdamRates
	Follow float32 // rate at which Mean moves
}

// New returns a solver for parameters of the given numbers of values, with zero
// moments. The team does its work.
func New(team *kernel.Team, lr, clip float64, sizes []int) *Solver {
	s := &Solver{LR: lr, Clip: clip, team: team}
	chunks := 0
	for _, n := range sizes {
		s.M, s.V = append(s.M, kernel.Floats(n)), append(s.V, kernel.Floats(n))
		chunks += kernel.Chunks(n)
		s.size += n
	}
	s.squares = make([]float64, chunks)
	s.values, s.grads = make([][]float32, len(sizes)), make([][]float32, len(sizes))
	s.update, s.sum = s.runUpdate, s.runSum
	return s
}

// Norm returns the global norm of the gradients of the last step, before
// clipping.
func (s *Solver) Norm() float64 { return s.norm }

// Step updates the parameters in place from their gradients.
//
// A NaN or infinite gradient is an error. Parameters, moments and T are then
// unchanged.
func (s *Solver) Step(model []gorgonia.ValueGrad) error {
	squares, err := s.Squares(model)
	if err != nil {
		return err
	}
	rates, err := s.Begin(squares)
	if err != nil {
		return err
	}
	s.Update(rates)
	return nil
}

// Squares returns the sums of squares of the gradients' chunks (see
// kernel.SumSquares), parameter after parameter, valid until the next call.
func (s *Solver) Squares(model []gorgonia.ValueGrad) ([]float64, error) {
	if err := s.take(model); err != nil {
		return nil, err
	}
	s.team.Run(s.size, s.sum)
	return s.squares, nil
}

// Begin counts the next step and returns its rates, from the sums of squares of
// the gradients' chunks. The sums are added in order.
//
// A NaN or infinite sum is an error. Only Norm has then changed.
func (s *Solver) Begin(squares []float64) (Rates, error) {
	var sum float64
	for _, x := range squares {
		sum += x
	}
	s.norm = math.Sqrt(sum)
	if math.IsNaN(s.norm) || math.IsInf(s.norm, 0) {
		return Rates{}, fmt.Errorf("adam: step %d: the norm of the gradients is %g", s.T+1, s.norm)
	}
	s.T++
	scale := 1.0
	if s.Clip > 0 {
		scale = s.Clip / max(s.norm, s.Clip)
	}
	rate := s.LR * math.Sqrt(1-power(Beta2, s.T)) / (1 - power(Beta1, s.T))
	keep := 1 - float64(s.LR*s.Decay) // rounded: the difference must not fuse with the product
	return Rates{
		AdamRates: kernel.AdamRates{Scale: float32(scale), Rate: float32(rate),
			Beta1Rest: float32(1 - Beta1), Beta2Rest: float32(1 - Beta2), Epsilon: Epsilon, Keep: float32(keep)},
		Follow: float32((1 - s.Average) / (1 - power(s.Average, s.T))),
	}, nil
}

// Update changes the parameters of the last Squares, the moments and Mean in
// place.
func (s *Solver) Update(r Rates) {
	s.rates = r
	s.team.Run(s.size, s.update)
}

// floats returns the values of a dense float32 tensor, nil for anything else.
func floats(v gorgonia.Value) []float32 {
	if d, ok := v.(*tensor.Dense); ok && d.Dtype() == tensor.Float32 {
		return d.Float32s()
	}
	return nil
}

func (s *Solver) runSum(w *kernel.Worker) {
	lo, hi := w.Range(len(s.squares), 1)
	at := 0 // the first chunk of g
	for _, g := range s.grads {
		n := kernel.Chunks(len(g))
		kernel.SumSquares(s.squares[at:at+n], g, max(lo-at, 0), min(hi-at, n))
		at += n
	}
}

// grain keeps the values of two workers out of one cache line.
const grain = 1024

func (s *Solver) runUpdate(w *kernel.Worker) {
	for i, p := range s.values {
		lo, hi := w.Range(len(p), grain)
		kernel.Adam(p[lo:hi], s.M[i][lo:hi], s.V[i][lo:hi], s.grads[i][lo:hi], &s.rates.AdamRates)
		if s.Mean != nil {
			kernel.Follow(s.Mean[i][lo:hi], p[lo:hi], s.rates.Follow)
		}
	}
}

// take compares the model's sizes with those of the moments, and keeps its slices
// for the step.
func (s *Solver) take(model []gorgonia.ValueGrad) error {
	if len(model) != len(s.M) {
		return fmt.Errorf("adam: %d parameters, want %d", len(model), len(s.M))
	}
	for i, vg := range model {
		g, err := vg.Grad()
		if err != nil {
			return fmt.Errorf("adam: parameter %d: %w", i, err)
		}
		p, d := floats(vg.Value()), floats(g)
		if len(p) != len(s.M[i]) || len(d) != len(p) {
			return fmt.Errorf("adam: parameter %d: %d float32 values and %d gradients, want %d of each", i, len(p), len(d), len(s.M[i]))
		}
		s.values[i], s.grads[i] = p, d
	}
	return nil
}

// power returns x^n by repeated squaring: math.Pow may differ among processors.
func power(x float64, n int64) float64 {
	p := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p = float64(p * x)
		}
		x = float64(x * x)
	}
	return p
}
