package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

const (
	lease = time.Minute
	beats = 4               // renewals in a lease
	poll  = time.Minute     // longest sleep, because clocks may jump meanwhile
	grace = 5 * time.Minute // a slot that is noticed within it was not missed; clocks may differ by it
	tell  = time.Hour       // between two warnings of the same
	look  = 100             // slots whose records are read at a time
	most  = 50              // slots that are skipped at a time; older ones get no record
)

// Options are the options of a Scheduler.
type Options struct {
	Timetable *Timetable
	Overlap   string // "skip" skips slots during a round; "buffer_one" runs the first of them after the round
	CatchUp   string // "latest" runs the last slot missed while no scheduler lived; "none" skips all of them

	Lease  time.Duration                    // from a renewal to the lease's expiry; 0 is a minute
	Holder string                           // name of this scheduler, for messages
	Now    func() time.Time                 // the wall clock; nil is time.Now
	Log    func(format string, args ...any) // takes a line per event; nil drops them
	Warn   func(format string, args ...any) // takes a line per failure; nil is Log
	Failed func(err error)                  // is told of the first error of Run in a row; nil: nobody

	Looked  func(View)       // is told what each look of Run at the schedule saw; nil: nobody
	Decided func(SlotRecord) // is told of each record that this scheduler writes; nil: nobody
}

// An Outcome is how the round of a slot ended.
type Outcome struct {
	Round  string // its id
	Exit   string // a word for the way in which it failed; empty: it ended well
	Reason string // for the slot's record; may be empty
}

// A Round runs the round of a slot. A round that has failed for good returns its failure
// as outcome: the slot then counts as run. An error means that the round has not ended:
// the slot stays due. A Round stops soon after ctx ends. Run again for the same slot, it
// continues, or does nothing if it was done. Where the slot is to run again although it
// had a round, after is the id of that one, else empty.
type Round func(ctx context.Context, slot time.Time, after string) (Outcome, error)

// A Scheduler runs the slots of a timetable. It is for one goroutine at a time.
type Scheduler struct {
	st   *store.Store
	o    Options
	seen *store.HeldError // of the last attempt of Once that found the lease held

	floor  time.Time // while the state is ahead: the slots up to it are decided for this scheduler
	warned time.Time // that the state is ahead

	f follower
}

// New returns a scheduler whose records are in st. All schedulers of a store must have
// the same Timetable, Overlap, CatchUp and Lease.
func New(st *store.Store, o Options) *Scheduler {
	if o.Lease == 0 {
		o.Lease = lease
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = func(string, ...any) {}
	}
	if o.Warn == nil {
		o.Warn = o.Log
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Decided == nil {
		o.Decided = func(SlotRecord) {}
	}
	return &Scheduler{st: st, o: o}
}

func (s *Scheduler) now() time.Time { return s.o.Now().UTC().Truncate(time.Second) }

// Last returns the last slot that is due by now; zero if the last five years have none.
func (s *Scheduler) Last() time.Time { return s.o.Timetable.Last(s.now()) }

// Run runs slots as they become due, until ctx ends. It returns the error of ctx, or of
// the round that ctx ended. After other errors it tries again each minute. It warns of
// them when they begin, when they change, and once an hour. The first scheduler of a
// store starts with the first slot after its start.
func (s *Scheduler) Run(ctx context.Context, round Round) error {
	failing, said := "", time.Time{}
	for {
		wait, err := s.step(ctx, round)
		switch {
		case ctx.Err() != nil && err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			if failing == "" {
				s.o.Failed(err)
			}
			if err.Error() != failing || time.Since(said) >= tell {
				s.o.Warn("schedule: %v; trying again every %v", err, poll)
				said = time.Now()
			}
			failing, wait = err.Error(), poll
		default:
			failing = ""
		}
		s.look(ctx, err)
		if err := store.Wait(ctx, min(wait, poll)); err != nil {
			return err
		}
	}
}

// step runs or skips the slots that are due, and returns the time until the next step.
func (s *Scheduler) step(ctx context.Context, round Round) (wait time.Duration, err error) {
	st, generation, err := s.read(ctx)
	if err != nil {
		return 0, err
	}
	now := s.now()
	if generation == "" {
		st.Decided = now
		_, err := s.swap(ctx, &st, generation)
		return 0, conflict(err)
	}
	if st.Running != nil {
		return s.take(ctx, st, generation, *st.Running, round)
	}
	due, err := s.due(ctx, &st, now)
	if err != nil {
		return 0, err
	}
	if len(due) == 0 {
		s.f.clear = now
		next := s.o.Timetable.Next(later(now, s.decided(&st)))
		if next.IsZero() {
			return poll, nil
		}
		return next.Sub(now), nil
	}
	run, upTo := s.choose(due, st, now)
	if run.IsZero() {
		if upTo, err = s.skip(ctx, st, running{UpTo: upTo}); err != nil {
			return 0, err
		}
		s.decide(&st, upTo)
		_, err = s.swap(ctx, &st, generation)
		return 0, conflict(err)
	}
	return s.take(ctx, st, generation, running{Slot: run, UpTo: upTo, Began: now}, round)
}

// take claims a slot, or waits while another scheduler holds the lease.
func (s *Scheduler) take(ctx context.Context, st state, generation string, r running, round Round) (wait time.Duration, err error) {
	_, err = s.claim(ctx, st, generation, r, round)
	var held *heldError
	if errors.As(err, &held) {
		return s.o.Lease / beats, nil
	}
	return 0, conflict(err)
}

// conflict drops the error of a change that another scheduler made first.
func conflict(err error) error {
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrLost) {
		return nil
	}
	return err
}

