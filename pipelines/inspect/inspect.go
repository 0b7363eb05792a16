// Package inspect describes artifacts by what their files say: a checkpoint, a
// run, a set, a shard. Everything is verified as it is read.
package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Result describes an artifact. The facts of its kind are set, the others nil.
type Result struct {
	Kind       string           `json:"kind"` // checkpoint, set, shard, metrics or diff
	Path       string           `json:"path"`
	Checkpoint *CheckpointFacts `json:"checkpoint,omitempty"`
	Set        *SetFacts        `json:"set,omitempty"`
	Shard      *ShardFacts      `json:"shard,omitempty"`
	Metrics    []report.Line    `json:"metrics,omitempty"`
	Diff       *DiffFacts       `json:"diff,omitempty"`
}

// CheckpointFacts are what a checkpoint says of itself.
type CheckpointFacts struct {
	Cell       string            `json:"cell"`
	Layers     int               `json:"layers"`
	Embedding  int               `json:"embedding"`
	Hidden     int               `json:"hidden"`
	Vocab      int               `json:"vocab"`
	Characters string            `json:"characters"` // the first of them, in the order of their ids
	Unit       string            `json:"unit"`
	Normalize  string            `json:"normalize"`
	Parameters int               `json:"parameters"`
	Step       int64             `json:"step"`
	Epoch      int               `json:"epoch"`
	Set        string            `json:"set"` // sha256 of the manifest
	Ancestors  *Ancestors        `json:"ancestors,omitempty"`
	Config     json.RawMessage   `json:"config"`
	Metrics    json.RawMessage   `json:"metrics"`
	Tensors    map[string]Tensor `json:"tensors"`
}

// Ancestors are the checkpoints that a training started from, by the sha256 of their
// sets' manifests, and digests of checkpoints.
type Ancestors struct {
	Sets    []string `json:"sets"`
	Unread  []string `json:"unread,omitempty"`  // of these, the sets that were not found
	Unknown []string `json:"unknown,omitempty"` // checkpoints of which nothing is known
}

// Tensor is what a checkpoint says of a tensor.
type Tensor struct {
	Shape []int `json:"shape"`
}

// Describe says what is at a path: a checkpoint, a run (which is best, latest or
// step:N), a set or a shard. It verifies all of it. first is the number of sequences or
// records that the result shows.
func Describe(ctx context.Context, path, which string, first int) (*Result, error) {
	if strings.HasSuffix(path, ".tfrecord") {
		return inspectShard(ctx, path, first)
	}
	if !strings.HasSuffix(path, ".safetensors") {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) && !store.IsURL(path) {
			return nil, fmt.Errorf("inspect: there is nothing at %s", path)
		}
		res, err := inspectSet(ctx, path, first)
		if !errors.Is(err, text.ErrNoSet) {
			return res, err
		}
	}
	return inspectCheckpoint(ctx, path, which)
}

func inspectCheckpoint(ctx context.Context, path, which string) (*Result, error) {
	m, err := text.OpenModel(ctx, path, which)
	if err != nil {
		return nil, err
	}
	s := m.Weights.Shape
	metrics := m.Metrics
	if len(metrics) == 0 {
		metrics = nil // null in JSON
	}
	f := &CheckpointFacts{Cell: string(s.Cell), Layers: s.Layers, Embedding: s.Embedding, Hidden: s.Hidden, Vocab: s.Vocabulary,
		Characters: characters(m), Unit: m.Unit, Normalize: m.Normalize, Parameters: s.Count(), Step: m.Step, Epoch: m.Epoch, Set: m.Set,
		Config: m.Config, Metrics: metrics, Tensors: map[string]Tensor{}}
	a, err := m.Ancestry()
	if err != nil {
		return nil, err
	}
	if a != nil {
		f.Ancestors = &Ancestors{Sets: a.Sets, Unread: a.Unread, Unknown: a.Unknown}
	}
	for _, t := range m.Tensors {
		f.Tensors[t.Name] = Tensor{Shape: t.Shape}
	}
	return &Result{Kind: "checkpoint", Path: m.Path, Checkpoint: f}, nil
}

// shownBytes is the size at which the shown characters of a vocabulary end.
const shownBytes = 100

// characters returns the beginning of the vocabulary.
func characters(m *text.Model) string {
	var text []byte
	for id := int32(0); int(id) < m.Vocab.Size() && len(text) < shownBytes; id++ {
		text = m.Vocab.AppendText(text, id)
	}
	return string(text)
}
