package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
)

// A State is what a run has, before Run goes on. The zero value is that of a run
// without checkpoints.
type State struct {
	Ended     bool            // no step is left
	Ancestors json.RawMessage // in the newest checkpoint
}

// Compatible returns no error where Run would go on with the checkpoints in dir: there
// is none, or the newest intact checkpoint came from the same inputs and is not
// further than this training ends. Other inputs are an *IdentityError, a run that is
// further an *AheadError.
func Compatible(ctx context.Context, dir *run.Dir, train Data, o Options) (State, error) {
	b, err := newBatches(train, &o)
	if err != nil {
		return State{}, err
	}
	n, err := dir.NewestIntact(ctx)
	if err != nil || n.Checkpoint == nil {
		return State{}, err
	}
	if err := o.sameIdentity(n.Metadata); err != nil {
		return State{}, err
	}
	past, err := pastOf(n)
	if err != nil {
		return State{}, err
	}
	return State{Ended: n.Step == b.end(past.Epochs), Ancestors: n.Ancestors}, b.ahead(dir, n.Step, past)
}

// ahead returns an *AheadError where a run is further than the training ends.
func (s *batches) ahead(dir *run.Dir, step int64, past history) error {
	end := s.end(past.Epochs)
	if step <= end {
		return nil
	}
	return &AheadError{Step: step, Asked: end, Kept: dir.Keeps(end)}
}

// pastOf returns the history in a checkpoint, with the loss of its pointer.
func pastOf(n *run.Newest) (past history, err error) {
	if err := json.Unmarshal(n.Metrics, &past); err != nil {
		return past, fmt.Errorf("metrics: %w", err)
	}
	if last := len(past.Epochs) - 1; last >= 0 && past.Epochs[last].Step == n.Step {
		past.Epochs[last].Validation = n.Pointer.Loss
	}
	return past, nil
}

// start builds the trainer and goes on from the newest intact checkpoint.
func (r *training) start(ctx context.Context) error {
	w := rnn.NewWeights(r.o.Shape)
	if start := r.o.Start; start == nil {
		w.Init(r.o.Seed)
		if r.o.EmbeddingRange > 0 {
			w.InitEmbedding(r.o.Seed, r.o.EmbeddingRange)
		}
	} else if start.Shape != r.o.Shape {
		return fmt.Errorf("train: the weights to start from have shape %+v, want %+v, the shape of the network", start.Shape, r.o.Shape)
	} else {
		copy(w.Flat, start.Flat)
	}
	var err error
	if r.trainer, err = NewTrainer(w, r.o.SeqLength, r.o.Batch, r.o.LR, &r.o.TrainerOptions); err != nil {
		return err
	}
	n, err := r.dir.NewestIntact(ctx)
	if err != nil {
		return err
	}
	if n.Checkpoint == nil {
		if len(n.Damaged) == 0 {
			return nil
		}
		warning := fmt.Errorf("%w; the training starts from zero", n.Damaged[0])
		return errors.Join(r.report(Report{Warning: warning}), r.dir.Discard(ctx))
	}
	if err := r.restore(n); err != nil {
		return err
	}
	for _, err := range n.Damaged {
		if err := r.report(Report{Warning: fmt.Errorf("%w; the checkpoint of step %d is taken instead", err, r.step)}); err != nil {
			return err
		}
	}
	if err := r.dir.ResumeFrom(ctx, n, r.o.Retention); err != nil {
		return err
	}
	if r.judged {
		r.stopEarly()
	}
	return r.report(Report{Resumed: true, EpochEnd: r.due()})
}

// restore sets the state of the training to that of a checkpoint.
func (r *training) restore(n *run.Newest) error {
	at := r.dir.Join(n.Pointer.Name)
	if err := r.o.sameIdentity(n.Metadata); err != nil {
		return fmt.Errorf("train: %s: %w", at, err)
	}
	var err error
	if r.past, err = pastOf(n); err != nil {
		return fmt.Errorf("train: %s: %w", at, err)
	}
	if err := r.batches.ahead(r.dir, n.Step, r.past); err != nil {
		return fmt.Errorf("train: %s: %w", at, err)
	}
	if err := r.trainer.restore(n.Checkpoint); err != nil {
		return err
	}
	if len(n.Ancestors) > 0 {
		r.o.Identity.Ancestors = n.Ancestors // as in the checkpoints before
	}
	r.step, r.saved, r.first, r.judged = n.Step, n.Step, n.Step, n.Pointer.Loss != nil
	return nil
}
