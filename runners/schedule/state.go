package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

const (
	stateName    = "schedule/state.json"
	leaseName    = "schedule/lease.json" // of the scheduler that runs a round; absent while none runs
	stateFormat  = "quire-schedule/1"
	recordFormat = "quire-slot/1"
)

// Values of SlotRecord.Status.
const (
	Ran     = "ran"
	Skipped = "skipped"
)

// A SlotRecord tells whether a slot ran.
type SlotRecord struct {
	Format string `json:"format"`
	Slot   string `json:"slot"`             // its id
	Status string `json:"status"`           // Ran or Skipped
	Reason string `json:"reason,omitempty"` // of the skip, or the reason that the Round returned
	Round  string `json:"round,omitempty"`  // id of the round that ran
}

// recordName is the name of a slot's record in the store.
func recordName(slot time.Time) string { return "schedule/slots/" + ID(slot) + ".json" }

// readRecord returns the record of a slot. The error wraps store.ErrNotExist where the
// slot has none.
func readRecord(ctx context.Context, st *store.Store, slot time.Time) (*SlotRecord, error) {
	r := &SlotRecord{}
	_, err := st.ReadSealed(ctx, recordName(slot), r, store.Sealed{Format: recordFormat, Check: func() error {
		if r.Slot != ID(slot) {
			return fmt.Errorf("slot is %q, want %q", r.Slot, ID(slot))
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// writeRecord writes the record of a slot, and returns it. Where the slot has a record
// already, writeRecord returns that one.
func (s *Scheduler) writeRecord(ctx context.Context, slot time.Time, status, reason, round string) (*SlotRecord, error) {
	r := &SlotRecord{Format: recordFormat, Slot: ID(slot), Status: status, Reason: reason, Round: round}
	data, err := store.MarshalSealed(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.st.Put(ctx, recordName(slot), data); errors.Is(err, store.ErrConflict) {
		return readRecord(ctx, s.st, slot)
	} else if err != nil {
		return nil, err
	}
	s.o.Log("slot %s: %s%s", r.Slot, r.Status, suffix(reason))
	return r, nil
}

func suffix(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// A state is shared by the schedulers of a store. Times are in UTC.
type state struct {
	Format  string    `json:"format"`
	Decided time.Time `json:"decided"` // every slot after the first state and up to here has a record
	Began   time.Time `json:"began"`   // of the last round that ended, by its scheduler's clock
	Ended   time.Time `json:"ended"`
	Beat    int64     `json:"beat"` // number of writes, so that no two states have equal bytes
	Running *running  `json:"running,omitempty"`
}

// running is the slot that runs.
type running struct {
	Slot   time.Time `json:"slot"`
	UpTo   time.Time `json:"up_to"` // the other slots up to here are skipped
	Began  time.Time `json:"began"`
	Holder string    `json:"holder"`
}

// read returns the state and its generation; "" before the first state.
func (s *Scheduler) read(ctx context.Context) (state, string, error) {
	var st state
	want := store.Sealed{Format: stateFormat, Else: "delete it: the schedule then starts over"}
	generation, err := s.st.ReadSealed(ctx, stateName, &st, want)
	if errors.Is(err, store.ErrNotExist) {
		return state{Format: stateFormat}, "", nil
	}
	return st, generation, err
}

// swap writes the state, with its beat raised, and returns its generation. The error
// wraps store.ErrConflict where another scheduler was quicker.
func (s *Scheduler) swap(ctx context.Context, st *state, generation string) (string, error) {
	st.Beat++
	data, err := store.MarshalSealed(st)
	if err != nil {
		return "", err
	}
	info, err := s.st.Swap(ctx, stateName, data, generation)
	return info.Generation, err
}

// overlaps reports whether a slot came while the last round ran.
func (st *state) overlaps(slot time.Time) bool {
	return !slot.Before(st.Began) && !slot.After(st.Ended)
}

// overlap is the reason of a slot that came while the last round ran.
func (st *state) overlap() string {
	return fmt.Sprintf("overlap: a round ran from %s to %s", st.Began.Format(time.RFC3339), st.Ended.Format(time.RFC3339))
}
