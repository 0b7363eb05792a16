//go:build linux && !nogpu

package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// OpenStandIn returns the GPU of a stand-in for the driver, which executes the kernels.
func OpenStandIn(t testing.TB, o cudatest.Options) (*cuda.Device, *cudatest.Driver) {
	t.Helper()
	s := cudatest.New(t, o)
	l, err := cuda.NewLibrary(s.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	return openGPU(t, l), s
}

// openGPU opens the GPU of a driver, with l nil the machine's.
func openGPU(t testing.TB, l *cuda.Library) *cuda.Device {
	t.Helper()
	d, err := cuda.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// gpuCase is a training of some steps.
type gpuCase struct {
	shape    rnn.Shape
	T        []int // of each step
	B        int
	o        TrainerOptions
	sampling float64
	forget   bool // one sequence a step
}

// gpuCases have every option of a training, alone and together, and sizes around
// those of the kernels' tiles.
func gpuCases() []gpuCase {
	gru := func(n, V, I, H int) rnn.Shape {
		return rnn.Shape{Cell: rnn.GRU, Layers: n, Vocabulary: V, Embedding: I, Hidden: H}
	}
	lstm := func(n, V, I, H int) rnn.Shape {
		return rnn.Shape{Cell: rnn.LSTM, Layers: n, Vocabulary: V, Embedding: I, Hidden: H}
	}
	all := TrainerOptions{Clip: 0.5, Decay: 0.1, Average: 0.9, Seed: -3, Dropout: 0.4, InputDropout: 0.1, WeightDropout: 0.3, Hidden: Carry}
	return []gpuCase{
		{shape: gru(1, 5, 3, 4), T: []int{3, 3, 3}, B: 2},
		{shape: lstm(1, 11, 7, 20), T: []int{4, 4, 4}, B: 3},
		{shape: gru(1, 65, 33, 67), T: []int{9, 9}, B: 5},
		{shape: lstm(2, 65, 16, 64), T: []int{8, 8}, B: 8},
		{shape: gru(3, 37, 9, 35), T: []int{5, 5}, B: 17},
		{shape: gru(2, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Dropout: 0.5, Seed: 4}},
		{shape: lstm(3, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Dropout: 0.2, Seed: 5}},
		{shape: gru(1, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{InputDropout: 0.3, Seed: 6}},
		{shape: lstm(2, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{InputDropout: 0.3, Dropout: 0.3, Seed: 6}},
		{shape: gru(2, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{WeightDropout: 0.6, Seed: 7}},
		{shape: gru(1, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Clip: 0.1}},
		{shape: lstm(1, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Decay: 0.5}},
		{shape: gru(1, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Average: 0.7}},
		{shape: gru(2, 7, 5, 9), T: []int{4, 4, 4, 4}, B: 3, o: TrainerOptions{Hidden: Carry}, forget: true},
		{shape: lstm(2, 7, 5, 9), T: []int{4, 4, 4, 4}, B: 3, o: TrainerOptions{Hidden: Carry}, forget: true},
		{shape: lstm(1, 7, 5, 9), T: []int{2, 2, 4, 5, 4, 2, 3, 7}, B: 3, o: TrainerOptions{Hidden: Carry, Seed: 8}},
		{shape: gru(1, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Seed: 9}, sampling: 0.5},
		{shape: lstm(2, 7, 5, 9), T: []int{4, 4, 4}, B: 3, o: TrainerOptions{Seed: 9, Hidden: Carry}, sampling: 0.8, forget: true},
		{shape: gru(2, 7, 5, 9), T: []int{1, 1, 1}, B: 3},
		{shape: lstm(2, 7, 5, 9), T: []int{4, 4, 4}, B: 1},
		{shape: gru(1, 90, 5, 9), T: []int{2, 2, 2}, B: 3},
		{shape: lstm(1, 2, 1, 1), T: []int{1, 1, 1}, B: 1},
		{shape: lstm(3, 37, 9, 35), T: []int{5, 7}, B: 17, o: all, sampling: 0.3, forget: true},
		{shape: gru(3, 37, 9, 35), T: []int{7, 5}, B: 17, o: all, sampling: 0.3, forget: true},
	}
}

// TestGPUHasTheCPUsBytes takes the same steps on both devices and compares all that
// they compute. The GPU is a stand-in, or with QUIRE_GPU=1 the machine's.
func TestGPUHasTheCPUsBytes(t *testing.T) {
	for i, c := range gpuCases() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				answer := "yes"
				if t.Failed() {
					answer = "no"
				}
				t.Logf("bytes equal: %s: %+v", answer, c)
			})
			if os.Getenv("QUIRE_GPU") == "1" {
				c.run(t, openGPU(t, nil))
				return
			}
			d, _ := OpenStandIn(t, cudatest.Options{Seed: uint64(i)})
			c.run(t, d)
		})
	}
}

