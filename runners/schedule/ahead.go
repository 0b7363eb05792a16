package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A state is ahead of a scheduler's clock where a scheduler with a clock years ahead has
// written it, or where this clock is behind. Nothing tells the two apart, so nothing of
// the state is undone. The scheduler runs the slots that come by its own clock, after the
// last one before which all have records, or from the last one on. A round is never run
// twice: its record holds, whatever clock wrote it.

// An AheadError says that the state is ahead of the clock.
type AheadError struct{ Decided, Now time.Time }

func (e *AheadError) Error() string {
	return fmt.Sprintf("schedule: it is %s here, and the state says that all slots up to %s are decided: "+
		"this clock is wrong, or that of a scheduler was. The slots that come by this clock run. If this clock is right, reset the schedule",
		ID(e.Now), ID(e.Decided))
}

// compare compares a state that was read with the clock.
func (s *Scheduler) compare(ctx context.Context, st *state) error {
	now := s.now()
	if st.Ended.After(now.Add(grace)) {
		st.Began, st.Ended = time.Time{}, time.Time{}
	}
	if !st.Decided.After(now.Add(grace)) {
		s.floor = time.Time{}
		return nil
	}
	if s.floor.IsZero() || s.floor.After(now.Add(grace)) { // this clock was ahead, too
		floor, err := s.recorded(ctx, now)
		if err != nil {
			return err
		}
		s.floor = floor
	}
	if time.Since(s.warned) >= tell {
		s.o.Warn("%v", &AheadError{st.Decided, now})
		s.warned = time.Now()
	}
	return nil
}

// recorded returns the last slot whose record says that the slots before it are decided.
// Where there is none it returns a time just before the first slot that has a record, or
// before the last slot.
func (s *Scheduler) recorded(ctx context.Context, now time.Time) (time.Time, error) {
	slots, err := s.slots(ctx)
	if err != nil {
		return time.Time{}, err
	}
	first := s.o.Timetable.Last(now)
	for _, slot := range slices.Backward(slots) {
		if slot.After(now) {
			continue
		}
		r, _, err := readRecord(ctx, s.st, slot)
		switch {
		case errors.Is(err, store.ErrNotExist), illegible(err):
		case err != nil:
			return time.Time{}, err
		case r.void(now):
		case r.Early:
			first = slot
		default:
			return slot, nil
		}
	}
	if first.IsZero() {
		return now, nil
	}
	return first.Add(-time.Second), nil
}

// decided returns the time up to which the slots are decided for this scheduler.
func (s *Scheduler) decided(st *state) time.Time {
	if !s.floor.IsZero() {
		return s.floor
	}
	return st.Decided
}

// decide says that the slots up to a time have records.
func (s *Scheduler) decide(st *state, upTo time.Time) {
	if !s.floor.IsZero() {
		s.floor = later(s.floor, upTo)
	}
	st.Decided = later(st.Decided, upTo)
}
