package checkpoint

import (
	"fmt"

	"github.com/quire-ml/quire/model/rnn"
)

// Weights returns a copy of the checkpoint's parameters as weights of a shape. A
// parameter that is missing or has other dimensions is an error.
func (c *Checkpoint) Weights(shape rnn.Shape) (*rnn.Weights, error) {
	w := rnn.NewWeights(shape)
	for _, p := range shape.Parameters() {
		t, ok := c.Tensor(p.Name)
		if !ok {
			return nil, fmt.Errorf("checkpoint: step %d: there is no tensor %s", c.Step, p.Name)
		}
		if err := w.Set(p.Name, t.Shape, t.Data); err != nil {
			return nil, fmt.Errorf("checkpoint: step %d: %w", c.Step, err)
		}
	}
	return w, nil
}
