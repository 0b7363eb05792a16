package decode

import (
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Memory returns the bytes that New takes for weights of a shape and B streams, beside the
// weights.
func Memory(s rnn.Shape, B int) int64 {
	// In floating point, because an absurd shape must not overflow.
	b, v, h, g := float64(B), float64(s.Vocabulary), float64(s.Hidden), float64(s.Cell.Gates())
	values := v*g*h + v*h + float64(2*s.Layers-1)*g*h*h // the table and the panels
	values += b * (v + 2)                               // logits and losses
	values += float64(s.Layers) * b * (float64(kernel.TmpWidth(s.Hidden)) + 2*h + 2*g*h)
	return int64(min(4*values, 1<<62))
}
