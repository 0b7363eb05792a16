package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/watch"
	"github.com/quire-ml/quire/runners/store"
)

// lookEvery is the time between two looks at the lease of a run.
const lookEvery = 2 * time.Second

// Follow shows on the console the training of a run that a process holds, from the files of
// the run, until it has ended or its holder has died.
func Follow(ctx context.Context, st *store.Store, console *report.Console) error {
	l, err := watch.Take(ctx, st)
	if err == nil && l.Holder != nil {
		console.Line("train: process %d on %s trains this run: %s", l.Holder.PID, l.Holder.Host, far(l))
	}
	if err == nil {
		_, err = watch.Follow(ctx, st, watch.Options{Console: console})
	}
	if errors.As(err, new(*watch.NobodyError)) || errors.As(err, new(*watch.FindError)) {
		return nil
	}
	return err
}

// far says how far a training is.
func far(l *watch.Look) string {
	text := fmt.Sprintf("step %d", l.Step)
	if l.Steps > 0 {
		text += fmt.Sprintf(" of %d", l.Steps)
	}
	if l.TrainNats != nil {
		text += fmt.Sprintf(", loss %.3f", *l.TrainNats)
	}
	return text
}

// show shows the training of a run until ctx ends, whoever trains it and whenever they begin.
func show(ctx context.Context, st *store.Store, console *report.Console) {
	for ctx.Err() == nil {
		if held, err := holding(ctx, st); err == nil && held != nil {
			_ = Follow(ctx, st, console) // the job itself has the errors
		}
		_ = store.Wait(ctx, lookEvery)
	}
}

// holding returns who has the run in st, nil where nobody is known to: a dead process of this
// machine has nothing.
func holding(ctx context.Context, st *store.Store) (*store.Holding, error) {
	s, err := run.ReadState(ctx, st)
	if errors.Is(err, store.ErrNotExist) || err == nil && s.Holder != nil && s.Holder.Dead {
		return nil, nil
	}
	return s.Holder, err
}

// alive reports whether a process renews the lease of a run, and which.
func alive(ctx context.Context, st *store.Store) (*store.Holding, bool) {
	first, err := holding(ctx, st)
	if err != nil || first == nil {
		return nil, false
	}
	for began := time.Now(); time.Since(began) < first.Length; {
		if store.Wait(ctx, lookEvery) != nil {
			return nil, false
		}
		if h, err := holding(ctx, st); err != nil || h == nil {
			return nil, false
		} else if !h.Until.Equal(first.Until) {
			return h, true
		}
	}
	return nil, false
}

// heldError is the error of a run that a process trains.
func heldError(st *store.Store, h *store.Holding) error {
	return fmt.Errorf("remote: %w", &store.HeldError{Where: st.Join(run.JournalName), Host: h.Host, PID: h.PID, Until: h.Until})
}
