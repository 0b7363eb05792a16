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
	leaseName    = "schedule/lease.json" // of who runs a round; there is none while none runs
	stateFormat  = "quire-schedule/1"
	recordFormat = "quire-slot/1"
)

// What became of a slot.
const (
	Ran     = "ran"
	Skipped = "skipped"
)

// A Record says what became of a slot.
type Record struct {
	Format string `json:"format"`
	Slot   string `json:"slot"`
	Status string `json:"status"`           // Ran or Skipped
	Reason string `json:"reason,omitempty"` // why it was skipped, or what is to say of the round
	Round  string `json:"round,omitempty"`
}

// RecordName is where the record of a slot lies.
func RecordName(slot time.Time) string { return "schedule/slots/" + ID(slot) + ".json" }

// ReadRecord returns the record of a slot; the error wraps store.ErrNotExist where
// it has none.
func ReadRecord(ctx context.Context, st *store.Store, slot time.Time) (*Record, error) {
	r := &Record{}
	_, err := st.ReadSealed(ctx, RecordName(slot), r, store.Sealed{Format: recordFormat, Check: func() error {
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

// writeRecord writes a record unless there is one, and returns the one that is
// there.
func (s *Scheduler) writeRecord(ctx context.Context, slot time.Time, status, reason, round string) (*Record, error) {
	r := &Record{Format: recordFormat, Slot: ID(slot), Status: status, Reason: reason, Round: round}
	data, err := store.MarshalSealed(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.st.Put(ctx, RecordName(slot), data); errors.Is(err, store.ErrConflict) {
		return ReadRecord(ctx, s.st, slot)
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

// A state is what the schedulers of one store agree on. Times are in UTC.
type state struct {
	Format  string    `json:"format"`
	Decided time.Time `json:"decided"` // every slot after the first state and up to here has its record
	Began   time.Time `json:"began"`   // the last round that ended, by the clock of who ran it
	Ended   time.Time `json:"ended"`
	Beat    int64     `json:"beat"` // number of writes: no two states have the same bytes
	Running *running  `json:"running,omitempty"`
}

// running is the slot whose round runs.
type running struct {
	Slot   time.Time `json:"slot"`
	UpTo   time.Time `json:"up_to"` // the slots up to here, but for Slot, are skipped
	Began  time.Time `json:"began"`
	Holder string    `json:"holder"`
}

// read returns the state and its generation; "" where there is none yet.
func (s *Scheduler) read(ctx context.Context) (state, string, error) {
	var st state
	generation, err := s.st.ReadSealed(ctx, stateName, &st, store.Sealed{Format: stateFormat, Else: "delete it: the schedule then starts over"})
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
