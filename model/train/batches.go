package train

import (
	"context"
	"errors"
	"fmt"
)

// Curriculum makes the first part of a training easier. The zero value is none.
type Curriculum struct {
	// Over Epochs epochs, at least 1, the characters of a sequence rise from
	// SeqLength by equal steps; then they are L. 0 is L from the beginning. It
	// needs Carry.
	SeqLength int
	Epochs    int
	// Sampling is the share of the inputs that are the model's own samples
	// (scheduled sampling; Bengio et al., 2015) at the end of the last epoch. It
	// rises from 0 in equal steps.
	Sampling float64
}

// length returns the characters of a sequence in an epoch, of L in the end.
func (c Curriculum) length(epoch, L int) int {
	if c.SeqLength == 0 || epoch > c.Epochs {
		return L
	}
	return c.SeqLength + (L-c.SeqLength)*(epoch-1)/c.Epochs
}

// batches are the batches of a run: its epochs, and the sequences in them.
type batches struct {
	o        *Options
	data     Data
	text     Text    // with Carry, in place of data
	ends     []int64 // the first step after each epoch of the curriculum
	perEpoch int64   // batches of each later one

	passages *passages // of the last batch
	goesOn   []bool    // which of its sequences continue those of the one before
}

// ErrTooFew is wrapped where a set has no batch. Smaller batches, shorter
// sequences or more text help.
var ErrTooFew = errors.New("less than one batch")

func newBatches(data Data, o *Options) (*batches, error) {
	if err := o.Schedule.check(); err != nil {
		return nil, err
	}
	s := &batches{o: o, data: data, goesOn: make([]bool, o.Batch)}
	if c := o.Curriculum; c.SeqLength > o.SeqLength || c.SeqLength > 0 && o.Hidden != Carry {
		return nil, fmt.Errorf("train: a curriculum from %d characters needs sequences of at least as many, not %d, and the hidden carried", c.SeqLength, o.SeqLength)
	}
	total := data.Len()
	if o.Hidden == Carry {
		var ok bool
		if s.text, ok = data.(Text); !ok {
			return nil, fmt.Errorf("train: to carry the hidden, %T must be a Text", data)
		}
		total = newPassages(s.text, o.SeqLength, o.Seed).n
	}
	s.perEpoch = total / int64(o.Batch)
	if s.perEpoch == 0 && o.Epochs > 0 {
		return nil, fmt.Errorf("train: the set has %d sequences, %w of %d", total, ErrTooFew, o.Batch)
	}
	for epoch := 1; o.Curriculum.SeqLength > 0 && epoch <= o.Curriculum.Epochs; epoch++ {
		n := newPassages(s.text, o.Curriculum.length(epoch, o.SeqLength), o.Seed).n
		s.ends = append(s.ends, s.steps(epoch-1)+n/int64(o.Batch))
	}
	return s, nil
}

// steps returns the number of steps in the first epochs.
func (s *batches) steps(epochs int) int64 {
	n := min(epochs, len(s.ends))
	last := int64(0)
	if n > 0 {
		last = s.ends[n-1]
	}
	return last + int64(epochs-n)*s.perEpoch
}

// find locates a step (from 0): its epoch (from 1) and its position within the
// epoch (from 0).
func (s *batches) find(step int64) (epoch int, at int64) {
	for n, end := range s.ends {
		if step < end {
			return n + 1, step - s.steps(n)
		}
	}
	step -= s.steps(len(s.ends))
	if s.perEpoch == 0 {
		return 1, step
	}
	return len(s.ends) + 1 + int(step/s.perEpoch), step % s.perEpoch
}

// read fills the beginning of batch with the sequences of a step, and returns
// their T. With Carry, the passages of an epoch are divided into B equal parts, and
// sequence b of the batches goes through part b.
func (s *batches) read(ctx context.Context, step int64, batch []int32) (T int, err error) {
	epoch, at := s.find(step)
	T = s.o.Curriculum.length(epoch, s.o.SeqLength)
	if s.text != nil && (s.passages == nil || s.passages.T != int64(T)) {
		s.passages = newPassages(s.text, T, s.o.Seed)
	}
	perEpoch := s.steps(epoch) - s.steps(epoch-1)
	for b := range int64(s.o.Batch) {
		ids := batch[b*int64(T+1) : (b+1)*int64(T+1)]
		if s.text == nil {
			err = s.data.Read(ctx, epoch, at*int64(s.o.Batch)+b, ids)
		} else {
			s.goesOn[b], err = s.passages.read(ctx, epoch, b*perEpoch+at, ids)
			s.goesOn[b] = s.goesOn[b] && at > 0
		}
		if err != nil {
			return T, err
		}
	}
	return T, nil
}

// step takes a training step on a batch that read has filled.
func (s *batches) step(t *Trainer, T int, batch []int32) (float64, error) {
	if err := t.resize(T); err != nil {
		return 0, err
	}
	for b, on := range s.goesOn {
		if !on {
			t.Forget(b)
		}
	}
	return t.Step(batch[:s.o.Batch*(T+1)])
}

// Steps returns the steps that Run takes on data: in all, and in an epoch after
// those of a curriculum. Early stopping may end a run before.
func Steps(data Data, o Options) (all, perEpoch int64, err error) {
	b, err := newBatches(data, &o)
	if err != nil {
		return 0, 0, err
	}
	return b.total(), b.perEpoch, nil
}

// total returns the steps of the whole run.
func (s *batches) total() int64 {
	if all := s.steps(s.o.Epochs); s.o.MaxSteps == 0 || all < s.o.MaxSteps {
		return all
	}
	return s.o.MaxSteps
}
