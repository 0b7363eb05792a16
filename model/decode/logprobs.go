package decode

import (
	"slices"

	"github.com/quire-ml/quire/model/kernel"
)

// LogProbs turns logits into natural logarithms of probabilities: the bits of
// Model.Losses, negated. It is for one goroutine at a time.
type LogProbs struct {
	softmax []float32
	loss    [1]float64
	target  [1]int32
}

// Of returns the log-probability of id, which is in the vocabulary.
func (p *LogProbs) Of(logits []float32, id int32) float64 {
	if len(p.softmax) < len(logits) {
		p.softmax = make([]float32, len(logits))
	}
	p.target[0] = id
	kernel.CrossEntropy(p.loss[:], p.softmax[:len(logits)], logits, p.target[:], 1, 1, len(logits))
	return -p.loss[0]
}

// Likely is a character and its log-probability.
type Likely struct {
	ID      int32
	LogProb float64
}

// Top returns the n likeliest characters, the likeliest first, equal ones in order of id.
func (p *LogProbs) Top(logits []float32, n int) []Likely {
	ids := make([]int32, 0, n+1)
	for id := range logits {
		at, _ := slices.BinarySearchFunc(ids, logits[id], func(other int32, l float32) int {
			if logits[other] >= l {
				return -1
			}
			return 1
		})
		if at < n {
			ids = slices.Insert(ids, at, int32(id))[:min(len(ids)+1, n)]
		}
	}
	list := make([]Likely, len(ids))
	for i, id := range ids {
		list[i] = Likely{id, p.Of(logits, id)}
	}
	return list
}
