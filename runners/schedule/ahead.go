package schedule

import (
	"fmt"
	"time"
)

// A state is ahead of a scheduler's clock where a scheduler with a clock years ahead has
// written it, or where this clock is behind. Nothing tells the two apart, so nothing of
// the state is undone. The scheduler runs the slots that come by its own clock, from the
// last one on. A round is never run twice: its record holds, whatever clock wrote it.

// An AheadError says that the state is ahead of the clock.
type AheadError struct{ Decided, Now time.Time }

func (e *AheadError) Error() string {
	return fmt.Sprintf("schedule: it is %s here, and the state says that all slots up to %s are decided: "+
		"this clock is wrong, or that of a scheduler was. The slots that come by this clock run. If this clock is right, reset the schedule",
		ID(e.Now), ID(e.Decided))
}

// compare compares a state that was read with the clock.
func (s *Scheduler) compare(st *state) {
	now := s.now()
	if st.Ended.After(now.Add(grace)) {
		st.Began, st.Ended = time.Time{}, time.Time{}
	}
	if !st.Decided.After(now.Add(grace)) {
		s.floor = time.Time{}
		return
	}
	if s.floor.IsZero() {
		s.floor = now
		if last := s.o.Timetable.Last(now); !last.IsZero() {
			s.floor = last.Add(-time.Second)
		}
	}
	if time.Since(s.warned) >= tell {
		s.o.Warn("%v", &AheadError{st.Decided, now})
		s.warned = time.Now()
	}
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
