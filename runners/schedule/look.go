package schedule

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Files beside the records of slots, below the store.
const (
	StateName  = "schedule/state.json"
	LeaseName  = "schedule/lease.json"
	StreakName = "schedule/streak.json" // of a caller: what it has told of slots without success
)

// Look is the number of newest slots whose records are kept for a scheduler. It reads further
// back only where all of these were decided early.
const Look = look

// SlotOf returns the slot whose record has a name. ok is false for other names.
func SlotOf(name string) (slot time.Time, ok bool) {
	id, ok := strings.CutPrefix(name, slotsPrefix)
	slot, err := time.Parse(idLayout, strings.TrimSuffix(id, ".json"))
	return slot, ok && err == nil && name == recordName(slot)
}

// Running returns the id of the slot that runs, or that a scheduler left which has died;
// empty: none.
func Running(ctx context.Context, st *store.Store) (string, error) {
	var now state
	_, err := st.ReadSealed(ctx, stateName, &now, store.Sealed{Format: stateFormat, Else: "delete it: the schedule then starts over"})
	if errors.Is(err, store.ErrNotExist) || err == nil && now.Running == nil {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return ID(now.Running.Slot), nil
}

// RoundOf returns the id of the round of a slot's record; empty where it names none, or
// where the record is damaged.
func RoundOf(ctx context.Context, st *store.Store, slot time.Time) (string, error) {
	r, _, err := readRecord(ctx, st, slot)
	switch {
	case err == nil:
		return r.Round, nil
	case errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrNotExist):
		return "", nil
	}
	return "", err
}
