package train

import (
	"context"
	"fmt"
)

// Curriculum makes the first part of a training easier. The zero value is none.
type Curriculum struct {
	// SeqLength is the number of characters of a sequence in the first epoch. It
	// rises by equal steps over Epochs epochs, at least 1, and is L after them. 0
	// means L in every epoch. Another value needs Carry.
	SeqLength int
	Epochs    int
	// Sampling is the share, 0 to 1, of the inputs that are samples of the model
	// (scheduled sampling; Bengio et al., 2015) at the end of the last epoch. The
	// share rises from 0 by an equal amount each step.
	Sampling float64
}

// length returns the number of characters of a sequence in an epoch (from 1), at
// most L.
func (c Curriculum) length(epoch, L int) int {
	if c.SeqLength == 0 || epoch > c.Epochs {
		return L
	}
	return c.SeqLength + (L-c.SeqLength)*(epoch-1)/c.Epochs
}

// batches divides a run into epochs and an epoch into batches.
type batches struct {
	o        *Options
	data     Data
	text     Text    // with Carry, in place of data
	ends     []int64 // the first step after each epoch of the curriculum
	perEpoch int64   // batches of each later epoch

	passages *passages // of the last batch
	goesOn   []bool    // whether sequence b of the last batch continues that of the batch before
}

// A TooFewError is about a set without a batch. Smaller batches, shorter sequences or
// more text help.
type TooFewError struct {
	Sequences int64 // that the set has
	Batch     int   // that a batch takes
}

func (e *TooFewError) Error() string {
	return fmt.Sprintf("train: a batch takes %d sequences, and the set has %d", e.Batch, e.Sequences)
}

func newBatches(data Data, o *Options) (*batches, error) {
	if err := o.Schedule.check(); err != nil {
		return nil, err
	}
	s := &batches{o: o, data: data, goesOn: make([]bool, o.Batch)}
	if c := o.Curriculum; c.SeqLength > o.SeqLength || c.SeqLength > 0 && o.Hidden != Carry {
		return nil, fmt.Errorf("train: a curriculum from %d characters needs sequences of at least as many, not %d, and the hidden carried",
			c.SeqLength, o.SeqLength)
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
		return nil, &TooFewError{total, o.Batch}
	}
	for epoch := 1; o.Curriculum.SeqLength > 0 && epoch <= o.Curriculum.Epochs; epoch++ {
		n := newPassages(s.text, o.Curriculum.length(epoch, o.SeqLength), o.Seed).n
		s.ends = append(s.ends, s.steps(epoch-1)+n/int64(o.Batch))
	}
	return s, nil
}

// steps returns the number of steps in the given number of first epochs.
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

// Steps returns the numbers of steps that Run takes on data: in all, and in an
// epoch after those of a curriculum. Early stopping may end a run sooner. The
// error is a *TooFewError where data has no batch.
func Steps(data Data, o Options) (all, perEpoch int64, err error) {
	b, err := newBatches(data, &o)
	if err != nil {
		return 0, 0, err
	}
	return b.total(), b.perEpoch, nil
}

// end returns the step at which a training with these epochs behind it ends: after
// the first epoch that stops it early, or else where total says.
func (s *batches) end(past []EpochMetrics) int64 {
	total := s.total()
	for n, e := range past {
		if exhausted(past[:n+1], s.o.Patience) {
			return min(total, e.Step)
		}
	}
	return total
}

// total returns the number of steps of the whole run.
func (s *batches) total() int64 {
	if all := s.steps(s.o.Epochs); s.o.MaxSteps == 0 || all < s.o.MaxSteps {
		return all
	}
	return s.o.MaxSteps
}
