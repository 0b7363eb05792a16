package text

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// EvaluateResult is the outcome of Evaluate: the loss, and the entropies of models
// that know nothing but the frequencies of n-grams, in nats a character.
type EvaluateResult struct {
	NatsPerChar float64    `json:"nats_per_char"`
	BitsPerChar float64    `json:"bits_per_char"`
	Chars       int64      `json:"chars"` // predicted characters
	Split       string     `json:"split"`
	Checkpoint  store.Path `json:"checkpoint"`
	UniformNats float64    `json:"uniform_nats"`
	UnigramNats float64    `json:"unigram_nats"`
	BigramNats  float64    `json:"bigram_nats"`
	TrigramNats *float64   `json:"trigram_nats"` // null in a set of an older format
}

// Evaluate measures a model on a split of the set in a directory, as
// train.Evaluate reads it. An empty name stands for the split that HeldOut
// returns. A set without the split is an error.
func Evaluate(ctx context.Context, m *Model, setDir, split string) (*EvaluateResult, error) {
	set, done, err := OpenSet(ctx, setDir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := sameVocabulary(m, set.Vocab(), setDir); err != nil {
		return nil, err
	}
	if split == "" {
		split = HeldOut(set)
	}
	if set.Split(split) == nil {
		var has []string
		for _, s := range set.Manifest().Splits {
			has = append(has, s.Name)
		}
		return nil, fmt.Errorf("text: the set %s has no split %q; it has %s", setDir, split, strings.Join(has, ", "))
	}
	data, err := set.Text(split, 0)
	if err != nil {
		return nil, err
	}
	if err := m.CheckMemory("evaluate", train.EvaluateMemory(m.Weights.Shape)); err != nil {
		return nil, err
	}
	nats, chars, err := train.Evaluate(ctx, m.Weights, data)
	if err != nil {
		return nil, err
	}
	e := set.Manifest().Entropy
	return &EvaluateResult{NatsPerChar: nats, BitsPerChar: nats / math.Ln2, Chars: chars, Split: split, Checkpoint: store.Path(m.Path),
		UniformNats: math.Log(float64(m.Vocab.Size())), UnigramNats: e.UnigramNats, BigramNats: e.BigramNats,
		TrigramNats: e.TrigramNats}, nil
}

// HeldOut returns the name of the split that models are measured on: validation,
// or train in a set without validation.
func HeldOut(set *dataset.Set) string {
	if set.Split("validation") == nil {
		return "train"
	}
	return "validation"
}

// String is the result in a line: the loss, and the n-gram entropies above and
// below it.
func (r *EvaluateResult) String() string {
	baselines := ordered(r.UniformNats, r.UnigramNats, r.BigramNats, r.TrigramNats)
	return fmt.Sprintf("%.4f nats, %.4f bits a character over %d characters of the %s part, %s",
		r.NatsPerChar, r.BitsPerChar, r.Chars, r.Split, report.Between(r.NatsPerChar, baselines))
}

// Baselines returns reference losses for a set, highest first: uniform, unigram,
// bigram and, where the set has it, trigram.
func Baselines(set *dataset.Set) []report.Baseline {
	e := set.Manifest().Entropy
	return ordered(math.Log(float64(set.Vocab().Size())), e.UnigramNats, e.BigramNats, e.TrigramNats)
}

// ordered returns entropies with their names. trigram may be nil.
func ordered(uniform, unigram, bigram float64, trigram *float64) []report.Baseline {
	list := []report.Baseline{{Name: "uniform", Nats: uniform}, {Name: "unigram", Nats: unigram}, {Name: "bigram", Nats: bigram}}
	if trigram != nil {
		list = append(list, report.Baseline{Name: "trigram", Nats: *trigram})
	}
	return list
}

// sameVocabulary returns an error where the ids of a set mean other characters than
// the model's.
func sameVocabulary(m *Model, v *vocab.Vocab, setDir string) error {
	if m.Vocab.Same(v) {
		return nil
	}
	return fmt.Errorf("text: %s has %d characters (%s), the set %s has %d (%s): their vocabularies differ;"+
		" prepare the set for this model, or train one on it",
		m.Path, m.Vocab.Size(), m.Vocab.Unit(), setDir, v.Size(), v.Unit())
}
