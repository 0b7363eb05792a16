package train

import (
	"context"
	"fmt"
)

// batches are the batches of a run's epochs.
type batches struct {
	data     Data
	windows  *windows // with Carry, in place of data
	B, n     int      // a batch is B sequences of n ids
	perEpoch int64    // batches
	goesOn   []bool   // which sequences of the last batch continue those of the one before
}

func newBatches(data Data, o *Options) (*batches, error) {
	s := &batches{data: data, B: o.Batch, n: o.SeqLength + 1, goesOn: make([]bool, o.Batch)}
	total := data.Len()
	if o.Hidden == Carry {
		text, ok := data.(Text)
		if !ok {
			return nil, fmt.Errorf("train: to carry the hidden, %T must be a Text", data)
		}
		s.windows = newWindows(text, o.SeqLength, o.Seed)
		total = s.windows.n
	}
	s.perEpoch = total / int64(o.Batch)
	if s.perEpoch == 0 && o.Epochs > 0 {
		return nil, fmt.Errorf("train: the set has %d sequences, less than one batch of %d; use a smaller train.batch, a smaller prep.seq_length or more text", total, o.Batch)
	}
	return s, nil
}

// read fills batch with number at of an epoch. With Carry, sequence b of the
// batches of an epoch is the b-th of B equal parts of its windows, one after the
// other.
func (s *batches) read(ctx context.Context, epoch int, at int64, batch []int32) (err error) {
	for b := range s.B {
		ids := batch[b*s.n : (b+1)*s.n]
		if s.windows == nil {
			err = s.data.Read(ctx, epoch, at*int64(s.B)+int64(b), ids)
		} else {
			s.goesOn[b], err = s.windows.read(ctx, epoch, int64(b)*s.perEpoch+at, ids)
			s.goesOn[b] = s.goesOn[b] && at > 0
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step takes a training step on a batch that read has filled.
func (s *batches) step(t *Trainer, batch []int32) (float64, error) {
	for b, on := range s.goesOn {
		if !on {
			t.Forget(b)
		}
	}
	return t.Step(batch)
}

// StepsPerEpoch returns how many steps Run takes in an epoch of data.
func StepsPerEpoch(data Data, o Options) (int64, error) {
	b, err := newBatches(data, &o)
	if err != nil {
		return 0, err
	}
	return b.perEpoch, nil
}
