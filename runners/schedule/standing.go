package schedule

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

const (
	deep = 1000        // records that are read for the last success, and slots that are known to be damaged
	leap = time.Minute // the least by which a clock jumps
)

// A Standing is what the records of a schedule say. It has what this scheduler has read:
// each record once.
type Standing struct {
	Known   bool       // the records were read
	Last    SlotRecord // of the newest slot that has one; Slot is empty where none has
	Success SlotRecord // of the newest slot whose round ended well; Slot is empty where none did
	Without int        // slots after it: their rounds did not end well, or no scheduler was there
	Damaged int        // records that were found damaged, since the scheduler began
}

// A View is what a scheduler saw when it looked at its schedule.
type View struct {
	At       time.Time     // by the scheduler's clock
	Err      error         // why the schedule could not be read or a slot not be run; nil: all is well
	Jump     time.Duration // by which the clock has moved, beside the time that passed since the look before; 0: it has not
	Standing Standing
	Due      int       // slots that have come and that nobody has decided or runs
	Since    time.Time // the first of them
	Next     time.Time // the next slot; zero: none
}

// Without is the number of slots without success, those included that are due.
func (l *View) Without() int { return l.Standing.Without + l.Due }

// A follower reads the records that schedulers write.
type follower struct {
	standing Standing
	state    state           // as this scheduler has read or written it last
	clear    time.Time       // no slot up to here is due: each is decided or has a record
	seen     time.Time       // the newest slot that was read
	ended    time.Time       // of state when the records were read last
	damaged  map[string]bool // slots

	wall, passed time.Time // the clock at the last look, and the time by which it is measured
}

// look tells Options.Looked how the schedule stands after a step that ended with err.
func (s *Scheduler) look(ctx context.Context, err error) {
	if s.o.Looked == nil {
		return
	}
	if err == nil && s.f.state.Format != "" {
		err = s.follow(ctx)
	}
	now := s.now()
	l := View{At: now, Err: err, Standing: s.f.standing, Next: s.o.Timetable.Next(now), Jump: s.f.jump(s.o.Now().Round(0), time.Now())}
	st, decided := &s.f.state, s.settled(now)
	if st.Running != nil {
		decided = later(decided, st.Running.Slot)
	}
	if s.f.standing.Known && (err != nil || st.Running == nil) {
		if due := s.o.Timetable.last(most, decided, now); len(due) > 0 {
			l.Due, l.Since = len(due), due[0]
		}
	}
	s.o.Looked(l)
}

// settled returns the time up to which no slot is due, as far as this scheduler knows.
func (s *Scheduler) settled(now time.Time) time.Time {
	if s.f.clear.After(now.Add(grace)) { // the clock was ahead
		s.f.clear = time.Time{}
	}
	return later(s.decided(&s.f.state), s.f.clear)
}

// jump returns by how much a clock, which shows wall, has jumped since the last call.
func (f *follower) jump(wall, now time.Time) time.Duration {
	jump := time.Duration(0)
	if !f.wall.IsZero() {
		jump = wall.Sub(f.wall) - now.Sub(f.passed)
	}
	f.wall, f.passed = wall, now
	if jump.Abs() < leap {
		return 0
	}
	return jump
}

// Standing reads how the schedule stands.
func (s *Scheduler) Standing(ctx context.Context) (Standing, error) {
	err := s.scan(ctx)
	return s.f.standing, err
}

// follow reads the records that are new since the last call. A round that ended without
// a new record has replaced one: all after the last success are read again.
func (s *Scheduler) follow(ctx context.Context) error {
	st := &s.f.state
	now := s.now()
	upTo := s.settled(now)
	if upTo.After(now) {
		upTo = now
	}
	slots := s.o.Timetable.last(look, s.f.seen, upTo)
	if !s.f.standing.Known || len(slots) == 0 && !st.Ended.Equal(s.f.ended) {
		return s.scan(ctx)
	}
	for _, slot := range slots {
		r, err := s.recordOf(ctx, slot)
		if err != nil {
			return err
		}
		s.f.add(r)
		s.f.seen = slot
	}
	s.f.ended = st.Ended
	return nil
}

// recordOf returns the record of a slot; nil: it has none that can be read, or counts.
func (s *Scheduler) recordOf(ctx context.Context, slot time.Time) (*SlotRecord, error) {
	r, _, err := readRecord(ctx, s.st, slot)
	switch {
	case err == nil && !r.void(s.now()):
		return r, nil
	case err == nil, errors.Is(err, store.ErrNotExist):
		return nil, nil
	case ctx.Err() != nil || store.Transient(err):
		return nil, err
	}
	if id := ID(slot); !s.f.damaged[id] && len(s.f.damaged) < deep {
		if s.f.damaged == nil {
			s.f.damaged = map[string]bool{}
		}
		s.f.damaged[id] = true
		s.f.standing.Damaged++
		s.o.Warn("%v", err)
	}
	return nil, nil
}

// add adds the record of a slot that is newer than all others.
func (f *follower) add(r *SlotRecord) {
	s := &f.standing
	switch {
	case r == nil:
		return
	case r.Ended():
		s.Success, s.Without = *r, 0
	case r.Status == Ran || r.missed():
		s.Without++
	}
	s.Last = *r
}

// Ended reports whether the round of a slot ended well.
func (r *SlotRecord) Ended() bool { return r.Status == Ran && r.Exit == "" }

// missed reports whether a slot was skipped, and not for the round of another.
func (r *SlotRecord) missed() bool {
	return r.Status == Skipped && strings.HasPrefix(r.Reason, missedReason)
}

// When returns the time at which a slot was decided: that of the slot, where its record
// is of an earlier version.
func (r *SlotRecord) When() time.Time {
	if !r.At.IsZero() {
		return r.At
	}
	slot, err := ParseSlot(r.Slot)
	if err != nil {
		return time.Time{}
	}
	return slot
}

// scan reads the records from the newest back to the last success.
func (s *Scheduler) scan(ctx context.Context) error {
	slots, err := s.slots(ctx)
	if err != nil {
		return err
	}
	now := s.now()
	var newest time.Time
	var back []*SlotRecord // the newest first
	for _, slot := range slices.Backward(slots) {
		if slot.After(now.Add(grace)) {
			continue
		}
		if newest.IsZero() {
			newest = slot
		}
		r, err := s.recordOf(ctx, slot)
		if err != nil {
			return err
		}
		if r != nil {
			back = append(back, r)
			if r.Ended() {
				break
			}
		}
		if len(back) == deep {
			break
		}
	}
	s.f.standing = Standing{Known: true, Damaged: s.f.standing.Damaged}
	for _, r := range slices.Backward(back) {
		s.f.add(r)
	}
	if newest.IsZero() {
		newest = s.decided(&s.f.state)
	}
	s.f.seen, s.f.ended = newest, s.f.state.Ended
	return nil
}
