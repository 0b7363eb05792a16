package stages

import (
	"context"
	"fmt"
	"math"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/transforms/vocab"
)

// EvaluateResult is the outcome of Evaluate: the mean over all characters but
// the first of each sequence.
type EvaluateResult struct {
	NatsPerChar float64 `json:"nats_per_char"`
	BitsPerChar float64 `json:"bits_per_char"`
	Chars       int64   `json:"chars"` // predicted characters
	Split       string  `json:"split"`
	Checkpoint  string  `json:"checkpoint"`
}

// Evaluate measures a model on a set: its validation part, or its training
// part where it has none. Each sequence starts from a zero hidden.
func Evaluate(ctx context.Context, m *Model, setDir string) (*EvaluateResult, error) {
	set, done, err := openSet(ctx, setDir)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := sameVocabulary(m, set.Vocab(), setDir); err != nil {
		return nil, err
	}
	name := "validation"
	if set.Split(name) == nil {
		name = "train"
	}
	data := &SplitData{Split: set.Split(name)}
	L := set.Manifest().SeqLength
	nats, err := train.Evaluate(ctx, m.Weights, data, L)
	if err != nil {
		return nil, err
	}
	return &EvaluateResult{NatsPerChar: nats, BitsPerChar: nats / math.Ln2, Chars: data.Len() * int64(L), Split: name, Checkpoint: m.Path}, nil
}

// sameVocabulary refuses a set whose ids mean other characters.
func sameVocabulary(m *Model, v *vocab.Vocab, setDir string) error {
	if m.Vocab.Same(v) {
		return nil
	}
	return fmt.Errorf("stages: %s has %d characters (%s), the set %s has %d (%s): their vocabularies differ; prepare the set for this model, or train one on it",
		m.Path, m.Vocab.Size(), m.Vocab.Unit(), setDir, v.Size(), v.Unit())
}

// ScoreResult is the outcome of Score. The first character has no prediction.
type ScoreResult struct {
	NatsPerChar *float64   `json:"nats_per_char"` // null for a text of fewer than two characters
	BitsPerChar *float64   `json:"bits_per_char"`
	Chars       int64      `json:"chars"`              // predicted characters: one less than the text has
	LogProbs    []*float64 `json:"log_probs,omitzero"` // with chars only
}

// Score measures how well a model predicts a text of any length, the hidden
// carried from its first character to its last. With chars, LogProbs has the
// natural logarithm of each character's probability, null for the first.
func Score(ctx context.Context, m *Model, text []byte, chars bool) (*ScoreResult, error) {
	ids, err := m.Vocab.Encode(nil, text)
	if err != nil {
		return nil, fmt.Errorf("stages: score: %w", err)
	}
	res := &ScoreResult{Chars: int64(max(len(ids)-1, 0))}
	if chars {
		res.LogProbs = make([]*float64, len(ids))
	}
	model := decode.New(m.Weights, 1)
	var sum float64
	for i := 1; i < len(ids); i++ {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		losses, err := model.Losses(ids[i-1:i], ids[i:i+1])
		if err != nil {
			return nil, err
		}
		sum += losses[0]
		if chars {
			p := -losses[0]
			res.LogProbs[i] = &p
		}
	}
	if res.Chars > 0 {
		nats := sum / float64(res.Chars)
		bits := nats / math.Ln2
		res.NatsPerChar, res.BitsPerChar = &nats, &bits
	}
	return res, nil
}
