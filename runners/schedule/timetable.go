// Package schedule says when rounds are due, and sees to it that each is run once.
//
// A slot is a time at which a round is due; its id is that time in UTC,
// 20261124T020000Z. Its record, schedule/slots/<id>.json, is made once and never
// replaced: the slot ran, with the round that it was, or was skipped, for a reason.
//
// Any number of schedulers may look after one timetable, on machines whose clocks
// differ. What they agree on is schedule/state.json, which is replaced by
// comparison: up to where slots have their records, and which slot runs now. Who
// runs one renews that state as long as it lives. Who finds one that runs watches
// the state; if it stays the same for a whole lease, measured by the watcher's own
// monotonic clock, the runner is dead, and the watcher runs the slot in its place:
// a round goes on where it was. A runner that could not renew for three quarters of
// a lease stops its round. So clocks decide when a slot is noticed, never whether
// two rounds run at a time. (store.Lease trusts clocks to within a part of a lease;
// a scheduler must bear one that jumps by an hour.)
package schedule

import (
	"fmt"
	"time"
)

// A Timetable says which slots there are.
type Timetable struct {
	next func(time.Time) time.Time
	zone *time.Location
}

// NewTimetable returns the timetable of the times on the clocks of a time zone that
// next gives: after a time on a calendar without zones (in UTC), the next one, zero
// where there is none. It gives whole seconds.
//
// A time that a zone skips in spring is the first moment after the gap; one that
// comes twice in autumn is a slot once, the first time. Two times that fall on one
// moment are one slot.
func NewTimetable(next func(time.Time) time.Time, zone string) (*Timetable, error) {
	z, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("schedule: time zone %q: %w", zone, err)
	}
	return &Timetable{next: next, zone: z}, nil
}

// Next returns the first slot after a time, in UTC; zero where there is none.
func (t *Timetable) Next(after time.Time) time.Time {
	local := after.In(t.zone)
	clock := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	for {
		if clock = t.next(clock); clock.IsZero() {
			return clock
		}
		if slot := t.moment(clock); slot.After(after) {
			return slot
		}
	}
}

// moment returns when the clocks of the zone show a time first, or pass it.
func (t *Timetable) moment(clock time.Time) time.Time {
	at := time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, t.zone)
	start, end := at.ZoneBounds()
	_, offset := at.Zone()
	for _, bound := range []time.Time{start, end} {
		if bound.IsZero() {
			continue
		}
		_, before := bound.Add(-time.Second).In(t.zone).Zone()
		_, after := bound.In(t.zone).Zone()
		first := clock.Add(-time.Duration(before) * time.Second) // by the clock before the change
		second := clock.Add(-time.Duration(after) * time.Second) // and after it
		switch {
		case after > before && !first.Before(bound) && second.Before(bound): // in the gap
			return bound.UTC()
		case after < before && first.Before(bound) && !second.Before(bound): // comes twice
			return first.UTC()
		}
	}
	return clock.Add(-time.Duration(offset) * time.Second).UTC()
}

// Last returns the last slot at or before a time, in UTC; zero where there is none
// in five years.
func (t *Timetable) Last(at time.Time) time.Time {
	const day = 24 * time.Hour
	for _, back := range []time.Duration{time.Hour, day, 32 * day, 367 * day, 5 * 366 * day} {
		var last time.Time
		for slot := t.Next(at.Add(-back)); !slot.IsZero() && !slot.After(at); slot = t.Next(slot) {
			last = slot
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}

// Has reports whether a time is a slot.
func (t *Timetable) Has(slot time.Time) bool { return t.Next(slot.Add(-time.Nanosecond)).Equal(slot) }

const idLayout = "20060102T150405Z"

// ID returns the id of a slot.
func ID(slot time.Time) string { return slot.UTC().Format(idLayout) }

// ParseSlot reads a slot's id, or its time as RFC 3339 has it.
func ParseSlot(text string) (time.Time, error) {
	for _, layout := range []string{idLayout, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("schedule: %q is no time; write 20261124T020000Z or 2026-11-24T03:00:00+01:00", text)
}
