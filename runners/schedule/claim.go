package schedule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// claim takes the slot of r, runs its round, and writes its record. The state is st,
// of the given generation.
func (s *Scheduler) claim(ctx context.Context, st state, generation string, r running, round Round) (*Record, error) {
	r.Holder = s.o.Holder
	st.Running = &r
	began := time.Now()
	generation, err := s.swap(ctx, &st, generation)
	if err != nil {
		return nil, err
	}
	h := &held{s: s, st: st, generation: generation}
	held, stop := h.hold(ctx, began)
	id, reason, err := "", "", s.skip(held, st, r)
	if err == nil {
		s.o.Log("slot %s: runs", ID(r.Slot))
		id, reason, err = round(held, r.Slot)
	}
	lost := stop()
	switch {
	case lost:
		return nil, errors.Join(errLost, err)
	case err != nil:
		return nil, errors.Join(err, h.release(ctx))
	}
	return h.finish(ctx, id, reason)
}

// held is a slot while this scheduler runs it. Until stop has been called, state and
// generation are those of the goroutine that renews them.
type held struct {
	s          *Scheduler
	st         state
	generation string
	timer      *time.Timer // ends the round where the state cannot be renewed
}

// hold renews the state, which was written when or after it began, until stop is
// called, which reports whether the slot was lost. The context ends when it is.
func (h *held) hold(ctx context.Context, began time.Time) (context.Context, func() (lost bool)) {
	ctx, cancel := context.WithCancelCause(ctx)
	h.timer = time.AfterFunc(h.left(began), func() { cancel(errLost) })
	var beating sync.WaitGroup
	beating.Go(func() {
		for sleep(ctx, h.s.o.Lease/beats) == nil {
			if err := h.beat(ctx); errors.Is(err, store.ErrConflict) {
				cancel(errLost)
			}
		}
	})
	return ctx, func() bool {
		cancel(nil)
		beating.Wait()
		h.timer.Stop()
		return errors.Is(context.Cause(ctx), errLost)
	}
}

// left returns how long a round may go on after a renewal that began then: others
// wait for a lease from when they see it, which is not before.
func (h *held) left(began time.Time) time.Duration { return h.s.o.Lease*3/4 - time.Since(began) }

// beat renews the state.
func (h *held) beat(ctx context.Context) error {
	began := time.Now()
	generation, err := h.s.swap(ctx, &h.st, h.generation)
	if err != nil {
		return err
	}
	h.generation = generation
	h.timer.Reset(h.left(began))
	return nil
}

// release gives the slot back, which stays due. It works after ctx has ended.
func (h *held) release(ctx context.Context) error {
	h.st.Running = nil
	_, err := h.s.swap(context.WithoutCancel(ctx), &h.st, h.generation)
	return conflict(err)
}

// finish writes the record of the slot, then the state.
func (h *held) finish(ctx context.Context, id, reason string) (*Record, error) {
	ctx = context.WithoutCancel(ctx) // the round is done
	r := h.st.Running
	record, err := h.s.writeRecord(ctx, r.Slot, Ran, reason, id)
	if err != nil {
		return nil, err
	}
	h.st.Began, h.st.Ended, h.st.Running = r.Began, h.s.now(), nil
	h.st.Decided = later(h.st.Decided, r.UpTo)
	if _, err := h.s.swap(ctx, &h.st, h.generation); conflict(err) != nil {
		return nil, err
	}
	return record, nil
}

// A SlotError says that a time is no slot.
type SlotError struct{ Time, Last, Next time.Time }

func (e *SlotError) Error() string {
	return fmt.Sprintf("schedule: %s is no slot: the one before is %s, the next is %s", ID(e.Time), ID(e.Last), ID(e.Next))
}

// Once runs one slot, unless it has a record: for a
// cron job, a timer or a job of a cloud's. Older slots without a record are skipped
// for good. While the round of another slot runs, this one is skipped, or waits,
// as Overlap says; that of a scheduler that has died is finished first. The error of a
// time that is not of the timetable is a *SlotError.
func (s *Scheduler) Once(ctx context.Context, slot time.Time, round Round) (*Record, error) {
	if !s.o.Timetable.Has(slot) {
		return nil, &SlotError{slot, s.o.Timetable.Last(slot), s.o.Timetable.Next(slot)}
	}
	for {
		record, wait, err := s.try(ctx, slot, round)
		if conflict(err) != nil || record != nil {
			return record, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// try is one attempt at a slot; a nil record asks for another after wait.
func (s *Scheduler) try(ctx context.Context, slot time.Time, round Round) (r *Record, wait time.Duration, err error) {
	switch r, err := ReadRecord(ctx, s.st, slot); {
	case err == nil:
		reason := "it " + r.Status + " before" + suffix(r.Reason)
		if r.Status == Skipped {
			reason = "it was skipped before" + suffix(r.Reason)
		}
		return &Record{Format: recordFormat, Slot: r.Slot, Status: Skipped, Reason: reason, Round: r.Round}, 0, nil
	case !errors.Is(err, store.ErrNotExist):
		return nil, 0, err
	}
	st, generation, err := s.read(ctx)
	if err != nil {
		return nil, 0, err
	}
	if generation == "" {
		st.Decided = slot.Add(-time.Second)
	}
	if st.Running == nil {
		if s.o.Overlap == "skip" && st.overlaps(slot) {
			r, err := s.writeRecord(ctx, slot, Skipped, fmt.Sprintf("overlap: a round ran from %s to %s", st.Began.Format(time.RFC3339), st.Ended.Format(time.RFC3339)), "")
			return r, 0, err
		}
		r, err := s.claim(ctx, st, generation, running{Slot: slot, UpTo: later(st.Decided, slot), Began: s.now()}, round)
		return r, 0, err
	}
	alive := s.watch.alive(generation, s.o.Lease)
	switch {
	case !alive:
		s.o.Log("slot %s: %s has died; taking over", ID(st.Running.Slot), st.Running.Holder)
		_, err := s.claim(ctx, st, generation, *st.Running, round)
		return nil, 0, err
	case s.watch.beats == 0: // it may be dead
	case st.Running.Slot.Equal(slot):
		return &Record{Format: recordFormat, Slot: ID(slot), Status: Skipped, Reason: st.Running.Holder + " runs it"}, 0, nil
	case s.o.Overlap == "skip":
		r, err := s.writeRecord(ctx, slot, Skipped, "overlap: the round of "+ID(st.Running.Slot)+" runs", "")
		return r, 0, err
	}
	return nil, s.o.Lease / beats, nil
}