// due returns the slots up to now that are neither decided nor have a record: the last
// most of them.
func (s *Scheduler) due(ctx context.Context, st *state, now time.Time) (due []time.Time, err error) {
	for _, slot := range s.o.Timetable.last(most, s.decided(st), now) {
		has, err := s.hasRecord(ctx, slot, now)
		if err != nil {
			return nil, err
		}
		if !has {
			due = append(due, slot)
		}
	}
	return due, nil
}

// hasRecord reports whether a slot has a record. A void record counts for none.
func (s *Scheduler) hasRecord(ctx context.Context, slot, now time.Time) (bool, error) {
	r, _, err := readRecord(ctx, s.st, slot)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return false, nil
	case illegible(err): // the slot was decided
		return true, nil
	case err != nil:
		return false, err
	}
	return !r.void(now), nil
}

// choose returns the due slot that runs, zero for none, and the time up to which the
// other slots are skipped.
func (s *Scheduler) choose(due []time.Time, st state, now time.Time) (run, upTo time.Time) {
	last := due[len(due)-1]
	if s.o.Overlap == "buffer_one" {
		for i, slot := range due {
			if !st.overlaps(slot) {
				continue
			}
			for i+1 < len(due) && st.overlaps(due[i+1]) {
				i++
			}
			return slot, due[i]
		}
	}
	if st.overlaps(last) || s.o.CatchUp == "none" && now.Sub(last) > grace {
		return time.Time{}, last
	}
	return last, last
}

// skip writes the records of the slots that are not decided and have come, up to r.UpTo,
// without r.Slot: the last most of them. The first record says where there were more. skip
// returns the time up to which the slots have come: the clock may have been set back.
func (s *Scheduler) skip(ctx context.Context, st state, r running) (upTo time.Time, err error) {
	upTo = r.UpTo
	if now := s.now(); upTo.After(now) {
		upTo = now
	}
	decided, older := s.decided(&st), ""
	for i, slot := range s.o.Timetable.last(most, decided, upTo) {
		if first := s.o.Timetable.Next(decided); i == 0 && first.Before(slot) {
			older = fmt.Sprintf("; the slots from %s on, before %s, have no record", ID(first), ID(slot))
		}
		if slot.Equal(r.Slot) {
			continue
		}
		reason := missedReason + ": no scheduler was there"
		if st.overlaps(slot) {
			reason = st.overlap()
		}
		early := !r.Slot.IsZero() && slot.After(r.Slot) // r.Slot gets its record after its round, if at all
		w, err := s.writeRecord(ctx, slot, SlotRecord{Status: Skipped, Reason: reason + older, Early: early}, false)
		switch {
		case err == nil && strings.HasSuffix(w.Reason, older):
			older = ""
		case err != nil && !illegible(err): // else it has a record: it was decided
			return upTo, err
		}
	}
	return upTo, nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
