package tiny

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A Model is a model that nobody has trained. Its zero fields, but Vocab, are those of a GRU of one
// layer whose weights are zero.
type Model struct {
	rnn.Shape // without the vocabulary, which is Vocab's; of a cell, layers and widths of 0: GRU, 1 and 2
	Vocab     *vocab.Vocab
	Normalize string
	Weigh     func(w *rnn.Weights)           // sets the weights
	Change    func(c *checkpoint.Checkpoint) // alters the checkpoint before it is saved
}

// Save saves a model in a folder and returns the path of its checkpoint.
func (m Model) Save(t testing.TB, dir string) string {
	t.Helper()
	list, err := json.Marshal(m.Vocab)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Shape
	s.Vocabulary = m.Vocab.Size()
	if s.Cell == "" {
		s.Cell = rnn.GRU
	}
	for _, n := range []struct {
		of        *int
		otherwise int
	}{{&s.Layers, 1}, {&s.Embedding, 2}, {&s.Hidden, 2}} {
		if *n.of == 0 {
			*n.of = n.otherwise
		}
	}
	w := rnn.NewWeights(s)
	if m.Weigh != nil {
		m.Weigh(w)
	}
	c := &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{Cell: string(s.Cell), Unit: string(m.Vocab.Unit()), Normalize: "none",
		Set: strings.Repeat("5", 64), Vocab: list, Metrics: json.RawMessage(`{}`),
		Config: fmt.Appendf(nil, `{"model":{"cell":%q,"layers":%d,"embedding":%d,"hidden":%d}}`, s.Cell, s.Layers, s.Embedding, s.Hidden)}}
	if m.Normalize != "" {
		c.Normalize = m.Normalize
	}
	for i, p := range s.Parameters() {
		c.Tensors = append(c.Tensors, checkpoint.Tensor{Name: p.Name, Shape: slices.Clone(p.Dims), Data: w.ByPos[i]})
	}
	if m.Change != nil {
		m.Change(c)
	}
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	saved, err := checkpoint.Save(t.Context(), st, c)
	if err != nil {
		t.Fatal(err)
	}
	return st.Join(saved.Name)
}

// Open opens the model of a checkpoint.
func Open(t testing.TB, path string) *text.Model {
	t.Helper()
	m, err := text.OpenModel(t.Context(), path, "best")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Vocab returns a vocabulary of the characters or bytes of a text. With unknown it has [UNK].
func Vocab(t testing.TB, unit vocab.Unit, known string, unknown bool) *vocab.Vocab {
	t.Helper()
	counts := map[rune]int64{}
	for _, c := range known {
		counts[c] = 2
	}
	if unit == vocab.Byte {
		clear(counts)
		for _, b := range []byte(known) {
			counts[rune(b)] = 2
		}
	}
	if unknown {
		counts['~'] = 1
	}
	v, err := vocab.New(unit, counts, 2)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Drawn draws weights and multiplies them. The more, the further characters are apart, and the
// more those before them count.
func Drawn(seed int64, times float32) func(w *rnn.Weights) {
	return func(w *rnn.Weights) {
		w.Init(seed)
		for i := range w.Flat {
			w.Flat[i] *= times
		}
	}
}

// Constant lets a model predict characters with probabilities in proportion to odds, whatever it
// has read.
func Constant(odds ...float64) func(w *rnn.Weights) {
	return func(w *rnn.Weights) {
		_, bias := w.Dense()
		for i, p := range odds {
			bias[i] = float32(math.Log(p))
		}
	}
}
