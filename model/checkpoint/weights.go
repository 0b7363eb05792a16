package checkpoint

import (
	"fmt"
	"slices"

	"github.com/quire-ml/quire/model/rnn"
)

// Weights returns a copy of the checkpoint's parameters as weights of a shape. A
// parameter that is missing or has other dimensions is an error, before any memory
// is taken for the shape.
func (c *Checkpoint) Weights(shape rnn.Shape) (*rnn.Weights, error) {
	if shape.Layers > len(c.Tensors) {
		return nil, fmt.Errorf("checkpoint: step %d: %d tensors are not those of %d layers", c.Step, len(c.Tensors), shape.Layers)
	}
	list := shape.Parameters()
	tensors := make([]Tensor, len(list))
	for i, p := range list {
		t, ok := c.Tensor(p.Name)
		if !ok {
			return nil, fmt.Errorf("checkpoint: step %d: there is no tensor %s", c.Step, p.Name)
		}
		if !slices.Equal(t.Shape, p.Dims) {
			return nil, fmt.Errorf("checkpoint: step %d: parameter %s has shape %v, want %v", c.Step, p.Name, t.Shape, p.Dims)
		}
		tensors[i] = t
	}
	w := rnn.NewWeights(shape)
	for i, t := range tensors {
		copy(w.ByPos[i], t.Data)
	}
	return w, nil
}
