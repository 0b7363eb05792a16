package train

import (
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/quire-ml/quire/model/adam"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
)

// apart is a machine with separate memory: it sees only values that the trainer
// has pushed, and the trainer only values that it has pulled.
type apart struct {
	host, own *Trainer
}

// copyMemory copies weights, moments, mean and hidden.
func copyMemory(to, from *Trainer) {
	for i, t := range from.memory() {
		copy(to.memory()[i].Data, t.Data)
	}
}

// push leaves NaN on the host: only a pull brings values there.
func (a *apart) push() error {
	copyMemory(a.own, a.host)
	for _, t := range a.host.memory() {
		for i := range t.Data {
			t.Data[i] = float32(math.NaN())
		}
	}
	return nil
}

func (a *apart) pull() error { copyMemory(a.host, a.own); return nil }

func (a *apart) loss(ids, targets []int32) (float64, error) {
	a.own.Solver.T = a.host.Solver.T
	return a.own.machine.loss(ids, targets)
}

func (a *apart) resize(T int) (err error) {
	if a.own == nil {
		a.own, err = NewTrainer(rnn.NewWeights(a.host.Weights.Shape), T, a.host.B, 0, &a.host.o)
		return err
	}
	return a.own.resize(T)
}

func (a *apart) gradient(name string) []float32 { return a.own.Gradient(name) }
func (a *apart) squares() ([]float64, error)    { return a.own.machine.squares() }
func (a *apart) apply(r adam.Rates) error       { return a.own.machine.apply(r) }
func (a *apart) forget(b int)                   { a.own.Forget(b) }
func (a *apart) sampler() (predictor, error)    { return a.own.machine.sampler() }
func (a *apart) validator() (predictor, error)  { return a.own.machine.validator() }
func (a *apart) close() error                   { return a.own.Close() }

// TestMachine trains on the processor and on a machine apart from it, which must
// have the same losses, gradients and tensors, also after a restore.
func TestMachine(t *testing.T) {
	const B = 3
	batch := func(T, step int) (ids []int32) {
		for i := range B * (T + 1) {
			ids = append(ids, int32((i*i+step*step)%7))
		}
		return ids
	}
	for _, o := range []TrainerOptions{{}, {Clip: 0.1, Decay: 0.1, Average: 0.5, Seed: 3, Hidden: Carry}, {Dropout: 0.5, InputDropout: 0.2, WeightDropout: 0.3, Seed: 4}} {
		for _, cell := range rnn.Cells() {
			var trainers [2]*Trainer
			for i := range trainers {
				w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: 7, Embedding: 3, Hidden: 4})
				w.Init(5)
				var err error
				on := []func(*Trainer) machine{func(t *Trainer) machine { return &cpu{t: t} }, func(t *Trainer) machine { return &apart{host: t} }}[i]
				if trainers[i], err = newTrainer(w, 4, B, 0.01, &o, on); err != nil {
					t.Fatal(err)
				}
				defer trainers[i].Close()
			}
			var saved [2]*checkpoint.Checkpoint
			for step := range 8 {
				var losses [2]float64
				var grads [2][]float32
				var validation [2]float64
				var tensors [2][]checkpoint.Tensor
				for i, tr := range trainers {
					T := 4 + step/3
					if err := tr.resize(T); err != nil {
						t.Fatal(err)
					}
					tr.Sampling = 0.5
					tr.Forget(step % B)
					var err error
					if losses[i], err = tr.Step(batch(T, step)); err != nil {
						t.Fatal(err)
					}
					grads[i] = append(grads[i], tr.Gradient("rnn.weight_hh_l1")...)
					m, err := tr.machine.validator()
					if err != nil {
						t.Fatal(err)
					}
					if validation[i], _, err = evaluate(t.Context(), m, line(60), 0); err != nil {
						t.Fatal(err)
					}
					if step%2 == 0 { // the next pull brings values that are not pulled now
						continue
					}
					if tensors[i], err = tr.tensors(); err != nil {
						t.Fatal(err)
					}
					if step == 3 {
						saved[i] = copyOf(tr.Solver.T, tensors[i])
					}
				}
				if losses[0] != losses[1] || validation[0] != validation[1] || !reflect.DeepEqual(grads[0], grads[1]) || !reflect.DeepEqual(tensors[0], tensors[1]) {
					t.Fatalf("%s %+v, step %d: losses %v, validation losses %v, or gradients or tensors differ", cell, o, step, losses, validation)
				}
				if w, err := trainers[1].Averaged(); err != nil || w.Flat[0]-w.Flat[0] != 0 {
					t.Fatalf("%s %+v, step %d: the model's first weight is %g, %v", cell, o, step, w.Flat[0], err)
				}
				if step == 5 {
					for i, tr := range trainers {
						if err := tr.restore(saved[i]); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
}

// TestValidator demands that a trainer builds one decoder for all its validations, with
// the losses of a decoder of the weights at that time, from zero hidden.
func TestValidator(t *testing.T) {
	for _, o := range []TrainerOptions{{}, {Average: 0.9, Hidden: Carry}} {
		w := rnn.NewWeights(rnn.Shape{Cell: rnn.LSTM, Layers: 2, Vocabulary: 7, Embedding: 3, Hidden: 4})
		w.Init(5)
		tr, err := NewTrainer(w, 4, 1, 0.1, &o)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		var first predictor
		for step := range 3 {
			if _, err := tr.Step([]int32{0, 1, 4, 2, 2}); err != nil {
				t.Fatal(err)
			}
			m, err := tr.machine.validator()
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = m
			}
			got, _, err := evaluate(t.Context(), m, line(60), 0)
			want, _, err2 := Evaluate(t.Context(), tr.model(), line(60))
			if err != nil || err2 != nil || got != want || m != first {
				t.Errorf("%+v, step %d: loss %v of the same decoder %v, want %v (%v, %v)", o, step, got, m == first, want, err, err2)
			}
		}
	}
}

// TestOneTeam demands that all that a trainer computes on the processor is one team's
// work: the workers of two teams would wait for jobs on the same cores.
func TestOneTeam(t *testing.T) {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 7, Embedding: 3, Hidden: 4})
	tr, err := NewTrainer(w, 4, 1, 0.1, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	draws, err := tr.machine.sampler()
	if err != nil {
		t.Fatal(err)
	}
	validates, err := tr.machine.validator()
	if err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]any{"graph": tr.machine.(*cpu).net, "Adam": tr.Solver, "sampling": draws, "validation": validates} {
		if reflect.ValueOf(x).Elem().FieldByName("team").Pointer() != reflect.ValueOf(tr.team).Pointer() {
			t.Errorf("%s has a team of its own", what)
		}
	}
}

func copyOf(step int64, tensors []checkpoint.Tensor) *checkpoint.Checkpoint {
	c := &checkpoint.Checkpoint{}
	c.Step = step
	for _, t := range tensors {
		t.Data = append([]float32(nil), t.Data...)
		c.Tensors = append(c.Tensors, t)
	}
	return c
}

// line is a text of the given number of characters.
type line int64

func (l line) Stretches() []int64 { return []int64{int64(l)} }

func (l line) ReadAt(_ context.Context, at int64, dst []int32) error {
	for i := range dst {
		dst[i] = int32((at + int64(i)) * (at + int64(i)) % 7)
	}
	return nil
}
