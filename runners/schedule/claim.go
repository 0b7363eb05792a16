package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// claim takes the lease and the slot of r, runs its round, and writes its record. st is
// the state, of the given generation. The error is a *store.HeldError while another
// scheduler runs a slot.
func (s *Scheduler) claim(ctx context.Context, st state, generation string, r running, round Round) (record *SlotRecord, err error) {
	lease, err := store.Acquire(ctx, s.st, leaseName, &store.LeaseOptions{Time: s.o.Lease, Now: s.o.Now})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			s.o.Log("schedule: %v; the lease stays until it expires", err)
		}
	}()
	if st.Running != nil {
		s.o.Log("slot %s: %s has died; taking over", ID(r.Slot), r.Holder)
	}
	r.Holder = s.o.Holder
	st.Running = &r
	if generation, err = s.swap(ctx, &st, generation); err != nil {
		return nil, err
	}
	held, stop := lease.Hold(ctx)
	id, reason, err := "", "", s.skip(held, st, r)
	if err == nil {
		s.o.Log("slot %s: runs", ID(r.Slot))
		id, reason, err = round(held, r.Slot)
	}
	cause := context.Cause(held)
	stop()
	ctx = context.WithoutCancel(ctx) // the round is done, or its slot is given back
	switch {
	case errors.Is(cause, store.ErrLost):
		return nil, errors.Join(cause, err)
	case err != nil:
		st.Running = nil // the slot stays due
		_, released := s.swap(ctx, &st, generation)
		return nil, errors.Join(err, conflict(released))
	}
	return s.finish(ctx, st, generation, id, reason)
}

// finish writes the record of the running slot, then the state without it.
func (s *Scheduler) finish(ctx context.Context, st state, generation, id, reason string) (*SlotRecord, error) {
	r := st.Running
	record, err := s.writeRecord(ctx, r.Slot, Ran, reason, id)
	if err != nil {
		return nil, err
	}
	st.Began, st.Ended, st.Running = r.Began, s.now(), nil
	st.Decided = later(st.Decided, r.UpTo)
	if _, err := s.swap(ctx, &st, generation); conflict(err) != nil {
		return nil, err
	}
	return record, nil
}

// A NoSlotError names a time that is no slot, and the slots before and after it.
type NoSlotError struct{ Time, Last, Next time.Time }

func (e *NoSlotError) Error() string {
	return fmt.Sprintf("schedule: %s is no slot: the one before is %s, the next is %s", ID(e.Time), ID(e.Last), ID(e.Next))
}

// Once runs one slot, for a cron job, a timer or a cloud's job. A slot with a record is
// not run again: the result then has the status Skipped and the earlier status as its
// reason. Older slots without a record are skipped for good. While the round of another
// slot runs, this slot is skipped or waits, as Overlap says. The round of a scheduler
// that has died is finished first, after up to two leases. The error of a time that is
// no slot of the timetable is a *NoSlotError.
func (s *Scheduler) Once(ctx context.Context, slot time.Time, round Round) (*SlotRecord, error) {
	if !s.o.Timetable.Has(slot) {
		return nil, &NoSlotError{slot, s.o.Timetable.Last(slot), s.o.Timetable.Next(slot)}
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

// try is one attempt at a slot. A nil record asks for another attempt after wait.
func (s *Scheduler) try(ctx context.Context, slot time.Time, round Round) (r *SlotRecord, wait time.Duration, err error) {
	switch r, err := readRecord(ctx, s.st, slot); {
	case err == nil:
		reason := "it " + r.Status + " before" + suffix(r.Reason)
		if r.Status == Skipped {
			reason = "it was skipped before" + suffix(r.Reason)
		}
		return &SlotRecord{Format: recordFormat, Slot: r.Slot, Status: Skipped, Reason: reason, Round: r.Round}, 0, nil
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
	next := running{Slot: slot, UpTo: later(st.Decided, slot), Began: s.now()}
	if st.Running != nil {
		next = *st.Running
	} else if s.o.Overlap == "skip" && st.overlaps(slot) {
		r, err := s.writeRecord(ctx, slot, Skipped, st.overlap(), "")
		return r, 0, err
	}
	r, err = s.claim(ctx, st, generation, next, round)
	var held *store.HeldError
	switch {
	case err == nil && st.Running != nil && !st.Running.Slot.Equal(slot):
		return nil, 0, nil // the dead scheduler's slot is done, this one comes next
	case !errors.As(err, &held):
		return r, 0, err
	}
	alive := s.seen != nil && !s.seen.Until.Equal(held.Until)
	s.seen = held
	switch {
	case !alive || st.Running == nil: // the holder may be dead, or about to end
	case st.Running.Slot.Equal(slot):
		return &SlotRecord{Format: recordFormat, Slot: ID(slot), Status: Skipped, Reason: st.Running.Holder + " runs it"}, 0, nil
	case s.o.Overlap == "skip":
		r, err := s.writeRecord(ctx, slot, Skipped, "overlap: the round of "+ID(st.Running.Slot)+" runs", "")
		return r, 0, err
	}
	return nil, s.o.Lease / beats, nil
}
