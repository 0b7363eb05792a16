// Package rnn is the network without a graph: the names and shapes of its
// parameters, their initial values, and the recurrent layers' forward and
// backward passes over T time steps.
//
//	embedding (V, I) → N recurrent layers of width H (GRU or LSTM) → dense (V, H)
//
// Parameters have PyTorch's names and layout: gates r, z, n for the GRU, i, f,
// g, o for the LSTM, one block of H rows a gate, two bias vectors a layer.
// Layer 0 looks its input pre-activations up by id, in a table embedding·W_ihᵀ + b_ih
// that is computed once a step, a row for each character of the batch: a product for
// each occurrence of a character would cost a fifth more, and characters that the
// batch lacks have no part in the step.
//
// Everything is float32, row-major, time first: (T, B, H). The arithmetic and
// its order are those of package kernel.
package rnn

import (
	"fmt"
	"math"
)

// Shape decides the names and dimensions of a network's parameters.
type Shape struct {
	Cell       Cell
	Layers     int // N, at least 1
	Vocabulary int // V
	Embedding  int // I
	Hidden     int // H
}

// Parameter is the name, the dimensions and the initial range of a parameter.
type Parameter struct {
	Name  string
	Dims  []int
	Limit float64 // initial values are uniform in ±Limit; 0 means zeros
}

// Size returns the number of values.
func (p Parameter) Size() int {
	n := 1
	for _, d := range p.Dims {
		n *= d
	}
	return n
}

// embeddingLimit is Keras' initial range of an embedding.
const embeddingLimit = 0.05

// Parameters lists the parameters in the order of Weights.Flat: embedding.weight, then weight_ih, weight_hh, bias_ih and bias_hh of each
// layer, then dense.weight and dense.bias.
//
// Limits are Keras' initialisers: Glorot uniform for kernels and recurrent
// kernels, zeros for biases, ±0.05 for the embedding.
func (s Shape) Parameters() []Parameter {
	g := s.Cell.Gates() * s.Hidden
	list := []Parameter{{"embedding.weight", []int{s.Vocabulary, s.Embedding}, embeddingLimit}}
	in := s.Embedding
	for k := 0; k < s.Layers; k++ {
		list = append(list,
			Parameter{fmt.Sprintf("rnn.weight_ih_l%d", k), []int{g, in}, glorot(in, g)},
			Parameter{fmt.Sprintf("rnn.weight_hh_l%d", k), []int{g, s.Hidden}, glorot(s.Hidden, g)},
			Parameter{fmt.Sprintf("rnn.bias_ih_l%d", k), []int{g}, 0},
			Parameter{fmt.Sprintf("rnn.bias_hh_l%d", k), []int{g}, 0})
		in = s.Hidden
	}
	return append(list,
		Parameter{"dense.weight", []int{s.Vocabulary, s.Hidden}, glorot(s.Hidden, s.Vocabulary)},
		Parameter{"dense.bias", []int{s.Vocabulary}, 0})
}

// glorot returns the limit of Glorot and Bengio's uniform initialiser.
func glorot(in, out int) float64 { return math.Sqrt(6 / float64(in+out)) }

// Count returns the number of values in all parameters.
func (s Shape) Count() int {
	n := 0
	for _, p := range s.Parameters() {
		n += p.Size()
	}
	return n
}

// CheckIDs returns an error for the first of ids (T, B) outside the vocabulary.
func (s Shape) CheckIDs(ids []int32, B int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= s.Vocabulary {
			return fmt.Errorf("id %d at step %d of sequence %d is outside the vocabulary of %d", id, i/B, i%B, s.Vocabulary)
		}
	}
	return nil
}

// StepFlops returns the multiplications and additions that the matrix products
// of one training step need, forward and backward, for B sequences of T steps.
// The input of layer 0 counts as its table, (min(V, T·B), I)·(I, G·H).
func (s Shape) StepFlops(T, B int) float64 {
	rows, g := float64(T*B), float64(s.Cell.Gates()*s.Hidden)
	madds := min(float64(s.Vocabulary), rows)*float64(s.Embedding)*g + rows*float64(s.Hidden*s.Vocabulary)
	madds += rows * g * float64(s.Hidden) * float64(2*s.Layers-1)
	const passes = 3 // forward, and the gradient of each factor
	return 2 * passes * madds
}
