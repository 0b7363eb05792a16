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

	// Windowed is the loss over the same characters where the hidden is zero again in every window.
	Windowed *Windowed `json:"windowed,omitempty"`
}

// Windowed is a loss that EvaluateWindows has measured.
type Windowed struct {
	WindowChars int     `json:"window_chars"`
	NatsPerChar float64 `json:"nats_per_char"`
	BitsPerChar float64 `json:"bits_per_char"`
}

// Evaluate measures a model on a split of the set in a directory, as
// train.Evaluate reads it. An empty name stands for the split that HeldOut
// returns. A set without the split is an error.
func Evaluate(ctx context.Context, m *Model, setDir, split string) (*EvaluateResult, error) {
	return EvaluateWindows(ctx, m, setDir, split, 0)
}

// EvaluateWindows is Evaluate, and measures the model also as train.EvaluateWindows does, by
// windows of that number of characters; 0: not. A *WindowError says that a set has no text for
// such windows.
func EvaluateWindows(ctx context.Context, m *Model, setDir, split string, window int) (*EvaluateResult, error) {
	if window != 0 {
		if err := CheckWindow(window); err != nil {
			return nil, fmt.Errorf("text: %w", err)
		}
	}
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
	if rule := set.Manifest().Rule(); window > 0 && !rule.Continuous() && int64(window) > rule.SeqLength {
		return nil, &WindowError{Set: setDir, Window: window, SeqLength: rule.SeqLength}
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
	res := &EvaluateResult{NatsPerChar: nats, BitsPerChar: nats / math.Ln2, Chars: chars, Split: split, Checkpoint: store.Path(m.Path),
		UniformNats: math.Log(float64(m.Vocab.Size())), UnigramNats: e.UnigramNats, BigramNats: e.BigramNats,
		TrigramNats: e.TrigramNats}
	if window > 0 {
		if nats, _, err = train.EvaluateWindows(ctx, m.Weights, data, window); err != nil {
			return nil, err
		}
		res.Windowed = &Windowed{WindowChars: window, NatsPerChar: nats, BitsPerChar: nats / math.Ln2}
	}
	return res, nil
}

// mostWindow is the longest window. No hidden remembers that far.
const mostWindow = 1 << 16

// CheckWindow returns an error for a number of characters that EvaluateWindows does not take.
func CheckWindow(chars int) error {
	if chars < 1 || chars > mostWindow {
		return fmt.Errorf("a window of %d characters, want 1 to %d", chars, mostWindow)
	}
	return nil
}

// A WindowError says that the sequences of a set do not follow one another, and are shorter
// than a window.
type WindowError struct {
	Set       string
	Window    int
	SeqLength int64 // characters that a sequence predicts
}

func (e *WindowError) Error() string {
	return fmt.Sprintf("text: windows of %d characters: the sequences of the set %s do not follow one another, and each predicts %d characters",
		e.Window, e.Set, e.SeqLength)
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
// below it. The loss of windows is a second line.
func (r *EvaluateResult) String() string {
	baselines := ordered(r.UniformNats, r.UnigramNats, r.BigramNats, r.TrigramNats)
	line := fmt.Sprintf("%.4f nats, %.4f bits a character over %s of the %s part, %s",
		r.NatsPerChar, r.BitsPerChar, report.Count(int(r.Chars), "character"), r.Split, report.Between(r.NatsPerChar, baselines))
	if w := r.Windowed; w != nil {
		line += fmt.Sprintf("\n%.4f nats, %.4f bits a character over the same characters in windows of %d, each read from nothing",
			w.NatsPerChar, w.BitsPerChar, w.WindowChars)
	}
	return line
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

// LossKeys returns the settings that decide which text a loss is of, and what a character of
// it is: where they differ, losses do not compare.
func LossKeys() []string {
	return []string{"corpus.sources", "corpus.encoding", "corpus.newlines", "corpus.records", "prep.pack", "prep.unit", "prep.normalize",
		"prep.invalid_utf8", "prep.min_count", "prep.stride", "prep.validation.by", "prep.validation.fraction", "prep.test.fraction"}
}
