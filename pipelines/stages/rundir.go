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

// ourEvents starts the names of our event files: their numbers are epochs. Other programs
// have seconds since 1970 there.
const ourEvents = report.EventsPrefix + "0000"

// checkOwner returns a *ForeignError where a directory is no run's and holds files.
func checkOwner(ctx context.Context, st *store.Store, owned bool) error {
	if ours, err := run.IsRun(ctx, st); owned || ours || err != nil {
		return err
	}
	return empty(ctx, st, run.PinsName)
}

// acquireRun holds the run in st, in which this training can go on. Checkpoints from
// other inputs, damaged ones and those of more steps are an error; Replace deletes
// them. Fresh deletes all checkpoints. state is that of the run.
func acquireRun(ctx context.Context, st *store.Store, data train.Data, opts train.Options, o TrainOptions) (
	dir *run.Dir, state train.State, err error,
) {
	if err := checkOwner(ctx, st, o.Owned); err != nil {
		return nil, state, err
	}
	mayDelete := (o.Replace || o.Fresh) && ctx.Err() == nil
	dir, err = run.Acquire(ctx, st, nil)
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
		return nil, state, err
	}
	why := errors.New("asked to start from zero")
	if !o.Fresh {
		state, why = checkRun(ctx, dir, data, opts, o)
	} else if !mayDelete {
		why = ctx.Err()
	}
	if why != nil && mayDelete {
		o.Console.Line("train: replacing %s: %v", st.URL(), why)
		state, why = train.State{}, dir.Discard(ctx, report.MetricsName, report.SegmentsPrefix, report.PictureName, report.PageName, ourEvents)
	}
	if why == nil {
		why = dir.Begin(ctx)
	}
	if why != nil {
		return nil, state, errors.Join(why, dir.Release(ctx))
	}
	return dir, state, nil
}

// checkRun returns the state of the run in dir, and the reason why a training cannot
// go on there; nil: it can, or has ended.
func checkRun(ctx context.Context, dir *run.Dir, data train.Data, opts train.Options, o TrainOptions) (state train.State, why error) {
	state, why = train.Compatible(ctx, dir, data, opts)
	switch {
	case why == nil || ctx.Err() != nil:
		return state, why
	case errors.As(why, new(*train.IdentityError)), errors.As(why, new(*train.AheadError)):
		return train.State{}, fmt.Errorf("stages: %s: %w", o.Out, why)
	}
	return train.State{}, fmt.Errorf("stages: %s: %w: %w", o.Out, ErrCannotGoOn, why)
}
