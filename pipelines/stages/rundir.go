package stages

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
)

// takeRun takes the lease of a run and makes sure that what is there, if
// anything, can be continued. What cannot, from other inputs or damaged, is an
// error, or is deleted with Replace; with Fresh everything is.
func takeRun(ctx context.Context, st *store.Store, opts train.Options, o TrainOptions) (*store.Lease, error) {
	anew := (o.Replace || o.Fresh) && ctx.Err() == nil
	lease, err := train.Acquire(context.WithoutCancel(ctx), st)
	switch {
	case !errors.Is(err, store.ErrDamaged):
	case !anew:
		err = fmt.Errorf("%w, or delete that file: the run then goes on from latest.json", err)
	default:
		o.Console.Line("train: deleting the journal: %v", err)
		if err = st.Delete(ctx, checkpoint.JournalName, ""); err == nil {
			lease, err = train.Acquire(ctx, st)
		}
	}
	if err != nil {
		return nil, err
	}
	why := errors.New("asked to start from zero")
	if !o.Fresh {
		why = checkRun(ctx, st, opts, o)
	} else if !anew {
		why = ctx.Err()
	}
	if why != nil && anew {
		o.Console.Line("train: replacing %s: %v", st.URL(), why)
		why = discard(ctx, st, lease)
	}
	if why != nil {
		return nil, errors.Join(why, train.Release(ctx, lease))
	}
	return lease, nil
}

// checkRun returns why what is in st, if anything, cannot be continued.
func checkRun(ctx context.Context, st *store.Store, opts train.Options, o TrainOptions) error {
	why := train.Compatible(ctx, st, opts)
	var other *train.IdentityError
	switch {
	case why == nil:
		return nil
	case errors.As(why, &other):
		return fmt.Errorf("stages: %s: %w", o.Out, why)
	}
	return badRun(ctx, why)
}

// badRun adds to an error of reading a run what to do, unless ctx is the cause.
func badRun(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w; put back an intact copy, or start from zero: train --fresh (train --replace does so only where a run cannot go on), or delete its directory", err)
}

// discard deletes the checkpoints, pointers and reports of a run, of which the
// lease must be held.
func discard(ctx context.Context, st *store.Store, lease *store.Lease) error {
	if err := lease.Commit(ctx, nil); err != nil {
		return err
	}
	names := []string{"latest.json", "best.json", report.MetricsName, report.PictureName}
	for _, prefix := range []string{"checkpoints/", report.EventsPrefix} {
		list, err := st.List(ctx, prefix)
		if err != nil {
			return err
		}
		for _, info := range list {
			names = append(names, info.Name)
		}
	}
	for _, name := range names {
		if err := st.Delete(ctx, name, ""); err != nil {
			return err
		}
	}
	return nil
}

// Pointers reads the pointers of a run; best is nil where none was kept.
func Pointers(ctx context.Context, st *store.Store) (latest checkpoint.Pointer, best *checkpoint.Pointer, err error) {
	if latest, _, err = checkpoint.ReadPointer(ctx, st, "latest"); err != nil {
		return latest, nil, err
	}
	p, _, err := checkpoint.ReadPointer(ctx, st, "best")
	if errors.Is(err, store.ErrNotExist) {
		return latest, nil, nil
	}
	return latest, &p, err
}
