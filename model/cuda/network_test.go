//go:build linux && !nogpu

package cuda_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// open returns the GPU of a stand-in.
func open(t testing.TB, o cudatest.Options) (*cuda.Device, *cudatest.Driver) {
	t.Helper()
	s := cudatest.New(t, o)
	l, err := cuda.NewLibrary(s.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	d, err := cuda.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, s
}

var tutorial = rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 66, Embedding: 256, Hidden: 1024}

// TestStepCost counts what a step of the tutorial asks of the driver.
func TestStepCost(t *testing.T) {
	const T, B = 100, 64
	d, s := open(t, cudatest.Options{Skip: true})
	n, err := cuda.NewNetwork(d, tutorial, T, B, 32, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ids, rates := make([]int32, T*B), &kernel.AdamRates{}
	step := func() {
		if _, err := n.Loss(1, 2, ids, ids); err != nil {
			t.Fatal(err)
		}
		if err := n.Update(rates, 0); err != nil {
			t.Fatal(err)
		}
	}
	c := s.Count(step)
	if c.Launches != 0 || c.Kernels > 230 || c.ToDevice+c.ToHost > 150_000 || c.Waits > 2 || c.Allocations > 0 {
		t.Errorf("a step asks for %+v, want at most 230 kernels, recorded before, 150 KB and two waits", c)
	}
	t.Logf("a step: %+v", c)
}

// TestMemory: what a network needs is said before it takes any, and is what it takes.
func TestMemory(t *testing.T) {
	shape := rnn.Shape{Cell: rnn.LSTM, Layers: 2, Vocabulary: 7, Embedding: 5, Hidden: 9}
	o := &cuda.Options{Dropout: 0.2, WeightDropout: 0.3, Average: true}
	needed := cuda.Memory(shape, 4, 3, 32, o)
	for _, free := range []int64{needed - 1, needed} {
		d, s := open(t, cudatest.Options{Bytes: free})
		var n *cuda.Network
		var err error
		c := s.Count(func() { n, err = cuda.NewNetwork(d, shape, 4, 3, 32, o) })
		var full *cuda.MemoryError
		switch {
		case free == needed:
			if err != nil {
				t.Fatalf("%d bytes are free, as many as are needed: %v", free, err)
			}
			if err := n.Close(); err != nil {
				t.Fatal(err)
			}
		case !errors.As(err, &full) || full.Needed != needed || full.Free != free || c.Allocations > 0:
			t.Errorf("%d bytes free, %d needed: %v, after %d allocations", free, needed, err, c.Allocations)
		}
	}
	// Weights, their gradients and both moments of the tutorial, and (T, B, 4H) of its gates: 64 MB and 105 MB.
	if got := cuda.Memory(tutorial, 100, 64, 32, nil); got < 220e6 || got > 260e6 {
		t.Errorf("the tutorial takes %d bytes", got)
	} else {
		t.Logf("the tutorial takes %d bytes", got)
	}
	const huge = 1 << 40
	absurd := rnn.Shape{Cell: rnn.GRU, Layers: 2, Vocabulary: huge, Embedding: huge, Hidden: huge}
	if got := cuda.Memory(absurd, huge, huge, 32, nil); got != 1<<62 {
		t.Errorf("an absurd shape takes %d bytes", got)
	}
}

// TestResizeFails: without the memory of the longer sequences a network computes no loss,
// and says why, whatever it is asked for meanwhile.
func TestResizeFails(t *testing.T) {
	shape := rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 5, Embedding: 3, Hidden: 4}
	d, _ := open(t, cudatest.Options{Bytes: cuda.Memory(shape, 100, 2, 2, nil)})
	n, err := cuda.NewNetwork(d, shape, 2, 2, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var full *cuda.MemoryError
	if err := n.Resize(10_000); !errors.As(err, &full) {
		t.Fatalf("sequences of 10000: %v, want a *cuda.MemoryError", err)
	}
	if n.Gradient("embedding.weight") == nil {
		t.Error("no gradient of the embedding")
	}
	ids := make([]int32, 4)
	if _, err := n.Loss(0, 0, ids, ids); !errors.As(err, &full) {
		t.Errorf("a loss without memory: %v, want a *cuda.MemoryError", err)
	}
}

// TestNewNetworkFails: a GPU that fails is told of once.
func TestNewNetworkFails(t *testing.T) {
	shape := rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 5, Embedding: 3, Hidden: 4}
	for _, call := range []string{"cuMemAlloc_v2", "cuMemsetD8Async", "cuMemAllocHost_v2", "cuStreamSynchronize",
		"cuStreamBeginCapture_v2", "cuLaunchKernel", "cuGraphInstantiateWithFlags"} {
		d, s := open(t, cudatest.Options{})
		s.Fail(call, 1, 719)
		_, err := cuda.NewNetwork(d, shape, 2, 2, 2, nil)
		if !errors.As(err, new(*cuda.LostError)) || strings.Count(err.Error(), "the GPU failed") != 1 {
			t.Errorf("%s: %v, want one failure", call, err)
		}
	}
}

