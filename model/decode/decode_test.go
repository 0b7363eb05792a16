package decode_test

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/graph"
	"github.com/quire-ml/quire/model/rnn"
)

const V = 9

func weights(cell rnn.Cell, layers, hidden int) *rnn.Weights {
	w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: layers, Vocabulary: V, Embedding: 5, Hidden: hidden})
	for i := range w.Flat {
		w.Flat[i] = float32(math.Sin(float64(i)*1.7)) * 0.3
	}
	return w
}

// models are every cell with one layer and several, of widths around a vector's.
func models(t *testing.T, f func(t *testing.T, w *rnn.Weights)) {
	for _, cell := range rnn.Cells() {
		for _, layers := range []int{1, 3} {
			for _, hidden := range []int{1, 17, 64} {
				t.Run(fmt.Sprintf("%s/%d/%d", cell, layers, hidden), func(t *testing.T) { f(t, weights(cell, layers, hidden)) })
			}
		}
	}
}

func stream(b, t int) int32 { return int32((t*t + 3*b + 1) % V) }

func step(t *testing.T, m *decode.Model, at int) []float32 {
	t.Helper()
	ids := make([]int32, m.B)
	for b := range ids {
		ids[b] = stream(b, at)
	}
	logits, err := m.Step(ids)
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), logits...)
}

// TestStepIsTheGraphs demands the bits of the training graph.
func TestStepIsTheGraphs(t *testing.T) {
	const T, B = 6, 3
	models(t, func(t *testing.T, w *rnn.Weights) {
		net, err := graph.New(w, T, B, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer net.Close()
		ids, targets := make([]int32, T*B), make([]int32, T*B)
		for i := range ids {
			ids[i], targets[i] = stream(i%B, i/B), stream(i%B, i/B+1)
		}
		if _, err := net.Run(ids, targets); err != nil {
			t.Fatal(err)
		}
		m := decode.New(w, B)
		for at := range T {
			got, want := step(t, m, at), net.Logits()[at*B*V:(at+1)*B*V]
			for i := range want {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("step %d, logit %d: %x, in the graph %x", at, i, got[i], want[i])
				}
			}
		}
	})
}

// TestStreams demands that a stream does not depend on the streams beside it, and
// that a model after Reset is as a new one.
func TestStreams(t *testing.T) {
	const B = 20
	models(t, func(t *testing.T, w *rnn.Weights) {
		m := decode.New(w, B)
		for range 2 {
			m.Reset()
			var alone []*decode.Model
			for range B {
				alone = append(alone, decode.New(w, 1))
			}
			for at := range 3 { // odd, so that the second round starts at an odd step
				got := step(t, m, at)
				for b := range B {
					want, err := alone[b].Step([]int32{stream(b, at)})
					if err != nil {
						t.Fatal(err)
					}
					if fmt.Sprint(got[b*V:(b+1)*V]) != fmt.Sprint(want) {
						t.Fatalf("step %d: stream %d of %d is %v, alone %v", at, b, B, got[b*V:(b+1)*V], want)
					}
				}
			}
		}
	})
}

// TestLosses compares with the definition.
func TestLosses(t *testing.T) {
	w := weights(rnn.GRU, 2, 17)
	m, again := decode.New(w, 2), decode.New(w, 2)
	for at := range 4 {
		targets := []int32{stream(0, at+1), stream(1, at+1)}
		losses, err := m.Losses([]int32{stream(0, at), stream(1, at)}, targets)
		if err != nil {
			t.Fatal(err)
		}
		logits := step(t, again, at)
		for b, target := range targets {
			var sum float64
			for _, x := range logits[b*V : (b+1)*V] {
				sum += math.Exp(float64(x))
			}
			if want := math.Log(sum) - float64(logits[b*V+int(target)]); math.Abs(losses[b]-want) > 1e-6 {
				t.Errorf("step %d, stream %d: loss %.9f, want %.9f", at, b, losses[b], want)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	m := decode.New(weights(rnn.LSTM, 1, 8), 2)
	want := fmt.Sprint(step(t, decode.New(weights(rnn.LSTM, 1, 8), 2), 0))
	for name, call := range map[string]func() error{
		"decode: 1 ids for 2 streams":                                 func() error { _, err := m.Step([]int32{1}); return err },
		"decode: id 9 of stream 1 is outside the vocabulary of 9":     func() error { _, err := m.Step([]int32{1, V}); return err },
		"decode: id -1 of stream 0 is outside the vocabulary of 9":    func() error { _, err := m.Step([]int32{-1, 0}); return err },
		"decode: target 9 of stream 0 is outside the vocabulary of 9": func() error { _, err := m.Losses([]int32{1, 1}, []int32{V, 0}); return err },
	} {
		if err := call(); err == nil || err.Error() != name {
			t.Errorf("error %v, want %s", err, name)
		}
	}
	if got := fmt.Sprint(step(t, m, 0)); got != want {
		t.Error("a refused step moved the streams")
	}
}

// TestStepAllocates demands that a step allocates nothing.
func TestStepAllocates(t *testing.T) {
	m := decode.New(weights(rnn.GRU, 2, 64), 4)
	ids := make([]int32, 4)
	run := func() {
		if _, err := m.Step(ids); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if n := testing.AllocsPerRun(50, run); n != 0 {
		t.Errorf("%v allocations a step, want none", n)
	}
}

func BenchmarkStep(b *testing.B) {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024})
	w.Init(1)
	for _, streams := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			m, ids := decode.New(w, streams), make([]int32, streams)
			for b.Loop() {
				if _, err := m.Step(ids); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(streams*b.N)/b.Elapsed().Seconds(), "chars/s")
		})
	}
}

