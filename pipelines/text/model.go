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
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Model is a checkpoint made ready for use.
type Model struct {
	Path    string // where it was read from
	Weights *rnn.Weights
	Vocab   *vocab.Vocab
	*checkpoint.Checkpoint
}

// Text returns a text in the form of the model's set: in NFC, if the set is. A text
// that is not UTF-8 stays as it is: Encode's error names the place.
func (m *Model) Text(text []byte) []byte {
	return inForm(text, m.Normalize)
}

// A ModelError says why OpenModel has no model. It wraps store.ErrNotExist where there
// is no checkpoint, and the cause.
type ModelError struct {
	Path, Which string // as given to OpenModel
	Err         error  // names the file
}

func (e *ModelError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Err }

// modelConfig is the part of a checkpoint's config that gives the shape.
type modelConfig struct {
	Model struct {
		Layers    int `json:"layers"`
		Embedding int `json:"embedding"`
		Hidden    int `json:"hidden"`
	} `json:"model"`
}

// OpenModel reads a checkpoint: a file, the directory of a run, in which which is
// best, latest or step:500, or a gs:// URL of either. Every byte of the file is
// verified. Errors are of type *ModelError, or those of ctx. A file that is too large for
// this machine is not read: the error wraps a *memory.ShortError.
func OpenModel(ctx context.Context, path, which string) (*Model, error) {
	err := checkSize(ctx, path, which)
	if err == nil {
		c, at, openErr := run.Open(ctx, path, which)
		if err = openErr; err == nil {
			var m *Model
			if m, err = newModel(c, at); err == nil {
				return m, nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil, err
	}
	return nil, &ModelError{Path: path, Which: which, Err: err}
}

// checkSize returns a *memory.ShortError where the file and a copy of its weights need more
// memory than there is. Of each weight a file has four values at most: it, its moments, and
// its last value. Where there is no file, run.Open says why.
func checkSize(ctx context.Context, path, which string) error {
	bytes, err := run.Bytes(ctx, path, which)
	if err != nil {
		return nil
	}
	return memory.Check("to read the checkpoint at "+path, bytes+bytes/4)
}

// CheckMemory returns a *ModelError with a *memory.ShortError where the model and work
// with it that takes bytes need more memory than there is.
func (m *Model) CheckMemory(work string, bytes int64) error {
	held := m.Bytes + 4*int64(len(m.Weights.Flat)) // the checkpoint is kept, and its weights are a copy
	if err := memory.Check(fmt.Sprintf("to %s with %s", work, m.Path), held+min(bytes, 1<<62)); err != nil {
		return &ModelError{Path: m.Path, Err: err}
	}
	return nil
}

// newModel returns the model of the checkpoint that was read at a path.
func newModel(c *checkpoint.Checkpoint, at string) (*Model, error) {
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
		return nil, fmt.Errorf("text: %s: config: %d layers, embedding %d, hidden %d: each must be at least 1",
			at, m.Layers, m.Embedding, m.Hidden)
	}
	shape := rnn.Shape{Cell: cell, Layers: m.Layers, Vocabulary: v.Size(), Embedding: m.Embedding, Hidden: m.Hidden}
	w, err := c.Weights(shape)
	if err != nil {
		return nil, fmt.Errorf("text: %s: %w", at, err)
	}
	return &Model{Path: at, Weights: w, Vocab: v, Checkpoint: c}, nil
}
