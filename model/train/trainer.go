// Package train is the training of a network: a step for any loop (Trainer), and
// the loop that makes a run (Run): epochs, validation, checkpoints, exact resume.
//
// The state of a training after a step depends on the data, the shape, the
// numbers of Options and the step alone: not on the steps at which the training
// was saved, stopped or resumed.
package train

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/model/adam"
	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Trainer takes the steps of a training. It is for one goroutine at a time.
//
// Weights and the moments in Solver are those after the last step. On a device
// with separate memory, that holds after a call of Averaged.
type Trainer struct {
	T, B    int
	Weights *rnn.Weights
	Solver  *adam.Solver

	// Sampling is the share of the inputs of the next Loss that are samples of the
	// model, in [0, 1].
	Sampling float64

	o       TrainerOptions
	team    *kernel.Team // of all that the processor computes
	machine machine
	mean    *rnn.Weights // running mean of the weights, nil for none
	hidden  *hidden      // nil: every batch starts from zero
	ids     []int32      // (T, B)
	targets []int32      // (T, B)
}

// TrainerOptions are the optional numbers of a trainer. The zero value is plain
// Adam.
type TrainerOptions struct {
	Clip      float64          // threshold of the gradient's global norm; 0 for none
	Decay     float64          // weight decay; 0 for none
	Average   float64          // decay of the mean of the weights, in [0, 1); 0 for none
	Seed      int64            // decides, with the step, the values dropped and the draws
	Precision kernel.Precision // of the recurrent products

	// Shares of values dropped, in [0, 1): between layers and before the dense
	// layer, of the embedded input, and of the recurrent weights.
	Dropout, InputDropout, WeightDropout float64

	// Device is the GPU that computes, nil for the processor. It changes no value. The
	// caller closes it after the trainer. A GPU computes in FP32 alone.
	Device *cuda.Device

	// Hidden is the start of a batch's sequences; empty is Zero. Carry starts
	// sequence b from the hidden after sequence b of the last applied batch. No
	// gradient goes back to an earlier batch.
	Hidden Hidden
}

// NewTrainer returns a trainer for batches of B sequences of T+1 ids, with zero
// moments. It changes the given weights in place. A precision that the device lacks
// is an error, and too little memory on a GPU a *cuda.MemoryError. o may be nil.
func NewTrainer(w *rnn.Weights, T, B int, lr float64, o *TrainerOptions) (*Trainer, error) {
	return newTrainer(w, T, B, lr, o, func(t *Trainer) machine {
		if t.o.Device != nil {
			return &gpu{t: t}
		}
		return &cpu{t: t}
	})
}

