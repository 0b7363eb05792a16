package dataset

import (
	"context"
	"fmt"
	"math"
	"strings"
)

// Drift says how much the validation part of a set is unlike its training part, by
// random samples of both. Both figures are what chance does not explain: 0 where it may
// explain all, and where the sample of the validation part is shorter than driftChars.
type Drift struct {
	// PairNats is the loss, in nats a character, that a model of pairs of characters of
	// the training part has more on the validation part than on other training text, less
	// two standard errors, and more of them where the samples have few sequences.
	PairNats float64 `json:"pair_nats"`
	// CharNats is the Jensen-Shannon divergence of the frequencies of characters, from
	// 0 to ln 2, less twice that of as much training text.
	CharNats float64 `json:"char_nats"`
}

// driftChars is the length in characters of the shortest validation part that Drift measures.
const driftChars = 250

// Drifts above these are no chance. Books, plays, programs, manuals, CSV, logs and
// FASTA have up to 0.14 and 0.02, two books in one 0.10 and 0.01. A tail in capitals has
// 3.3 and 0.47, a text whose second half is in capitals 0.02 and 0.19, a list of words
// in the order of the alphabet 0.80 and 0.03, and Go's sources, which end in tables,
// 0.51 and 0.02.
const (
	maxPairDrift = 0.25
	maxCharDrift = 0.1
)

// Large reports whether the two parts are of different kinds.
func (d Drift) Large() bool { return d.PairNats > maxPairDrift || d.CharNats > maxCharDrift }

// String says what is large.
func (d Drift) String() string {
	var says []string
	if d.PairNats > maxPairDrift {
		says = append(says, fmt.Sprintf("a model of pairs of characters loses %.2f nats a character more on it", d.PairNats))
	}
	if d.CharNats > maxCharDrift {
		says = append(says, fmt.Sprintf("the frequencies of its characters are %.2f nats away", d.CharNats))
	}
	return strings.Join(says, ", and ")
}

// driftSequences bounds the sequences that Drift reads of each text.
const driftSequences = 4096

// Drift compares the validation part of a set with its training part. It is nil for a
// set without a validation part, or with fewer than 4 sequences to train on.
//
// It reads the first sequences of each part, at most 3·driftSequences together: they
// are a random sample, because ranks are shuffled.
func (s *Set) Drift(ctx context.Context) (*Drift, error) {
	train, held := s.Split("train"), s.Split("validation")
	if held == nil || held.Len() == 0 || train.Len() < 4 {
		return nil, nil
	}
	size, n := s.manifest.Vocab.Size, min(driftSequences, train.Len()/2)
	m := pairModel{chars: make([]float64, size), pairs: map[[2]int32]float64{}, followers: make([]float64, size)}
	h := min(n, held.Len())
	if h*int64(s.manifest.SeqLength+1) < driftChars {
		return &Drift{}, nil
	}
	if err := each(ctx, train, 0, n, m.learn); err != nil {
		return nil, err
	}
	known, unknown := sampled{chars: make([]float64, size)}, sampled{chars: make([]float64, size)}
	err := each(ctx, train, n, 2*n, func(ids []int32) { known.add(m.loss(ids), ids, known.n < float64(h)) })
	if err != nil {
		return nil, err
	}
	if err := each(ctx, held, 0, h, func(ids []int32) { unknown.add(m.loss(ids), ids, true) }); err != nil {
		return nil, err
	}
	return &Drift{PairNats: max(0, unknown.mean()-known.mean()-2*math.Sqrt(unknown.squaredError()+known.squaredError())),
		CharNats: max(0, m.divergence(unknown.chars)-2*m.divergence(known.chars))}, nil
}

// Divergence is what a character with the frequencies p and q adds to the
// Jensen-Shannon divergence of two texts: ½·p·ln(p/m) + ½·q·ln(q/m) with m = (p+q)/2.
func Divergence(p, q float64) float64 {
	m, sum := (p+q)/2, 0.0
	if p > 0 {
		sum += p * math.Log(p/m) / 2
	}
	if q > 0 {
		sum += q * math.Log(q/m) / 2
	}
	return sum
}

// each visits the sequences with the ranks [from, to).
func each(ctx context.Context, r *SplitReader, from, to int64, visit func(ids []int32)) error {
	ids := make([]int32, r.set.manifest.SeqLength+1)
	for rank := from; rank < to; rank++ {
		if err := r.Read(ctx, rank, ids); err != nil {
			return err
		}
		visit(ids)
	}
	return nil
}

// A sampled is some sequences of a text: their losses, and the counts of characters.
type sampled struct {
	n, sum, squares float64
	chars           []float64
}

func (l *sampled) add(loss float64, ids []int32, count bool) {
	l.n++
	l.sum += loss
	l.squares += loss * loss
	for _, id := range ids {
		if count {
			l.chars[id]++
		}
	}
}

func (l *sampled) mean() float64 { return l.sum / l.n }

// squaredError returns the square of the mean's standard error, of few sequences a larger
// one. One sequence alone says as little as if its loss were the error.
func (l *sampled) squaredError() float64 {
	if l.n < 2 {
		return l.squares
	}
	few := 1 + 4/(l.n-1) // as Student's t: two values say little of their spread
	return few * few * max(0, l.squares/l.n-l.mean()*l.mean()) / (l.n - 1)
}

// A pairModel predicts a character from the one before it, with Witten and Bell's
// weight for the frequencies of single characters.
type pairModel struct {
	all       float64
	chars     []float64 // counts
	pairs     map[[2]int32]float64
	followers []float64 // different characters after a character
}

func (m *pairModel) learn(ids []int32) {
	for i, id := range ids {
		m.chars[id]++
		m.all++
		if i == 0 {
			continue
		}
		pair := [2]int32{ids[i-1], id}
		if m.pairs[pair]++; m.pairs[pair] == 1 {
			m.followers[ids[i-1]]++
		}
	}
}

// loss returns the mean loss of a sequence's characters after the first.
func (m *pairModel) loss(ids []int32) float64 {
	sum := 0.0
	for i, id := range ids[1:] {
		before := ids[i]
		p := (m.chars[id] + 1) / (m.all + float64(len(m.chars)))
		if f := m.followers[before]; f > 0 {
			p = (m.pairs[[2]int32{before, id}] + f*p) / (m.chars[before] + f)
		}
		sum -= math.Log(p)
	}
	return sum / float64(len(ids)-1)
}

// divergence returns the Jensen-Shannon divergence of the characters learned and others.
func (m *pairModel) divergence(chars []float64) (nats float64) {
	all := 0.0
	for _, n := range chars {
		all += n
	}
	for id, n := range chars {
		nats += Divergence(m.chars[id]/m.all, n/all)
	}
	return nats
}
