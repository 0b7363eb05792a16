// Package schedule decides when rounds are due, and runs each of them once.
//
// A slot is a time at which a round is due; its id is that time in UTC,
// 20261124T020000Z. Its record is schedule/slots/<id>.json: the slot ran, with the id
// and the outcome of its round, or was skipped, with the reason. Only a person who runs a
// slot again changes it.
//
// Any number of schedulers may serve one timetable, on machines whose clocks differ.
// They share schedule/state.json, which is replaced by comparison: the time up to
// which all slots have records, and the slot that runs. A round runs under the lease
// schedule/lease.json; store.Lease has the rule. A scheduler that finds a slot running
// waits for that lease. It gets the lease from a scheduler that has died, and then runs
// the slot itself: the round continues. A scheduler that has renewed nothing for three
// quarters of a lease ends its round. So clocks decide when a slot is noticed, never
// whether two rounds run at a time.
package schedule

import (
	"fmt"
	"time"
)

// A Timetable is the sequence of slots. It is safe for concurrent use if next is.
type Timetable struct {
	next func(time.Time) time.Time
	zone *time.Location
}

// NewTimetable returns the timetable whose slots are the wall-clock times next in a time
// zone. next takes and returns wall-clock times as times in UTC, in whole seconds. It
// returns the first one after its argument, zero for none. The error is that of an
// unknown time zone.
//
// A time that the zone skips in spring becomes the first moment after the gap. A time
// that comes twice in autumn is one slot, at its first occurrence. Two times that fall
// on one moment are one slot.
func NewTimetable(next func(time.Time) time.Time, zone string) (*Timetable, error) {
	z, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("schedule: time zone %q: %w", zone, err)
	}
	return &Timetable{next: next, zone: z}, nil
}

// Next returns the first slot after a time, in UTC; zero for none.
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

// moment returns the first moment at which the clocks of the zone show a time or jump
// past it.
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

// Last returns the last slot at or before a time, in UTC; zero if the five years before
// have none.
func (t *Timetable) Last(at time.Time) time.Time {
	if list := t.last(1, time.Time{}, at); len(list) > 0 {
		return list[0]
	}
	return time.Time{}
}

// last returns the last n slots after a time and up to another, in order. It looks back
// for five years.
func (t *Timetable) last(n int, after, upTo time.Time) (list []time.Time) {
	const day = 24 * time.Hour
	for _, back := range []time.Duration{time.Hour, day, 32 * day, 367 * day, 5 * 366 * day} {
		from := later(after, upTo.Add(-back))
		list = nil
		for slot := t.Next(from); !slot.IsZero() && !slot.After(upTo); slot = t.Next(slot) {
			list = append(list, slot)
		}
		if len(list) >= n || from.Equal(after) {
			break
		}
	}
	return list[max(0, len(list)-n):]
}

// Window returns how long a slot whose round failed for a passing reason is worth further
// tries: half of the time to the next slot, and an hour at most.
func (t *Timetable) Window(slot time.Time) time.Duration {
	if next := t.Next(slot); !next.IsZero() {
		return min(next.Sub(slot)/2, time.Hour)
	}
	return time.Hour
}

// Has reports whether a time is a slot.
func (t *Timetable) Has(slot time.Time) bool { return t.Next(slot.Add(-time.Nanosecond)).Equal(slot) }

const idLayout = "20060102T150405Z"

// ID returns the id of a slot.
func ID(slot time.Time) string { return slot.UTC().Format(idLayout) }

// ParseSlot parses a slot's id, or its time in the form of RFC 3339. It does not look
// into a timetable.
func ParseSlot(text string) (time.Time, error) {
	for _, layout := range []string{idLayout, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("schedule: %q is not a time; write 20261124T020000Z or 2026-11-24T03:00:00+01:00", text)
}
