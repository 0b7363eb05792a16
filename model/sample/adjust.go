package sample

import (
	"fmt"
	"maps"
	"slices"
)

// adjust changes logits before a distribution is made of them: steps 1 to 3.
type adjust struct {
	bias    []biased // in order of id
	penalty float64  // 1: none
	ban     []int32
	seen    []bool // by id, of the prompt and the text; kept for a penalty alone
	logits  []float32
}

// biased is an id with the number that is added to its logit.
type biased struct {
	id int32
	by float64
}

func newAdjust(o Options) adjust {
	a := adjust{penalty: o.RepetitionPenalty, ban: o.Ban}
	if a.penalty == 0 {
		a.penalty = 1
	}
	for _, id := range slices.Sorted(maps.Keys(o.Bias)) {
		a.bias = append(a.bias, biased{id, o.Bias[id]})
	}
	return a
}

// see notes an id.
func (a *adjust) see(id int32) {
	if a.penalty == 1 {
		return
	}
	a.grow(int(id) + 1)
	a.seen[id] = true
}

// grow makes room for V ids.
func (a *adjust) grow(V int) {
	if more := V - len(a.seen); more > 0 {
		a.seen = append(a.seen, make([]bool, more)...)
	}
}

// adjusted returns the logits (V) after bias, penalty and ban, in memory of its own
// unless nothing changes.
func (a *adjust) adjusted(logits []float32) ([]float32, error) {
	if len(a.bias) == 0 && len(a.ban) == 0 && a.penalty == 1 {
		return logits, nil
	}
	V := len(logits)
	out := append(a.logits[:0], logits...)
	a.logits = out
	for _, b := range a.bias {
		if b.id < 0 || int(b.id) >= V {
			return nil, fmt.Errorf("sample: bias of id %d, which is outside the vocabulary of %d", b.id, V)
		}
		out[b.id] = float32(float64(out[b.id]) + b.by)
	}
	if a.penalty != 1 {
		a.grow(V)
		for id, seen := range a.seen[:V] {
			if seen {
				out[id] = penalised(out[id], a.penalty)
			}
		}
	}
	for _, id := range a.ban {
		if id < 0 || int(id) >= V {
			return nil, fmt.Errorf("sample: ban of id %d, which is outside the vocabulary of %d", id, V)
		}
		out[id] = negInf
	}
	return out, nil
}

// penalised returns a logit that is less likely for a penalty above 1.
func penalised(l float32, penalty float64) float32 {
	if l > 0 {
		return float32(float64(l) / penalty)
	}
	return float32(float64(l) * penalty)
}
