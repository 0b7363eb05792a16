package train

import (
	"github.com/quire-ml/quire/model/kernel"
)

// draw replaces each input but the first of a sequence, with probability Sampling,
// by a character that the model draws after the inputs before it, which may be
// drawn too. Dropout is off meanwhile. The draws depend on the seed, the steps
// taken and the position in the batch alone.
func (t *Trainer) draw() error {
	m, err := t.machine.sampler()
	if err != nil {
		return err
	}
	V := t.Weights.Shape.Vocabulary
	key := kernel.StepKey(t.o.Seed, t.Solver.T, samplingStream)
	for i := 0; i+1 < t.T; i++ {
		logits, err := m.Step(t.ids[i*t.B : (i+1)*t.B])
		if err != nil {
			return err
		}
		next := t.ids[(i+1)*t.B : (i+2)*t.B]
		for b := range next {
			at := key + 2*uint64(i*t.B+b)
			if uniform(at) < t.Sampling {
				next[b] = pick(logits[b*V:(b+1)*V], uniform(at+1))
			}
		}
	}
	return nil
}

// samplingStream keeps the random numbers of draw apart from those of dropout,
// whose streams have the numbers 0, 1, ….
const samplingStream = 1 << 32

// uniform returns a number in [0, 1) that depends on key alone.
func uniform(key uint64) float64 { return float64(kernel.Hash(key)>>11) / (1 << 53) }

// pick returns the id that a uniform number u selects from the softmax of logits.
func pick(logits []float32, u float64) int32 {
	top := logits[0]
	for _, l := range logits {
		top = max(top, l)
	}
	var sum float64
	for _, l := range logits {
		sum += float64(kernel.Exp(l - top))
	}
	at, last := u*sum, int32(0)
	for id, l := range logits {
		w := float64(kernel.Exp(l - top))
		if at -= w; at < 0 {
			return int32(id)
		}
		if w > 0 {
			last = int32(id) // u·sum may be the sum, by rounding
		}
	}
	return last
}