// newTrainer is NewTrainer with the machine that on returns.
func newTrainer(w *rnn.Weights, T, B int, lr float64, o *TrainerOptions, on func(*Trainer) machine) (*Trainer, error) {
	if o == nil {
		o = &TrainerOptions{}
	}
	var sizes []int
	for _, p := range w.Shape.Parameters() {
		sizes = append(sizes, p.Size())
	}
	team := kernel.NewTeam()
	t := &Trainer{B: B, Weights: w, Solver: adam.New(team, lr, o.Clip, sizes), o: *o, team: team}
	t.Solver.Decay, t.Solver.Average = o.Decay, o.Average
	if o.Average > 0 {
		t.mean = rnn.NewWeights(w.Shape)
		copy(t.mean.Flat, w.Flat)
		t.Solver.Mean = t.mean.ByPos
	}
	if o.Hidden == Carry {
		t.hidden = newHidden(w.Shape, B)
	}
	t.machine = on(t)
	if err := t.resize(T); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if err := t.machine.push(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// resize makes the sequences T+1 ids long from now on. Everything else stays.
func (t *Trainer) resize(T int) error {
	if T == t.T {
		return nil
	}
	if err := t.machine.resize(T); err != nil {
		return err
	}
	t.T, t.ids, t.targets = T, make([]int32, T*t.B), make([]int32, T*t.B)
	return nil
}

// Loss computes the mean cross-entropy in nats, and the gradients, of a batch:
// B sequences of T+1 ids, one after another. The input is the first T ids of a
// sequence, the target the last T. TrainerOptions.Hidden decides the hidden that the
// sequences start from. Dropout and Sampling depend on the seed and the steps taken.
func (t *Trainer) Loss(batch []int32) (float64, error) {
	if len(batch) != t.B*(t.T+1) {
		return 0, fmt.Errorf("train: batch of %d ids, want %d sequences of %d", len(batch), t.B, t.T+1)
	}
	for b := 0; b < t.B; b++ {
		seq := batch[b*(t.T+1) : (b+1)*(t.T+1)]
		for i := 0; i < t.T; i++ {
			t.ids[i*t.B+b], t.targets[i*t.B+b] = seq[i], seq[i+1]
		}
	}
	if t.Sampling > 0 {
		if err := t.draw(); err != nil {
			return 0, err
		}
	}
	return t.machine.loss(t.ids, t.targets)
}

// Apply updates the weights by the gradients of the last Loss. With Carry, the
// next Loss starts from the hidden after the last. Gradients that are NaN or
// infinite are an error, and change nothing.
func (t *Trainer) Apply() error {
	squares, err := t.machine.squares()
	if err != nil {
		return err
	}
	rates, err := t.Solver.Begin(squares)
	if err != nil {
		return err
	}
	return t.machine.apply(rates)
}

// Forget lets sequence b of the next batch start from zero, with Carry too.
func (t *Trainer) Forget(b int) { t.machine.forget(b) }

// Step is Loss and Apply.
func (t *Trainer) Step(batch []int32) (float64, error) {
	loss, err := t.Loss(batch)
	if err != nil {
		return loss, err
	}
	return loss, t.Apply()
}

// Averaged returns the weights of a model saved now. With Average these are the
// mean of the weights after each step, with more weight on later steps (see
// adam.Solver); else they are Weights. They share the trainer's memory.
func (t *Trainer) Averaged() (*rnn.Weights, error) { return t.model(), t.machine.pull() }

// model returns the weights of Averaged as the host last saw them.
func (t *Trainer) model() *rnn.Weights {
	if t.mean == nil {
		return t.Weights
	}
	return t.mean
}

// Gradient returns the gradient of a parameter from the last Loss, valid until the
// next Loss; nil for an unknown name.
func (t *Trainer) Gradient(name string) []float32 { return t.machine.gradient(name) }

// Close frees the machine's memory.
func (t *Trainer) Close() error { return t.machine.close() }

// tensors lists weights, moments and the carried hidden after the last step, as a
// checkpoint stores them. They share the trainer's memory.
func (t *Trainer) tensors() ([]checkpoint.Tensor, error) { return t.memory(), t.machine.pull() }

// memory returns the tensors as the host last saw them.
func (t *Trainer) memory() []checkpoint.Tensor {
	list := t.Weights.Shape.Parameters()
	var out []checkpoint.Tensor
	for _, part := range t.stored() {
		for i, p := range list {
			out = append(out, checkpoint.Tensor{Name: part.prefix + p.Name, Shape: p.Dims, Data: part.data[i]})
		}
	}
	return append(out, t.hidden.tensors()...)
}

// part is the parameters, or their moments, by position.
type part struct {
	prefix string
	data   [][]float32
}

func (t *Trainer) stored() []part {
	list := []part{{"", t.model().ByPos}, {"adam.m.", t.Solver.M}, {"adam.v.", t.Solver.V}}
	if t.mean != nil {
		list = append(list, part{"raw.", t.Weights.ByPos})
	}
	return list
}

// restore sets the tensors and the step to those of a checkpoint.
func (t *Trainer) restore(c *checkpoint.Checkpoint) error {
	for _, own := range t.memory() {
		x, ok := c.Tensor(own.Name)
		if !ok || !slices.Equal(x.Shape, own.Shape) {
			return fmt.Errorf("train: checkpoint of step %d has no tensor %s of shape %v", c.Step, own.Name, own.Shape)
		}
		copy(own.Data, x.Data)
	}
	t.Solver.T = c.Step
	return t.machine.push()
}
