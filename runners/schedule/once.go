package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A NoSlotError names a time that is no slot, and the slots before and after it.
type NoSlotError struct{ Time, Last, Next time.Time }

func (e *NoSlotError) Error() string {
	return fmt.Sprintf("schedule: %s is no slot: the one before is %s, the next is %s", ID(e.Time), ID(e.Last), ID(e.Next))
}

// A FutureError names a slot that has not come, the time, and the last slot that has.
type FutureError struct{ Slot, Now, Last time.Time }

func (e *FutureError) Error() string {
	return fmt.Sprintf("schedule: slot %s has not come: it is %s here, and the last slot was %s", ID(e.Slot), ID(e.Now), ID(e.Last))
}

// Once waits for another scheduler up to patience. After an error that may pass it waits
// for retryMin, then twice as long each time, up to retryMax.
const (
	patience = 24 * time.Hour
	retryMin = 5 * time.Second
	retryMax = time.Minute
)

// Once runs one slot, for a cron job, a timer or a cloud's job. A slot with a record is
// not run again, unless again is set: the result then has the status Skipped, the exit
// and the round of the record, and its status in the reason. A slot that another
// scheduler runs is waited for, likewise. Older slots without a record are skipped for
// good. While the round of another slot runs, this slot is skipped or waits, as Overlap
// says. The round of a scheduler that has died is finished first, after up to two leases.
// Errors that may pass are tried again within the slot's Window.
//
// The error is a *NoSlotError for a time that is no slot of the timetable, a *FutureError
// for a slot that has not come, and a *store.HeldError after a day of waiting.
func (s *Scheduler) Once(ctx context.Context, slot time.Time, again bool, round Round) (*SlotRecord, error) {
	if !s.o.Timetable.Has(slot) {
		return nil, &NoSlotError{slot, s.o.Timetable.Last(slot), s.o.Timetable.Next(slot)}
	}
	if now := s.now(); slot.After(now) {
		return nil, &FutureError{slot, now, s.o.Timetable.Last(now)}
	}
	o := &once{slot: slot, round: round}
	if again {
		var err error
		if o.over, _, err = readRecord(ctx, s.st, slot); err != nil && !errors.Is(err, store.ErrNotExist) {
			return nil, err
		}
	}
	began, failed, pause, told := time.Now(), time.Time{}, retryMin, time.Time{}
	for {
		record, wait, err := s.try(ctx, o)
		var held *heldError
		switch {
		case record != nil:
			return record, nil
		case errors.As(err, &held) && time.Since(began) < patience && ctx.Err() == nil:
			if time.Since(told) >= tell/6 {
				s.o.Warn("slot %s: waits: %v", ID(slot), err)
				told = time.Now()
			}
		case conflict(err) == nil:
			failed, pause = time.Time{}, retryMin
		case !store.Transient(err) || ctx.Err() != nil:
			return nil, err
		default:
			if failed.IsZero() {
				failed = time.Now()
			}
			end := failed.Add(s.o.Timetable.Window(slot))
			if !end.After(time.Now()) {
				return nil, err
			}
			s.o.Warn("slot %s: %v; trying again in %v, until %s", ID(slot), err, pause, end.Format(time.TimeOnly))
			wait, pause = pause, min(2*pause, retryMax)
		}
		if err := store.Wait(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// once is what Once is to do.
type once struct {
	slot  time.Time
	over  *SlotRecord // the record that the new one replaces; nil: the slot runs if it has none
	round Round

	succeeded bool // this call has finished the round of a dead scheduler, which overlaps nothing
}

// try is one attempt at a slot. Without a record and an error it asks for another attempt
// after wait, and with a *store.HeldError too.
func (s *Scheduler) try(ctx context.Context, o *once) (r *SlotRecord, wait time.Duration, err error) {
	now := s.now()
	// The state first: who has written the record since then has changed the state too, so that the claim fails.
	st, generation, unread := s.read(ctx)
	switch r, _, err := readRecord(ctx, s.st, o.slot); {
	case err == nil && !r.void(now) && (o.over == nil || *r != *o.over):
		return r.repeated(), 0, nil
	case err != nil && !errors.Is(err, store.ErrNotExist):
		return nil, 0, err
	case unread != nil:
		return nil, 0, unread
	}
	if generation == "" {
		st.Decided = o.slot.Add(-time.Second)
	}
	next := running{Slot: o.slot, UpTo: o.slot, Began: now}
	if o.over != nil {
		next.Again, next.After = true, o.over.Round
	}
	mayWait := o.over != nil || o.succeeded || s.o.Overlap != "skip"
	if st.Running != nil {
		next = *st.Running
	} else if !mayWait && st.overlaps(o.slot) {
		r, err := s.pass(ctx, o.slot, st.overlap())
		return r, 0, err
	}
	r, err = s.claim(ctx, st, generation, next, o.round)
	var held *heldError
	switch {
	case err == nil && st.Running != nil && (!st.Running.Slot.Equal(o.slot) || next.Again != (o.over != nil)):
		o.succeeded = true
		return nil, 0, nil // what the dead scheduler began is done, this comes next
	case !errors.As(err, &held):
		return r, 0, err
	}
	alive := s.seen != nil && !s.seen.Until.Equal(held.Until)
	s.seen = held.HeldError
	if !alive || st.Running == nil { // the holder may be dead, or about to end
		return nil, s.o.Lease / beats, nil
	}
	if !mayWait && !st.Running.Slot.Equal(o.slot) {
		r, err := s.pass(ctx, o.slot, "overlap: the round of "+ID(st.Running.Slot)+" runs")
		return r, 0, err
	}
	return nil, s.o.Lease / beats, fmt.Errorf("%s runs slot %s: %w", st.Running.Holder, ID(st.Running.Slot), err)
}

// pass records that a slot is skipped, for a reason. Where its round has ended meanwhile,
// it returns that instead.
func (s *Scheduler) pass(ctx context.Context, slot time.Time, reason string) (*SlotRecord, error) {
	r, err := s.writeRecord(ctx, slot, SlotRecord{Status: Skipped, Reason: reason, Early: true}, false)
	if err == nil && r.Status == Ran {
		r = r.repeated()
	}
	return r, err
}
