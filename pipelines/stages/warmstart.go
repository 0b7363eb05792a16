package stages

import (
	"context"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// warmStart returns the weights of the checkpoint at a path for a network of that
// shape and vocabulary, and the checkpoint's digest. The embedding and the output
// of a character that the checkpoint does not know are the means of those that it
// knows; what is new and what is gone is printed.
func warmStart(ctx context.Context, path string, s rnn.Shape, v *vocab.Vocab, console *report.Console) (*rnn.Weights, string, error) {
	m, err := text.OpenModel(ctx, path, "best")
	if err != nil {
		return nil, "", fmt.Errorf("stages: train.from: %w", err)
	}
	old := m.Weights.Shape
	same := s
	same.Vocabulary = old.Vocabulary
	if old != same || m.Vocab.Unit() != v.Unit() {
		return nil, "", fmt.Errorf("stages: train.from: %s has %s of unit %s, this training %s of unit %s; use the same model section and prep.unit, or another checkpoint",
			m.Path, describe(old), m.Vocab.Unit(), describe(s), v.Unit())
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
		console.Line("train: %d characters are new: %s", len(added), strings.Join(added, " "))
	}
	if gone := missing(m.Vocab, m.Vocab.Map(v)); len(gone) > 0 {
		console.Line("train: %d characters are not needed any more: %s", len(gone), strings.Join(gone, " "))
	}
	return w, m.Digest, nil
}

func describe(s rnn.Shape) string {
	return fmt.Sprintf("%s, %s, embedding %d, hidden %d", s.Cell, report.Count(s.Layers, "layer"), s.Embedding, s.Hidden)
}

// missing returns the characters, quoted, of the ids of v that a map from v leaves
// without an id.
func missing(v *vocab.Vocab, ids []int32) (chars []string) {
	for id, other := range ids {
		if other < 0 {
			chars = append(chars, fmt.Sprintf("%q", v.AppendText(nil, int32(id))))
		}
	}
	return chars
}

// copyRows fills dst with rows of from, of which there are n; row -1 is their
// mean.
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
