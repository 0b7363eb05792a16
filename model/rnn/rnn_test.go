package rnn_test

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
)

// TestCounts checks against the tutorial's published sizes (Keras counts one
// LSTM bias less: 5,330,241).
func TestCounts(t *testing.T) {
	for _, c := range []struct {
		shape rnn.Shape
		want  int
	}{
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024}, 4_021_569},
		{rnn.Shape{Cell: rnn.LSTM, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024}, 5_334_337},
		{rnn.Shape{Cell: rnn.GRU, Layers: 2, Vocabulary: 2, Embedding: 1, Hidden: 1}, 2 + (3 + 3 + 6) + (3 + 3 + 6) + 2 + 2},
	} {
		if got := c.shape.Count(); got != c.want {
			t.Errorf("%v has %d parameters, want %d", c.shape, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	want := []string{"embedding.weight", "rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0", "rnn.bias_hh_l0",
		"rnn.weight_ih_l1", "rnn.weight_hh_l1", "rnn.bias_ih_l1", "rnn.bias_hh_l1", "dense.weight", "dense.bias"}
	list := rnn.Shape{Cell: rnn.LSTM, Layers: 2, Vocabulary: 5, Embedding: 3, Hidden: 4}.Parameters()
	if len(list) != len(want) {
		t.Fatalf("%d parameters, want %d", len(list), len(want))
	}
	for i, p := range list {
		if p.Name != want[i] {
			t.Errorf("parameter %d is %s, want %s", i, p.Name, want[i])
		}
	}
}

// TestInit checks range, mean and spread of a uniform distribution, and pins
// the first values: others would make other models.
func TestInit(t *testing.T) {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 64, Hidden: 128})
	w.Init(1)
	for i, p := range w.Shape.Parameters() {
		var sum, squares, top float64
		for _, x := range w.ByPos[i] {
			sum, squares, top = sum+float64(x), squares+float64(x)*float64(x), max(top, math.Abs(float64(x)))
		}
		n := float64(p.Size())
		if p.Limit == 0 {
			if top != 0 {
				t.Errorf("%s does not start at zero", p.Name)
			}
			continue
		}
		sd := p.Limit / math.Sqrt(3)
		if top > p.Limit || top < 0.99*p.Limit || math.Abs(sum/n) > 4*sd/math.Sqrt(n) || math.Abs(squares/n-sd*sd) > 4*sd*sd*math.Sqrt(0.8/n) {
			t.Errorf("%s: greatest %.4f, mean %.5f, variance %.6f; want ±%.4f, 0, %.6f", p.Name, top, sum/n, squares/n, p.Limit, sd*sd)
		}
	}
	if got := w.Embedding()[:3]; got[0] != wantInit[0] || got[1] != wantInit[1] || got[2] != wantInit[2] {
		t.Errorf("first values %v, want %v", got, wantInit)
	}
	before := slices.Clone(w.Flat)
	w.InitEmbedding(1, 0.4)
	for i, x := range w.Embedding() {
		if want := 8 * before[i]; x != want { // 0.4 is 8 times Keras' range, in float64 too
			t.Fatalf("value %d of a wider range is %v, want %v", i, x, want)
		}
	}
	if n := len(w.Embedding()); !slices.Equal(w.Flat[n:], before[n:]) {
		t.Error("another range of the embedding changes other weights")
	}
}

// wantInit was computed with Python's integers from the definition of Init.
var wantInit = [3]float32{0.0193512086, -0.00767886033, -0.0416891091}

func TestParseCell(t *testing.T) {
	if c, err := rnn.ParseCell("lstm"); c != rnn.LSTM || err != nil {
		t.Errorf("cell %s, error %v", c, err)
	}
	for _, name := range []string{"", "LSTM"} {
		want := "rnn: cell is " + strconv.Quote(name) + "; use gru or lstm"
		if _, err := rnn.ParseCell(name); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
