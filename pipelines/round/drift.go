package round

import (
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// DriftResult is how a corpus differs from an earlier one.
type DriftResult struct {
	Against     store.Path `json:"against"` // the earlier set; empty: there is none to compare with
	Chars       int64      `json:"chars"`
	CharsBefore int64      `json:"chars_before"`
	NewChars    int        `json:"new_chars"`  // characters that the earlier vocabulary lacks
	GoneChars   int        `json:"gone_chars"` // those that this one lacks

	// UnigramNats is the Jensen-Shannon divergence of the frequencies p and q of
	// the characters: ½·Σ p·ln(p/m) + ½·Σ q·ln(q/m) with m = (p+q)/2. It is 0 for
	// the same frequencies and ln 2 = 0.693 for texts with no character in common.
	UnigramNats *float64 `json:"unigram_nats"` // nil: the characters are of different units
}

// Drift compares the corpora of two sets, before the earlier one. [UNK] counts as a
// character.
func Drift(before, now *dataset.Set) *DriftResult {
	b, n := before.Manifest(), now.Manifest()
	d := &DriftResult{Chars: n.Chars, CharsBefore: b.Chars}
	if b.Unit != n.Unit {
		return d
	}
	p, q := frequencies(now.Vocab()), frequencies(before.Vocab())
	var sum float64
	// Characters in the order of ids, so that the sum is the same every time.
	each(now.Vocab(), func(c string) {
		if q[c] == 0 {
			d.NewChars++
		}
		sum += dataset.Divergence(p[c], q[c])
	})
	each(before.Vocab(), func(c string) {
		if p[c] == 0 {
			d.GoneChars++
			sum += dataset.Divergence(0, q[c])
		}
	})
	d.UnigramNats = gate.Finite(max(0, sum))
	return d
}

// each visits the characters of a vocabulary.
func each(v *vocab.Vocab, visit func(c string)) {
	for id := range int32(v.Size()) {
		visit(string(v.AppendText(nil, id)))
	}
}

func frequencies(v *vocab.Vocab) map[string]float64 {
	var total float64
	for id := range int32(v.Size()) {
		total += float64(v.Count(id))
	}
	f := map[string]float64{}
	for id := range int32(v.Size()) {
		f[string(v.AppendText(nil, id))] = float64(v.Count(id)) / total
	}
	return f
}
