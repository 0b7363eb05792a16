package stages

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// ErrCannotGoOn is wrapped by the error of a run whose checkpoints or journal are
// damaged or unreadable. Replace and Fresh start such a run from zero.
var ErrCannotGoOn = errors.New("the run cannot go on")

// acquireRun holds the run in st, in which this training can go on. Checkpoints from
// other inputs and damaged ones are an error; Replace deletes them. Fresh deletes
// all checkpoints.
func acquireRun(ctx context.Context, st *store.Store, opts train.Options, o TrainOptions) (*run.Dir, error) {
	mayDelete := (o.Replace || o.Fresh) && ctx.Err() == nil
	dir, err := run.Acquire(ctx, st, nil)
	switch {
	case !errors.Is(err, store.ErrDamaged):
	case !mayDelete:
		err = fmt.Errorf("%w, or delete that file: the run then goes on from latest.json", err)
	default:
		o.Console.Line("train: deleting the journal: %v", err)
		if err = run.DropJournal(ctx, st); err == nil {
			dir, err = run.Acquire(ctx, st, nil)
		}
	}
	if err != nil {
		return nil, err
	}
	why := errors.New("asked to start from zero")
	if !o.Fresh {
		why = checkRun(ctx, dir, opts, o)
	} else if !mayDelete {
		why = ctx.Err()
	}
	if why != nil && mayDelete {
		o.Console.Line("train: replacing %s: %v", st.URL(), why)
		why = dir.Discard(ctx, report.MetricsName, report.PictureName, report.EventsPrefix)
	}
	if why != nil {
		return nil, errors.Join(why, dir.Release(ctx))
	}
	return dir, nil
}

// checkRun returns the reason why a training cannot go on in dir; nil: it can.
func checkRun(ctx context.Context, dir *run.Dir, opts train.Options, o TrainOptions) error {
	why := train.Compatible(ctx, dir, opts)
	var other *train.IdentityError
	switch {
	case why == nil || ctx.Err() != nil:
		return why
	case errors.As(why, &other):
		return fmt.Errorf("stages: %s: %w", o.Out, why)
	}
	return fmt.Errorf("stages: %s: %w: %w", o.Out, ErrCannotGoOn, why)
}
