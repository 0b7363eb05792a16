// Package text is where characters meet numbers: a Model is a checkpoint with its
// vocabulary, and a set is the text that it is measured on. It generates,
// evaluates and scores.
//
// Packages transforms and model know nothing of each other; here ids get their
// meaning. A Model is for any number of goroutines at a time.
package text

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Model is a checkpoint made ready for use.
type Model struct {
	Path    string // where it was read from
	Weights *rnn.Weights
	Vocab   *vocab.Vocab
	*checkpoint.Checkpoint
}

// Text returns a text as the model's set has its characters: in NFC, where it was
// prepared so. Invalid UTF-8 stays, for the error that names its place.
func (m *Model) Text(text []byte) []byte {
	if m.Normalize == "nfc" && utf8.Valid(text) {
		return corpus.NFC(text)
	}
	return text
}

// modelConfig is what a checkpoint's config says of the shape.
type modelConfig struct {
	Model struct {
		Layers    int `json:"layers"`
		Embedding int `json:"embedding"`
		Hidden    int `json:"hidden"`
	} `json:"model"`
}

// OpenModel reads a checkpoint: a file, a run directory (which is best, latest
// or step:N) or a gs:// URL of either. Everything in it is verified.
func OpenModel(ctx context.Context, path, which string) (*Model, error) {
	c, at, err := run.Open(ctx, path, which)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, err
	case errors.Is(err, store.ErrNotExist):
		return nil, fmt.Errorf("%w; train a model first, or name one with --checkpoint", err)
	default:
		return nil, fmt.Errorf("%w; another checkpoint can be used, too: --which latest, or a file", err)
	}
	v := &vocab.Vocab{}
	if err := json.Unmarshal(c.Vocab, v); err != nil {
		return nil, fmt.Errorf("text: %s: vocabulary: %w", at, err)
	}
	var config modelConfig
	if err := json.Unmarshal(c.Config, &config); err != nil {
		return nil, fmt.Errorf("text: %s: config: %w", at, err)
	}
	cell, err := rnn.ParseCell(c.Cell)
	if err != nil {
		return nil, fmt.Errorf("text: %s: %w", at, err)
	}
	m := config.Model
	if m.Layers < 1 || m.Embedding < 1 || m.Hidden < 1 {
		return nil, fmt.Errorf("text: %s: config: %d layers, embedding %d, hidden %d: each must be at least 1", at, m.Layers, m.Embedding, m.Hidden)
	}
	shape := rnn.Shape{Cell: cell, Layers: m.Layers, Vocabulary: v.Size(), Embedding: m.Embedding, Hidden: m.Hidden}
	w, err := c.Weights(shape)
	if err != nil {
		return nil, fmt.Errorf("text: %s: %w", at, err)
	}
	return &Model{Path: at, Weights: w, Vocab: v, Checkpoint: c}, nil
}