// TestGPURefuses: what a GPU cannot train is refused by name, and leaves nothing of its
// memory taken.
func TestGPURefuses(t *testing.T) {
	shape := rnn.Shape{Cell: rnn.LSTM, Layers: 1, Vocabulary: 7, Embedding: 5, Hidden: 9}
	for want, c := range map[string]struct {
		o     TrainerOptions
		bytes int64
	}{
		"train: only a processor has products in bf16":    {TrainerOptions{Precision: kernel.BF16}, 0},
		"cuda: dropout is 1, want at least 0 and below 1": {TrainerOptions{Dropout: 1}, 0},
		"cuda: out of memory: ":                           {TrainerOptions{}, cuda.Memory(shape, 3, 2, evaluateRows, nil) - 1},
	} {
		d, s := OpenStandIn(t, cudatest.Options{Bytes: c.bytes})
		c.o.Device = d
		var err error
		counts := s.Count(func() { _, err = NewTrainer(rnn.NewWeights(shape), 3, 2, 0.01, &c.o) })
		if err == nil || !strings.HasPrefix(err.Error(), want) || counts.Allocations > 0 {
			t.Errorf("error %v after %d allocations, want %s", err, counts.Allocations, want)
		}
	}
}

func (c gpuCase) run(t *testing.T, d *cuda.Device) {
	r := rand.New(rand.NewPCG(3, 5))
	var trainers [2]*Trainer
	for i := range trainers {
		w, o := rnn.NewWeights(c.shape), c.o
		w.Init(7)
		for i := range w.Flat { // greater than initial weights, so that gates saturate now and then
			w.Flat[i] *= 4
		}
		if i == 1 {
			o.Device = d
		}
		var err error
		if trainers[i], err = NewTrainer(w, c.T[0], c.B, 0.01, &o); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := trainers[i].Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	for step, T := range c.T {
		batch := make([]int32, c.B*(T+1))
		for i := range batch {
			batch[i] = r.Int32N(int32(c.shape.Vocabulary))
		}
		last := step == len(c.T)-1
		var seen [2]*gpuStep
		for i, tr := range trainers {
			if c.forget {
				tr.Forget(step % c.B)
			}
			if err := tr.resize(T); err != nil {
				t.Fatal(err)
			}
			tr.Sampling = c.sampling
			seen[i] = stepOf(t, tr, batch, step == 0, last)
		}
		seen[1].compare(t, step, seen[0])
	}
}

// gpuStep is all that a step computes.
type gpuStep struct {
	loss, norm, validation float64
	names                  []string
	values                 [][]float32
}

// stepOf takes a step. With twice the loss is computed a second time, for which the
// first must leave nothing. With validated the model is validated after it.
func stepOf(t *testing.T, tr *Trainer, batch []int32, twice, validated bool) *gpuStep {
	t.Helper()
	s := &gpuStep{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keep := func(name string, x []float32) {
		s.names, s.values = append(s.names, name), append(s.values, append([]float32(nil), x...))
	}
	var err error
	s.loss, err = tr.Loss(batch)
	check(err)
	if twice {
		first := s.loss
		s.loss, err = tr.Loss(batch)
		check(err)
		if s.loss != first {
			t.Errorf("the loss is %v, and %v the second time", first, s.loss)
		}
	}
	for _, p := range tr.Weights.Shape.Parameters() {
		keep("gradient of "+p.Name, tr.Gradient(p.Name))
	}
	if tr.Gradient("none") != nil {
		t.Error("a gradient of an unknown name")
	}
	check(tr.Apply())
	s.norm = tr.Solver.Norm()
	if validated {
		m, err := tr.machine.validator()
		check(err)
		s.validation, _, err = evaluate(t.Context(), m, verses(tr.Weights.Shape.Vocabulary), 0)
		check(err)
	}
	tensors, err := tr.tensors()
	check(err)
	for _, x := range tensors {
		keep(x.Name, x.Data)
	}
	return s
}

func (s *gpuStep) compare(t *testing.T, step int, want *gpuStep) {
	t.Helper()
	if s.loss != want.loss || s.norm != want.norm || s.validation != want.validation {
		t.Errorf("step %d: loss %v, norm %v, validation loss %v; the CPU has %v, %v, %v", step, s.loss, s.norm, s.validation, want.loss, want.norm, want.validation)
	}
	for i, name := range want.names {
		bad, at := 0, 0
		for k, x := range want.values[i] {
			if math.Float32bits(x) != math.Float32bits(s.values[i][k]) {
				if bad == 0 {
					at = k
				}
				bad++
			}
		}
		if bad > 0 {
			t.Errorf("step %d: %d of %d values of %s differ, value %d is %g, the CPU's %g", step, bad, len(want.values[i]), name, at, s.values[i][at], want.values[i][at])
		}
	}
}

// verses are 50 stretches of 4 characters each, of a vocabulary of so many.
type verses int32

func (v verses) Stretches() []int64 { return slices.Repeat([]int64{4}, 50) }

func (v verses) ReadAt(_ context.Context, at int64, dst []int32) error {
	for i := range dst {
		x := at + int64(i)
		dst[i] = int32((x + x*x/3) % int64(v))
	}
	return nil
}
