package train

import (
	"math"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
)

// TestMemory compares the estimate with the peaks that processes of `quire train` had, in
// MB, measured by GNU time: a vocabulary of 20 characters where none is named, four steps,
// and a validation. They had two processors.
func TestMemory(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	for _, c := range []struct {
		shape    rnn.Shape
		batch, T int
		change   func(*Options)
		measured float64
	}{
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 64, Hidden: 256}, 16, 100, nil, 78},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 256, Hidden: 1024}, 64, 100, nil, 358},
		{rnn.Shape{Cell: rnn.LSTM, Layers: 2, Embedding: 256, Hidden: 512}, 64, 100, nil, 469},
		{rnn.Shape{Cell: rnn.GRU, Layers: 2, Embedding: 256, Hidden: 1024}, 32, 50, func(o *Options) { o.Dropout = 0.2 }, 562},
		{rnn.Shape{Cell: rnn.LSTM, Layers: 1, Embedding: 128, Hidden: 2048}, 16, 50, nil, 783},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 256, Hidden: 512}, 128, 200, func(o *Options) { o.InputDropout = 0.2 }, 812},
		{rnn.Shape{Cell: rnn.GRU, Layers: 3, Embedding: 128, Hidden: 1024}, 16, 25, func(o *Options) { o.WeightDropout = 0.2 }, 749},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 256, Hidden: 3072}, 8, 20, func(o *Options) { o.Average = 0.9 }, 1461},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Embedding: 128, Hidden: 256}, 256, 300, nil, 541},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 20_000, Embedding: 64, Hidden: 256}, 64, 100, nil, 476},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 20_000, Embedding: 256, Hidden: 256}, 4, 100, nil, 509},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 2_000, Embedding: 64, Hidden: 256}, 64, 100, nil, 175},
		{rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 2_000, Embedding: 256, Hidden: 1024}, 64, 100, nil, 549},
	} {
		o := Options{Shape: c.shape, Batch: c.batch, SeqLength: c.T}
		if o.Shape.Vocabulary == 0 {
			o.Shape.Vocabulary = 20
		}
		if c.change != nil {
			c.change(&o)
		}
		if got := float64(o.Memory()) / (1 << 20); math.Abs(got/c.measured-1) > 0.1 {
			t.Errorf("%+v: %.0f MB, measured were %.0f", c, got, c.measured)
		}
		if n := o.parameters(); n != float64(o.Shape.Count()) {
			t.Errorf("%+v: %g parameters, want %d", o.Shape, n, o.Shape.Count())
		}
	}
	o := Options{Shape: rnn.Shape{Cell: rnn.GRU, Layers: 1 << 40, Vocabulary: 1 << 40, Embedding: 1 << 40, Hidden: 1 << 40}, Batch: 1 << 40, SeqLength: 1 << 40}
	if got := o.Memory(); got != 1<<62 {
		t.Errorf("an absurd shape takes %d bytes", got)
	}
}
