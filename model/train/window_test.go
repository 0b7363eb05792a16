package train_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// chapters is a text of an alphabet of 5, by the lengths of its stretches.
type chapters []int64

func (c chapters) Stretches() []int64 { return c }

func (c chapters) ReadAt(_ context.Context, at int64, dst []int32) error {
	for i := range dst {
		t := at + int64(i)
		dst[i] = int32((t*t + t/7) % 5)
	}
	return nil
}

// windowed returns the loss of a text in windows, which has that many characters to predict.
func windowed(t *testing.T, w *rnn.Weights, text train.Text, window int, want int64) float64 {
	t.Helper()
	nats, chars, err := train.EvaluateWindows(t.Context(), w, text, window)
	if err != nil || chars != want {
		t.Fatalf("windows of %d: %d characters, %v, want %d", window, chars, err, want)
	}
	return nats
}

// TestEvaluateWindowsAgainstPyTorch compares with testdata/window.py, which printed the numbers.
// The longest stretch has 700 characters, so one window of 699; others are shorter than a window.
func TestEvaluateWindowsAgainstPyTorch(t *testing.T) {
	text := chapters{9, 1, 700, 2, 40}
	for cell, losses := range map[rnn.Cell]map[int]float64{
		rnn.GRU: {1: 1.896926224, 7: 2.006080140, 8: 2.012856057, 9: 2.022413444, 39: 2.126345986, 256: 2.148635252, 698: 2.153342825,
			699: 2.153701353, 700: 2.153701353, 65536: 2.153701353},
		rnn.LSTM: {1: 1.872307059, 7: 1.849976317, 8: 1.852563078, 9: 1.851437604, 39: 1.848957626, 256: 1.848595099, 698: 1.848449832,
			699: 1.848479381, 700: 1.848479381, 65536: 1.848479381},
	} {
		w := waves(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: 5, Embedding: 3, Hidden: 4}, 1)
		for window, want := range losses {
			if got := windowed(t, w, text, window, 747); !(math.Abs(got-want) <= 1e-6) {
				t.Errorf("%s, windows of %d: %.9f nats, by PyTorch %.9f", cell, window, got, want)
			}
		}
	}
}

// TestEvaluateWindows compares with a pass for each window, of models that hardly forget.
func TestEvaluateWindows(t *testing.T) {
	for _, text := range []chapters{{2}, {20}, {34, 2}, {300}, {5, 1, 9, 1500, 2, 2, 1, 800, 1}} {
		for _, cell := range rnn.Cells() {
			w := waves(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: 5, Embedding: 3, Hidden: 5}, 1)
			for k := range w.Shape.Layers {
				keep := w.Layer(k).BIH[w.Shape.Hidden:][:w.Shape.Hidden] // z of a GRU, f of an LSTM
				for i := range keep {
					keep[i] = 8
				}
			}
			one := decode.New(w, 1)
			for _, window := range []int{1, 2, 5, 8, 31, 256, 257, 799, 2000} {
				var want float64
				var chars, start int64
				for _, n := range text {
					for from := start; from+1 < start+n; from += int64(window) {
						part := make([]int32, min(int64(window), start+n-1-from)+1)
						if err := text.ReadAt(t.Context(), from, part); err != nil {
							t.Fatal(err)
						}
						one.Reset()
						for _, nats := range read(t, one, part) {
							want += nats
							chars++
						}
					}
					start += n
				}
				if got := windowed(t, w, text, window, chars); !(math.Abs(got*float64(chars)-want) <= 1e-12*want) {
					t.Errorf("%s, %d, windows of %d: %v nats, want %v", cell, text, window, got*float64(chars), want)
				}
			}
		}
	}
	w := rnn.NewWeights(options().Shape)
	if _, _, err := train.EvaluateWindows(t.Context(), w, chapters{9}, 0); err == nil || err.Error() != "train: windows of 0 characters" {
		t.Errorf("windows of nothing: %v", err)
	}
}

// TestEvaluateWindowsOfAll: one window a stretch has the bits of a hidden that is carried.
func TestEvaluateWindowsOfAll(t *testing.T) {
	w := waves(rnn.Shape{Cell: rnn.LSTM, Layers: 2, Vocabulary: 5, Embedding: 3, Hidden: 5}, 1)
	text := chapters{200, 3, 256, 90}
	want, chars, err := train.Evaluate(t.Context(), w, text)
	if err != nil {
		t.Fatal(err)
	}
	if got := windowed(t, w, text, 255, chars); got != want {
		t.Errorf("windows of 255: %v nats, carried %v", got, want)
	}
	if got := windowed(t, w, text, 254, chars); got == want {
		t.Errorf("windows of 254: %v nats, as carried", got)
	}
}

// windowSum returns the bits of losses in windows.
func windowSum(t *testing.T, shape rnn.Shape) (bits string) {
	w := rnn.NewWeights(shape)
	w.Init(3)
	for _, window := range []int{1, 40, 300} {
		bits += fmt.Sprintf("%x ", math.Float64bits(windowed(t, w, chapters{50, 900}, window, 948)))
	}
	return bits
}