// TestForget: a forgotten stream starts from zero, and the others go on.
func TestForget(t *testing.T) {
	const B = 3
	models(t, func(t *testing.T, w *rnn.Weights) {
		m, whole, fresh := decode.New(w, B), decode.New(w, B), decode.New(w, B)
		for at := range 3 {
			step(t, m, at)
			step(t, whole, at)
		}
		m.Forget(1)
		got, on, anew := step(t, m, 3), step(t, whole, 3), step(t, fresh, 3)
		want := append(append(append([]float32(nil), on[:V]...), anew[V:2*V]...), on[2*V:]...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("logits %v, want %v", got, want)
		}
	})
}

// TestReload: a model with the weights and the hidden of another goes on as the
// other does.
func TestReload(t *testing.T) {
	const B = 2
	models(t, func(t *testing.T, w *rnn.Weights) {
		changing := rnn.NewWeights(w.Shape)
		m, want := decode.New(changing, B), decode.New(w, B)
		step(t, m, 0)
		copy(changing.Flat, w.Flat)
		m.Reload()
		var zeros, cells [][]float32
		for range w.Shape.Layers {
			zeros, cells = append(zeros, make([]float32, B*w.Shape.Hidden)), append(cells, make([]float32, B*w.Shape.Hidden))
		}
		m.SetHidden(zeros, cells)
		for at := range 3 {
			if got, want := step(t, m, at), step(t, want, at); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("step %d: logits %v, want %v", at, got, want)
			}
		}
	})
}

// TestMemory compares Memory with what New allocates.
func TestMemory(t *testing.T) {
	for _, cell := range rnn.Cells() {
		for _, layers := range []int{1, 2} {
			for _, B := range []int{1, 256} {
				w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: layers, Vocabulary: 2000, Embedding: 16, Hidden: 256})
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				decode.New(w, B)
				runtime.ReadMemStats(&after)
				if got, want := float64(decode.Memory(w.Shape, B)), float64(after.TotalAlloc-before.TotalAlloc); math.Abs(got/want-1) > 0.15 { // a product at its beginning takes a buffer
					t.Errorf("%s, %d layers, B %d: %.2f MB, New takes %.2f", cell, layers, B, got/1e6, want/1e6)
				}
			}
		}
	}
	if got := decode.Memory(rnn.Shape{Cell: rnn.GRU, Layers: 1 << 40, Vocabulary: 1 << 40, Hidden: 1 << 40}, 1<<40); got != 1<<62 {
		t.Errorf("an absurd shape takes %d bytes", got)
	}
}

// TestLossesThreads has a vocabulary so large that several workers compute the losses,
// and demands those of one worker.
func TestLossesThreads(t *testing.T) {
	const V, B = 5000, 5
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: V, Embedding: 3, Hidden: 8})
	w.Init(1)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ids, targets := []int32{0, 17, 4999, 300, 17}, []int32{1, 0, 4998, 2500, 17}
	var want string
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		losses, err := decode.New(w, B).Losses(ids, targets)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(losses); want == "" {
			want = got
		} else if got != want {
			t.Errorf("GOMAXPROCS %d: losses %s, want %s", procs, got, want)
		}
	}
}
