package train_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// read returns the losses of a text, each of a character after the characters before it.
func read(t *testing.T, m interface {
	Losses(ids, targets []int32) ([]float64, error)
}, text []int32) (list []float64) {
	t.Helper()
	for i := 1; i < len(text); i++ {
		losses, err := m.Losses(text[i-1:i], text[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, losses[0])
	}
	return list
}

func adaptive(t *testing.T, w *rnn.Weights, lr float64) *train.Adaptive {
	t.Helper()
	a, err := train.NewAdaptive(w, lr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// tale returns a text of an alphabet of V.
func tale(chars, V int) (text []int32) {
	for i := range chars {
		text = append(text, int32((i*i+i/7)%V))
	}
	return text
}

// waves are weights of a wave of that height.
func waves(s rnn.Shape, height float64) *rnn.Weights {
	w := rnn.NewWeights(s)
	for i := range w.Flat {
		w.Flat[i] = float32(math.Sin(1.7*float64(i)) * height)
	}
	return w
}

// TestAdaptiveAgainstPyTorch compares losses with those of testdata/adapt.py, which printed
// the numbers: of each passage together, of which the last is not whole, and of the last four
// characters. The GRU of height 2 has gradients that are clipped.
func TestAdaptiveAgainstPyTorch(t *testing.T) {
	const V = 5
	for _, c := range []struct {
		cell           rnn.Cell
		height         float64
		passages, last []float64
	}{
		{rnn.GRU, 0.3, []float64{52.591196972, 52.273103924, 51.607020830, 20.408916516}, []float64{1.585562149, 1.522024679, 1.517223325, 1.587312997}},
		{rnn.LSTM, 0.3, []float64{52.019567337, 51.871682752, 52.177275895, 21.648372280}, []float64{1.598796227, 1.793113867, 1.793260128, 1.598804191}},
		{rnn.GRU, 2, []float64{130.766811434, 113.850159923, 90.388867365, 27.667415499}, []float64{1.536268633, 1.983760045, 3.246229579, 1.478296773}},
		{rnn.LSTM, 2, []float64{76.428527297, 68.845411054, 66.013670486, 27.906636638}, []float64{1.609351500, 2.922816729, 2.207997221, 1.697250717}},
	} {
		w := waves(rnn.Shape{Cell: c.cell, Layers: 2, Vocabulary: V, Embedding: 3, Hidden: 4}, c.height)
		got := read(t, adaptive(t, w, 0.5), tale(110, V))
		near := func(what string, got, want, tolerance float64) {
			t.Helper()
			if !(math.Abs(got-want) <= tolerance) {
				t.Errorf("%s, %g: %s is %.9f, by PyTorch %.9f", c.cell, c.height, what, got, want)
			}
		}
		for i, want := range c.passages {
			sum := 0.0
			for _, nats := range got[i*train.AdaptChars : min(len(got), (i+1)*train.AdaptChars)] {
				sum += nats
			}
			near(fmt.Sprintf("passage %d", i), sum, want, 1e-4)
		}
		for i, want := range c.last {
			near(fmt.Sprintf("loss %d from the end", len(c.last)-i), got[len(got)-len(c.last)+i], want, 5e-5)
		}
	}
}

// TestAdaptiveLooksBack: no loss depends on a character after it, or on whether the text goes
// on; a passage that is not whole, and the first, have the losses of a model that does not learn, to
// the last bit. The weights that are given stay as they are.
func TestAdaptiveLooksBack(t *testing.T) {
	const n = train.AdaptChars
	for _, cell := range rnn.Cells() {
		w := waves(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: testV, Embedding: 5, Hidden: 9}, 0.4)
		before := slices.Clone(w.Flat)
		text := tale(3*n+1, testV)
		whole := read(t, adaptive(t, w, 0.5), text)
		plain := read(t, decode.New(w, 1), text)
		if !slices.Equal(whole[:n], plain[:n]) {
			t.Errorf("%s: the first passage costs %v, without learning %v", cell, whole[:n], plain[:n])
		}
		for k := range 2 { // passages that were learned from
			if at := (k + 1) * n; slices.Equal(whole[at:at+n], plain[at:at+n]) {
				t.Errorf("%s: nothing was learned before passage %d", cell, k+1)
			}
		}
		for _, chars := range []int{2, n, n + 1, n + 2, 2 * n, 2*n + 1, 2*n + 2} {
			if got := read(t, adaptive(t, w, 0.5), text[:chars]); !slices.Equal(got, whole[:chars-1]) {
				t.Errorf("%s: the first %d characters cost %v alone, %v at the beginning of a text", cell, chars, got, whole[:chars-1])
			}
			other := slices.Clone(text)
			other[chars] = (other[chars] + 1) % testV
			if got := read(t, adaptive(t, w, 0.5), other); !slices.Equal(got[:chars-1], whole[:chars-1]) || got[chars-1] == whole[chars-1] {
				t.Errorf("%s: another character %d changes the losses before it, or not its own", cell, chars)
			}
		}
		if !slices.Equal(w.Flat, before) {
			t.Errorf("%s: the weights have changed", cell)
		}
	}
}

// TestAdaptiveRefuses: what is no text of the model is an error, and so are gradients that are
// not finite.
func TestAdaptiveRefuses(t *testing.T) {
	w := waves(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 3, Embedding: 2, Hidden: 4}, 0.4)
	a := adaptive(t, w, 0.1)
	if _, err := a.Losses([]int32{0}, []int32{3}); err == nil || err.Error() != "decode: target 3 of stream 0 is outside the vocabulary of 3" {
		t.Errorf("a target outside the vocabulary: %v", err)
	}
	read(t, a, []int32{0, 1})
	if _, err := a.Losses([]int32{2}, []int32{0}); err == nil || err.Error() != "train: id 2 does not follow the target 1" {
		t.Errorf("a text with a gap: %v", err)
	}
	a = adaptive(t, w, 0.1)
	read(t, a, tale(train.AdaptChars+1, 3))
	if _, err := a.Losses([]int32{1}, []int32{0}); err == nil || err.Error() != "train: id 1 does not follow the target 2" {
		t.Errorf("a text with a gap between passages: %v", err)
	}
	w.Flat[0] = float32(math.NaN())
	a, text := adaptive(t, w, 0.1), tale(train.AdaptChars+2, 3)
	read(t, a, text[:len(text)-1])
	var diverged *train.DivergedError
	if _, err := a.Losses(text[len(text)-2:len(text)-1], text[len(text)-1:]); !errors.As(err, &diverged) || diverged.Step != 1 {
		t.Errorf("weights that are NaN: %v", err)
	}
}

// adaptiveSum returns a digest of the losses of a model that learns.
func adaptiveSum(t *testing.T, shape rnn.Shape) string {
	w := rnn.NewWeights(shape)
	w.Init(3)
	h := sha256.New()
	for _, nats := range read(t, adaptive(t, w, 0.1), tale(3*train.AdaptChars, shape.Vocabulary)) {
		fmt.Fprintf(h, "%x\n", math.Float64bits(nats))
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestAdaptiveMemory compares the estimate with what is allocated until a step has been taken,
// by one worker: each has buffers for products.
func TestAdaptiveMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, s := range []rnn.Shape{
		{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 64, Hidden: 512},
		{Cell: rnn.LSTM, Layers: 2, Vocabulary: 2000, Embedding: 32, Hidden: 256},
	} {
		w := waves(s, 0.1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		read(t, adaptive(t, w, 0.01), tale(train.AdaptChars+2, s.Vocabulary))
		runtime.ReadMemStats(&after)
		got, want := float64(train.AdaptiveMemory(s)), float64(after.TotalAlloc-before.TotalAlloc)
		t.Logf("%+v: %.2f MB, %.2f are allocated", s, got/1e6, want/1e6)
		if !(math.Abs(got/want-1) <= 0.15) {
			t.Errorf("%+v: %.2f MB, it takes %.2f", s, got/1e6, want/1e6)
		}
	}
	if got := train.AdaptiveMemory(rnn.Shape{Cell: rnn.GRU, Layers: 1 << 40, Vocabulary: 1 << 40, Embedding: 1 << 40, Hidden: 1 << 40}); got != 1<<61 {
		t.Errorf("an absurd shape takes %d bytes", got)
	}
}
