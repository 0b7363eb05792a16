package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// An Overview is a schedule as it is now.
type Overview struct {
	Slots   []SlotRecord // ordered by slot
	Running string       // the slot that runs, or that a dead scheduler left; empty: none
	Holder  string       // of Running
	Next    time.Time    // the next slot by this clock; zero: none
}

// Overview reads the records of all slots. damaged is told of each file that cannot be
// read; the others are returned.
func (s *Scheduler) Overview(ctx context.Context, damaged func(error)) (*Overview, error) {
	o := &Overview{Next: s.o.Timetable.Next(s.now())}
	tell := func(err error) error {
		if ctx.Err() != nil || store.Transient(err) {
			return err
		}
		damaged(err)
		return nil
	}
	st, _, err := s.read(ctx)
	switch {
	case err != nil:
		err = tell(err)
	case st.Running != nil:
		o.Running, o.Holder = ID(st.Running.Slot), st.Running.Holder
	}
	if err != nil {
		return nil, err
	}
	slots, err := s.slots(ctx)
	for _, slot := range slots {
		r, _, err := readRecord(ctx, s.st, slot)
		if err == nil {
			o.Slots = append(o.Slots, *r)
		} else if err = tell(err); err != nil {
			return o, err
		}
	}
	return o, err
}

// slots returns the slots that have a record, in order.
func (s *Scheduler) slots(ctx context.Context) (slots []time.Time, err error) {
	list, err := s.st.List(ctx, slotsPrefix)
	for _, info := range list {
		if slot, ok := SlotOf(info.Name); ok { // else it is no file of ours
			slots = append(slots, slot)
		}
	}
	return slots, err
}

// Reset lets the schedule start over with the first slot after now: for a state that is
// ahead of the clock, or damaged. It deletes the records of slots that have not come, but
// for those of rounds, and of other versions, which may be: a slot that has had its round
// gets no second one. It returns the slots whose records are deleted, and the slot that a
// dead scheduler left. The error is a *store.HeldError while a scheduler runs a round.
func (s *Scheduler) Reset(ctx context.Context) (deleted []string, left string, err error) {
	lease, err := store.Acquire(ctx, s.st, leaseName, &store.LeaseOptions{Time: s.o.Lease, Now: s.o.Now})
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	st, generation, err := s.read(ctx)
	switch {
	case errors.Is(err, store.ErrDamaged):
		if err := s.st.Delete(ctx, stateName, ""); err != nil {
			return nil, "", err
		}
		st, generation = state{Format: stateFormat}, ""
	case err != nil:
		return nil, "", err
	case st.Running != nil:
		left = ID(st.Running.Slot)
	}
	now := s.now()
	slots, err := s.slots(ctx)
	if err != nil {
		return nil, left, err
	}
	for _, slot := range slots {
		if !slot.After(now) {
			continue
		}
		if r, _, err := readRecord(ctx, s.st, slot); err == nil && r.Status == Ran || errors.Is(err, store.ErrForm) {
			continue
		}
		deleted = append(deleted, ID(slot))
		if err := s.st.Delete(ctx, recordName(slot), ""); err != nil {
			return deleted, left, err
		}
	}
	st = state{Format: stateFormat, Decided: now, Beat: st.Beat}
	if _, err := s.swap(ctx, &st, generation); err != nil {
		return deleted, left, fmt.Errorf("schedule: reset: %w", err)
	}
	s.floor, s.warned = time.Time{}, time.Time{}
	return deleted, left, nil
}
