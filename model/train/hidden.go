package train

import (
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/graph"
	"github.com/quire-ml/quire/model/rnn"
)

// Hidden is the state from which the sequences of a batch start.
type Hidden string

const (
	Zero  Hidden = "zero"  // zeros; the default
	Carry Hidden = "carry" // the hidden after the text before them
)

// hidden is the state that a step leaves to the next: for each layer the hidden,
// and for a cell with memory its c, (B, H) each.
type hidden struct {
	B, H int
	h, c [][]float32 // c is nil for a cell without memory
}

func newHidden(s rnn.Shape, B int) *hidden {
	x := &hidden{B: B, H: s.Hidden}
	for range s.Layers {
		x.h = append(x.h, make([]float32, B*s.Hidden))
		if s.Cell.Memory() {
			x.c = append(x.c, make([]float32, B*s.Hidden))
		}
	}
	return x
}

// take copies the hidden after the last run of net.
func (x *hidden) take(net *graph.Network) {
	for k := range x.h {
		h, c := net.Last(k)
		copy(x.h[k], h)
		if x.c != nil {
			copy(x.c[k], c)
		}
	}
}

// forget sets row b to zero.
func (x *hidden) forget(b int) {
	for _, list := range [][][]float32{x.h, x.c} {
		for _, rows := range list {
			clear(rows[b*x.H : (b+1)*x.H])
		}
	}
}

// tensors lists the values as a checkpoint stores them, hidden.h.l{k} and
// hidden.c.l{k}, (B, H); none for nil. They share the memory of x.
func (x *hidden) tensors() []checkpoint.Tensor {
	if x == nil {
		return nil
	}
	var out []checkpoint.Tensor
	for k := range x.h {
		shape := []int{x.B, x.H}
		out = append(out, checkpoint.Tensor{Name: fmt.Sprintf("hidden.h.l%d", k), Shape: shape, Data: x.h[k]})
		if x.c != nil {
			out = append(out, checkpoint.Tensor{Name: fmt.Sprintf("hidden.c.l%d", k), Shape: shape, Data: x.c[k]})
		}
	}
	return out
}
