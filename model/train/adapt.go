package train

import (
	"fmt"
	"math"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/graph"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

const (
	// AdaptChars is the length of a passage that Adaptive learns from.
	AdaptChars = 32

	adaptClip = 1 // threshold of the gradient's global norm
)

// Adaptive is a model that learns from the text that it reads: dynamic evaluation (Graves,
// 2013; Krause et al., 2018). It predicts AdaptChars characters, takes one step down the
// gradient of their mean loss, and goes on: every character is predicted by weights that have seen
// none of it and nothing after it.
//
//	norm = sqrt(Σ g² over all parameters)         p -= lr / max(norm, 1) · g
//
// The gradient of a passage begins at the hidden that the characters before it have left.
// That hidden stays when the weights change. The last passage is predicted and not learned
// from.
//
// Adaptive is for one goroutine at a time; its kernels use all processors.
type Adaptive struct {
	lr      float64
	weights *rnn.Weights
	net     *graph.Network
	hidden  *hidden       // after the passages that were learned from
	model   *decode.Model // of weights
	passage []int32       // not learned from yet: an input, then targets
	learned int64         // passages
}

// NewAdaptive returns a model that begins with a copy of w, and zero hidden, and learns at
// a rate of lr.
func NewAdaptive(w *rnn.Weights, lr float64) (*Adaptive, error) {
	own := rnn.NewWeights(w.Shape)
	copy(own.Flat, w.Flat)
	team := kernel.NewTeam()
	net, err := graph.New(own, AdaptChars, 1, &graph.Options{Team: team})
	if err != nil {
		return nil, err
	}
	return &Adaptive{lr: lr, weights: own, net: net, hidden: newHidden(w.Shape, 1), model: decode.With(team, own, 1),
		passage: make([]int32, 0, AdaptChars+1)}, nil
}

// Losses is decode.Model.Losses for one stream. An id is the target of the call before.
//
// A *DivergedError says that the gradients of a passage are NaN or infinite. Nothing can
// be read after it.
func (a *Adaptive) Losses(ids, targets []int32) ([]float64, error) {
	if n := len(a.passage); n == AdaptChars+1 {
		if err := a.learn(); err != nil {
			return nil, &DivergedError{a.learned + 1, err}
		}
		a.learned++
		a.passage = append(a.passage[:0], a.passage[n-1])
	}
	losses, err := a.model.Losses(ids, targets)
	if err != nil {
		return nil, err
	}
	if n := len(a.passage); n == 0 {
		a.passage = append(a.passage, ids[0])
	} else if last := a.passage[n-1]; ids[0] != last {
		return nil, fmt.Errorf("train: id %d does not follow the target %d", ids[0], last)
	}
	a.passage = append(a.passage, targets[0])
	return losses, nil
}

// learn takes the step of a whole passage.
func (a *Adaptive) learn() error {
	a.net.SetHidden(a.hidden.h, a.hidden.c)
	if _, err := a.net.Run(a.passage[:AdaptChars], a.passage[1:]); err != nil {
		return err
	}
	a.hidden.take(a.net)
	var sum float64
	list := a.weights.Shape.Parameters()
	for _, p := range list {
		squares := make([]float64, kernel.Chunks(p.Size()))
		kernel.SumSquares(squares, a.net.Gradient(p.Name), 0, len(squares))
		for _, x := range squares {
			sum += x
		}
	}
	norm := math.Sqrt(sum)
	if !finite(norm) {
		return fmt.Errorf("the norm of the gradients is %g", norm)
	}
	rate := float32(a.lr * adaptClip / max(norm, adaptClip))
	for i, p := range list {
		values := a.weights.ByPos[i]
		for j, g := range a.net.Gradient(p.Name)[:len(values)] {
			values[j] -= float32(rate * g) // rounded: the difference must not fuse with it
		}
	}
	a.model.Reload()
	return nil
}

// Close frees the memory.
func (a *Adaptive) Close() error { return a.net.Close() }

// AdaptiveMemory returns the bytes that NewAdaptive takes for weights of a shape, beside the
// weights.
func AdaptiveMemory(s rnn.Shape) int64 {
	o := Options{Shape: s, Batch: 1}
	values := o.parameters() + o.network(AdaptChars)
	return min(decode.Memory(s, 1), 1<<60) + int64(min(4*values, 1<<60))
}