// TestCheck: what no GPU trains is known without one.
func TestCheck(t *testing.T) {
	gru := func(vocabulary, embedding, hidden int) rnn.Shape {
		return rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: vocabulary, Embedding: embedding, Hidden: hidden}
	}
	for _, c := range []struct {
		shape rnn.Shape
		want  string
	}{
		{gru(66, 256, 1024), ""},
		{gru(2, 1, 23170), ""},
		{gru(2, 1, 23171), "cuda: a hidden width of 23171, a GPU trains at most 23170"},
		{gru(1<<20, 2045, 1), ""},
		{gru(1<<20, 2046, 1), "cuda: a number of weights of 2147489984, a GPU trains at most 2147479551"},
		{rnn.Shape{Cell: "elman", Layers: 1, Vocabulary: 2, Embedding: 1, Hidden: 1}, "cuda: no kernels for the cell elman"},
	} {
		err := cuda.Check(c.shape)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.shape, err, c.want)
		}
	}
	d, _ := open(t, cudatest.Options{})
	if _, err := cuda.NewNetwork(d, gru(2, 1, 23171), 1, 1, 1, nil); !errors.As(err, new(*cuda.SizeError)) {
		t.Error(err)
	}
}

func TestNetworkRefuses(t *testing.T) {
	d, _ := open(t, cudatest.Options{})
	shape := rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 5, Embedding: 3, Hidden: 4}
	for _, o := range []cuda.Options{{Dropout: 1}, {InputDropout: -0.1}, {WeightDropout: math.NaN()}} {
		if _, err := cuda.NewNetwork(d, shape, 2, 2, 2, &o); err == nil || !strings.HasPrefix(err.Error(), "cuda: dropout is ") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	n, err := cuda.NewNetwork(d, shape, 2, 2, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Validator.Load(); err != nil {
		t.Fatal(err)
	}
	good, bad := []int32{0, 1, 2, 4}, []int32{0, 1, 2, 5}
	loss := func(ids, targets []int32) error { _, err := n.Loss(0, 0, ids, targets); return err }
	for _, c := range []struct {
		want string
		err  error
	}{
		{"cuda: batch of 3 ids and 4 targets, want 4 each (T 2, B 2)", loss(good[:3], good)},
		{"cuda: batch of 4 ids and 3 targets, want 4 each (T 2, B 2)", loss(good, good[:3])},
		{"cuda: batch: id 5 at step 1 of sequence 1 is outside the vocabulary of 5", loss(bad, good)},
		{"cuda: batch: id -1 at step 0 of sequence 0 is outside the vocabulary of 5", loss(good, []int32{-1, 0, 0, 0})},
		{"cuda: 1 ids for 2 streams", second(n.Validator.Step(good[:1]))},
		{"cuda: id 5 of stream 1 is outside the vocabulary of 5", second(n.Validator.Step(bad[2:]))},
		{"cuda: target 5 of stream 1 is outside the vocabulary of 5", second(n.Validator.Losses(good[:2], bad[2:]))},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("error %v, want %s", c.err, c.want)
		}
	}
	if _, err := n.Loss(0, 0, good, good); err != nil {
		t.Errorf("after refused batches: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }
