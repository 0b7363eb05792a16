package stages

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A StartError is an error about the checkpoint that a training starts from: it
// cannot be read, or its model has another shape or unit.
type StartError struct{ Err error }

func (e *StartError) Error() string { return "stages: start: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *StartError) Unwrap() error { return e.Err }

// warmStart returns weights for a network of shape s and vocabulary v, from the
// checkpoint at a path, and its model. The embedding and the output of
// a character that the checkpoint does not know are the means of those of all its
// characters. It prints the characters that are new and those that v lacks. The
// error is a *StartError.
func warmStart(ctx context.Context, path string, s rnn.Shape, v *vocab.Vocab, console *report.Console) (*rnn.Weights, *text.Model, error) {
	m, err := text.OpenModel(ctx, path, "best")
	if err != nil {
		return nil, nil, &StartError{err}
	}
	old := m.Weights.Shape
	same := s
	same.Vocabulary = old.Vocabulary
	if old != same || m.Vocab.Unit() != v.Unit() {
		return nil, nil, &StartError{fmt.Errorf("%s has %s of unit %s, this training %s of unit %s",
			m.Path, describe(old), m.Vocab.Unit(), describe(s), v.Unit())}
	}
	rows := v.Map(m.Vocab)
	w := rnn.NewWeights(s)
	for i, p := range s.Parameters() {
		from := m.Weights.ByPos[i]
		if p.Dims[0] == s.Vocabulary && (i == 0 || i >= len(w.ByPos)-2) { // the embedding and the dense layer
			copyRows(w.ByPos[i], from, rows, old.Vocabulary)
		} else {
			copy(w.ByPos[i], from)
		}
	}
	console.Line("train: starts from %s, step %d", m.Path, m.Step)
	if added := missing(v, rows); len(added) > 0 {
		console.Line("train: %s: %s", report.Count(len(added), "new character"), strings.Join(added, " "))
	}
	if gone := missing(m.Vocab, m.Vocab.Map(v)); len(gone) > 0 {
		console.Line("train: %s: %s", report.Count(len(gone), "unused character"), strings.Join(gone, " "))
	}
	return w, m, nil
}

// ancestors returns what the checkpoints of a training on set say of their ancestors:
// the model that it starts from, and that model's own. It reads the text that these
// were trained on, where that is found: in set, below the workdir, or near the
// checkpoint. A set that is not found is said.
func ancestors(ctx context.Context, c *configs.Config, set *dataset.Set, from *text.Model, console *report.Console) (
	json.RawMessage, error,
) {
	near, err := setsNear(c, from.Path)
	if err != nil {
		return nil, err
	}
	a, err := from.Descend(ctx, func(digest string) (*dataset.Set, func(), error) {
		if digest == set.SHA256() {
			return set, func() {}, nil
		}
		return text.FindSet(ctx, digest, near)
	})
	if err != nil {
		return nil, err
	}
	for _, digest := range a.Unread {
		console.Warn("train: the set %.12s, which %s or an ancestor of it was trained on, is not found:"+
			" its text cannot be compared with other text",
			digest, from.Path)
	}
	return json.Marshal(a)
}

// setsNear returns the directories in which text.FindSet looks for the sets of a
// checkpoint: those of the config, those that the config of its run names, and those
// above it, since a run has its checkpoints in a folder, and lies itself in the
// workdir or a folder of it.
func setsNear(c *configs.Config, checkpoint string) ([]string, error) {
	near := []string{store.Locate(c.Workdir, c.Prep.Out), c.Workdir}
	at, err := store.Absolute(checkpoint)
	if err != nil {
		return nil, err
	}
	for range 4 {
		dir, name := store.Split(at)
		if name == "" || store.IsURL(at) && !store.IsURL(dir) {
			break
		}
		if r, err := configs.Load(configs.Options{Config: store.Locate(dir, configName)}); err == nil {
			near = append(near, store.Locate(r.Config.Workdir, r.Config.Prep.Out), r.Config.Workdir)
		}
		near = append(near, store.Locate(dir, c.Prep.Out), dir)
		at = dir
	}
	return near, nil
}

// describe returns a shape in words, without its vocabulary.
func describe(s rnn.Shape) string {
	return fmt.Sprintf("%s, %s, embedding %d, hidden %d", s.Cell, report.Count(s.Layers, "layer"), s.Embedding, s.Hidden)
}

// missing returns the characters of v, quoted, that have no id in another vocabulary.
// ids are the other vocabulary's ids by those of v, -1 for none.
func missing(v *vocab.Vocab, ids []int32) (chars []string) {
	for id, other := range ids {
		if other < 0 {
			chars = append(chars, fmt.Sprintf("%q", v.AppendText(nil, int32(id))))
		}
	}
	return chars
}

// copyRows fills dst with rows of from, which has n rows; row -1 is their mean.
func copyRows(dst, from []float32, rows []int32, n int) {
	width := len(from) / n
	mean := make([]float32, width)
	for i := range mean {
		var sum float64
		for row := range n {
			sum += float64(from[row*width+i])
		}
		mean[i] = float32(sum / float64(n))
	}
	for i, row := range rows {
		src := mean
		if row >= 0 {
			src = from[int(row)*width : (int(row)+1)*width]
		}
		copy(dst[i*width:], src)
	}
}
