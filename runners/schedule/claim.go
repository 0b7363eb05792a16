package schedule

import (
	"context"
	"errors"

	"github.com/quire-ml/quire/runners/store"
)

// A heldError says that another scheduler runs a slot. A round may return a
// *store.HeldError of its own.
type heldError struct{ *store.HeldError }

func (e *heldError) Unwrap() error { return e.HeldError }

// claim takes the lease and the slot of r, runs its round, and writes its record. st is
// the state, of the given generation. The error is a *heldError while another scheduler
// runs a slot.
func (s *Scheduler) claim(ctx context.Context, st state, generation string, r running, round Round) (record *SlotRecord, err error) {
	lease, err := store.Acquire(ctx, s.st, leaseName, &store.LeaseOptions{Time: s.o.Lease, Now: s.o.Now})
	var held *store.HeldError
	if errors.As(err, &held) {
		return nil, &heldError{held}
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			s.o.Warn("schedule: %v; the lease stays until it expires", err)
		}
	}()
	if st.Running != nil {
		s.o.Log("slot %s: %s has died; taking over", ID(r.Slot), r.Holder)
		now := s.now()
		if r.UpTo.After(now) {
			r.UpTo = now // by this clock the slots after it have not come
		}
		if r.Slot.After(now) {
			r.UpTo = s.decided(&st) // the slots that have come run
		}
	}
	r.Holder = s.o.Holder
	st.Running = &r
	if generation, err = s.swap(ctx, &st, generation); err != nil {
		return nil, err
	}
	working, stop := lease.Hold(ctx)
	var out Outcome
	if r.UpTo, err = s.skip(working, st, r); err == nil {
		s.o.Log("slot %s: runs", ID(r.Slot))
		out, err = round(working, r.Slot, r.After)
	}
	cause := context.Cause(working)
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
	return s.finish(ctx, st, generation, out)
}

// finish writes the record of the running slot, then the state without it.
func (s *Scheduler) finish(ctx context.Context, st state, generation string, out Outcome) (*SlotRecord, error) {
	r := st.Running
	// By this clock it had not come, or it was decided: no slot before it was skipped for it.
	early := r.UpTo.Before(r.Slot) || !s.decided(&st).Before(r.Slot)
	record, err := s.writeRecord(ctx, r.Slot,
		SlotRecord{Status: Ran, Exit: out.Exit, Reason: out.Reason, Round: out.Round, Early: early}, r.Again)
	if err != nil {
		return nil, err
	}
	st.Began, st.Ended, st.Running = r.Began, s.now(), nil
	s.decide(&st, r.UpTo)
	if _, err := s.swap(ctx, &st, generation); conflict(err) != nil {
		return nil, err
	}
	return record, nil
}
