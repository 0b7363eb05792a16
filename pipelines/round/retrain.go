package round

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// RetrainResult is what became of a slot.
type RetrainResult struct {
	Slot   string `json:"slot"`
	Status string `json:"status"` // ran or skipped
	Reason string `json:"reason"`
	Round  string `json:"round"`
}

// A SlotError says that the round of a slot has failed; that is its slot's record.
type SlotError struct{ Slot, Reason string }

func (e *SlotError) Error() string { return fmt.Sprintf("round: slot %s: %s", e.Slot, e.Reason) }

// Retrain runs rounds by c.Schedule until ctx ends; see package schedule. The error
// is train.ErrInterrupted where a round was running, which has then saved.
func Retrain(ctx context.Context, c *configs.Config, o Options) error {
	s, st, err := scheduler(ctx, c, o)
	if err != nil {
		return err
	}
	defer st.Close()
	return s.Run(ctx, slotRound(c, o, st))
}

// RetrainOnce runs the round of one slot, zero for the last one that came, unless it
// was decided before. Where its round failed the error is a *SlotError, or
// ErrRefused, and there is a result; where it was interrupted, train.ErrInterrupted,
// and the slot stays due.
func RetrainOnce(ctx context.Context, c *configs.Config, o Options, slot time.Time) (*RetrainResult, error) {
	s, st, err := scheduler(ctx, c, o)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if slot.IsZero() {
		slot = s.Last()
	}
	var failed error
	round := slotRound(c, o, st)
	record, err := s.Once(ctx, slot, func(ctx context.Context, at time.Time) (id, reason string, err error) {
		id, reason, err = round(ctx, at)
		if r, rerr := workflow.ReadRecord(context.WithoutCancel(ctx), st, id); at.Equal(slot) && err == nil && rerr == nil && r.Exit != workflow.Done {
			failed = &SlotError{id, reason}
			if r.Exit == refused {
				failed = fmt.Errorf("round: slot %s: %w", id, gate.ErrRefused)
			}
		}
		return id, reason, err
	})
	if err != nil {
		return nil, err
	}
	return &RetrainResult{Slot: record.Slot, Status: record.Status, Reason: record.Reason, Round: record.Round}, failed
}

func scheduler(ctx context.Context, c *configs.Config, o Options) (*schedule.Scheduler, *store.Store, error) {
	next, err := c.Schedule.Times()
	if err != nil {
		return nil, nil, err
	}
	table, err := schedule.NewTimetable(next, c.Schedule.Timezone)
	if err != nil {
		return nil, nil, err
	}
	st, err := text.OpenWorkdir(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "this machine"
	}
	return schedule.New(st, schedule.Options{Timetable: table, Overlap: c.Schedule.Overlap, CatchUp: c.Schedule.CatchUp,
		Holder: fmt.Sprintf("process %d on %s", os.Getpid(), name), Log: o.Console.Line}), st, nil
}

// slotRound returns the round of a slot, whose id is that of the slot. A round that
// has its record is done.
func slotRound(c *configs.Config, o Options, st *store.Store) schedule.Round {
	return func(ctx context.Context, slot time.Time) (id, reason string, err error) {
		o.ID = schedule.ID(slot)
		r, err := workflow.ReadRecord(ctx, st, o.ID)
		if errors.Is(err, store.ErrNotExist) {
			_, failed := Run(ctx, c, o)
			if r, err = workflow.ReadRecord(context.WithoutCancel(ctx), st, o.ID); errors.Is(err, store.ErrNotExist) && failed != nil {
				return o.ID, "", failed
			}
		}
		if err != nil {
			return o.ID, "", err
		}
		return o.ID, outcome(r), nil
	}
}

// outcome says in words how a round ended; empty: it made a model and promoted it.
func outcome(r *workflow.Record) string {
	switch {
	case r.Exit == refused:
		return r.Error.Message
	case r.Exit != workflow.Done:
		return r.Exit + ": " + r.Error.Message
	}
	for _, name := range []string{"prep", "train"} {
		if s := r.Stage(name); s != nil && s.Attempts > 0 {
			return ""
		}
	}
	return "nothing new in the corpus or the config: nothing was trained"
}
