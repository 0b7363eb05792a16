package train

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
)

// Compatible returns nil where Run would go on with the checkpoints in dir: there
// is none, or the newest intact checkpoint came from the same inputs. Other inputs
// are an *IdentityError.
func Compatible(ctx context.Context, dir *run.Dir, o Options) error {
	n, err := dir.NewestIntact(ctx)
	if err != nil || n.Checkpoint == nil {
		return err
	}
	return o.sameIdentity(n.Metadata)
}

// start builds the trainer and goes on from the newest intact checkpoint.
func (r *training) start(ctx context.Context) error {
	w := rnn.NewWeights(r.o.Shape)
	if start := r.o.Start; start == nil {
		w.Init(r.o.Seed)
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
	if err != nil || n.Checkpoint == nil {
		return err
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
	if err := json.Unmarshal(n.Metrics, &r.past); err != nil {
		return fmt.Errorf("train: %s: metrics: %w", at, err)
	}
	if err := r.trainer.restore(n.Checkpoint); err != nil {
		return err
	}
	r.step, r.saved, r.first, r.judged = n.Step, n.Step, n.Step, n.Pointer.Loss != nil
	if last := len(r.past.Epochs) - 1; last >= 0 && r.past.Epochs[last].Step == r.step {
		r.past.Epochs[last].Validation = n.Pointer.Loss
	}
	return nil
}
