package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

const (
	stateName    = StateName
	leaseName    = LeaseName // of the scheduler that runs a round; absent while none runs
	slotsPrefix  = "schedule/slots/"
	stateFormat  = "quire-schedule/1"
	recordFormat = "quire-slot/1"
)

// Values of SlotRecord.Status.
const (
	Ran     = "ran"
	Skipped = "skipped"
)

// missedReason begins the reason of a slot that was skipped because nobody was there.
const missedReason = "missed"

// A SlotRecord tells whether a slot ran, and how its round ended.
type SlotRecord struct {
	Format string    `json:"format"`
	Slot   string    `json:"slot"`             // its id
	Status string    `json:"status"`           // Ran or Skipped
	Exit   string    `json:"exit,omitempty"`   // Outcome.Exit of the round; empty: it ended well
	Reason string    `json:"reason,omitempty"` // of the skip, or Outcome.Reason
	Round  string    `json:"round,omitempty"`  // id of the round that ran
	Early  bool      `json:"early,omitempty"`  // it was decided while slots before it may have had none
	At     time.Time `json:"at,omitzero"`      // of the decision, by its scheduler's clock; zero: of an earlier version
}

// void reports whether the slot was skipped by a clock that is ahead of this one. Such a
// record does not count: the slot had not come.
func (r *SlotRecord) void(now time.Time) bool {
	return r.Status == Skipped && r.At.After(now.Add(grace))
}

// illegible reports whether an error is about a record that is there, but damaged or of
// another version. Its slot was decided, and it tells nothing else.
func illegible(err error) bool {
	return errors.Is(err, store.ErrDamaged) || errors.Is(err, store.ErrForm)
}

// repeated returns the result of asking for a slot that has this record.
func (r *SlotRecord) repeated() *SlotRecord {
	again, verb := *r, "ran"
	if r.Status == Skipped {
		verb = "was skipped"
	}
	again.Status, again.Reason = Skipped, "it "+verb+" before"+suffix(r.Reason)
	return &again
}

// recordName is the name of a slot's record in the store.
func recordName(slot time.Time) string { return slotsPrefix + ID(slot) + ".json" }

// readRecord returns the record of a slot and its generation. The error wraps
// store.ErrNotExist where the slot has none.
func readRecord(ctx context.Context, st *store.Store, slot time.Time) (*SlotRecord, string, error) {
	r := &SlotRecord{}
	generation, err := st.ReadSealed(ctx, recordName(slot), r, store.Sealed{Format: recordFormat, Check: func() error {
		if r.Slot != ID(slot) {
			return fmt.Errorf("slot is %q, want %q", r.Slot, ID(slot))
		}
		return nil
	}, Else: "delete it: the slot then has none"})
	if err != nil {
		return nil, "", err
	}
	return r, generation, nil
}

// writeRecord writes the record of a slot at this time, and returns it. Where the slot
// has a record already, writeRecord returns that one. A void record is replaced. Of others
// only a round that ran replaces one: of a skip, or, where the slot ran again, of another round.
func (s *Scheduler) writeRecord(ctx context.Context, slot time.Time, r SlotRecord, again bool) (*SlotRecord, error) {
	r.Format, r.Slot, r.At = recordFormat, ID(slot), s.now()
	data, err := store.MarshalSealed(&r)
	if err != nil {
		return nil, err
	}
	_, err = s.st.Put(ctx, recordName(slot), data)
	if errors.Is(err, store.ErrConflict) {
		old, generation, err := readRecord(ctx, s.st, slot)
		if err != nil {
			return nil, err
		}
		if r.Status != Ran && !old.void(r.At) || old.Status == Ran && (!again || old.Round == r.Round) {
			return old, nil
		}
		if _, err := s.st.Swap(ctx, recordName(slot), data, generation); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	log := s.o.Log
	if r.Exit != "" {
		log = s.o.Warn
	}
	log("slot %s: %s%s", r.Slot, r.Status, suffix(r.Reason))
	s.o.Decided(r)
	return &r, nil
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
	Again  bool      `json:"again,omitempty"` // the slot has a record, which the new one replaces
	After  string    `json:"after,omitempty"` // with Again: the round of that record
}

// read returns the state and its generation; "" before the first state. A last round
// that has ended in the future is left out: it would overlap all slots until then.
func (s *Scheduler) read(ctx context.Context) (state, string, error) {
	var st state
	want := store.Sealed{Format: stateFormat, Else: "delete it: the schedule then starts over"}
	generation, err := s.st.ReadSealed(ctx, stateName, &st, want)
	if errors.Is(err, store.ErrNotExist) {
		return state{Format: stateFormat}, "", nil
	}
	if err == nil {
		err = s.compare(ctx, &st)
	}
	if err == nil {
		s.f.state = st
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
	if err == nil {
		s.f.state = *st
	}
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
