package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// TestAhead: a clock that is five years ahead for two minutes. The slots that come later
// run, the state is said to be ahead, and a reset mends it.
func TestAhead(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, begin, warned := nightly(t, dir, "a", "skip"), time.Now(), 0
		s.o.Now = func() time.Time {
			if since := time.Since(begin); 12*time.Hour <= since && since < 12*time.Hour+2*time.Minute {
				return time.Now().AddDate(5, 0, 0)
			}
			return time.Now()
		}
		s.o.Warn = func(format string, args ...any) {
			warned++
			if text := fmt.Sprintf(format, args...); !strings.Contains(text, "the state says that all slots up to 20050101T030000Z are decided") {
				t.Errorf("it said %s", text)
			}
		}
		ran := map[string]int{}
		round := func(_ context.Context, slot time.Time, _ string) (Outcome, error) {
			ran[ID(slot)]++
			return Outcome{Round: "r" + ID(slot)}, nil
		}
		runFor(t, s, 10*24*time.Hour, round)
		for day := 1; day <= 10; day++ {
			if id := fmt.Sprintf("200001%02dT030000Z", day); ran[id] != 1 {
				t.Errorf("slot %s ran %d times", id, ran[id])
			}
		}
		if len(ran) != 11 || ran["20050101T030000Z"] != 1 || warned < 225 || warned > 230 { // once an hour
			t.Errorf("%d slots ran: %v; it warned %d times", len(ran), ran, warned)
		}
		// Of the 1,818 slots that it skipped, the last 49 have a record, and the first of these says so.
		if r, _, err := readRecord(t.Context(), s.st, at(t, "20041113T030000Z")); err != nil ||
			r.Reason != "missed: no scheduler was there; the slots from 20000102T030000Z on, before 20041113T030000Z, have no record" {
			t.Errorf("the first record is %+v, %v", r, err)
		}
		if r, _, err := readRecord(t.Context(), s.st, at(t, "20041114T030000Z")); err != nil || r.Reason != "missed: no scheduler was there" {
			t.Errorf("the second record is %+v, %v", r, err)
		}
		// Asked for, a slot that a wrong clock has skipped runs too.
		next := at(t, "20000111T030000Z")
		until(next)
		put(t, s, SlotRecord{Slot: ID(next), Status: Skipped, Reason: "missed: no scheduler was there", At: at(t, "20050101T030000Z")})
		r, err := s.Once(t.Context(), next, false, round)
		wantRecord(t, r, err, "20000111T030000Z", Ran, "", "r20000111T030000Z")

		deleted, left, err := s.Reset(t.Context())
		if err != nil || left != "" || len(deleted) != 49 || deleted[48] != "20041231T030000Z" { // and the slot of 2005, which ran
			t.Errorf("reset: %d deleted, left %q, %v", len(deleted), left, err)
		}
		warned = 0
		runFor(t, s, 25*time.Hour, round)
		if warned != 0 || ran["20000112T030000Z"] != 1 || ran["20000111T030000Z"] != 1 {
			t.Errorf("after the reset it warned %d times; ran %v", warned, ran)
		}
	})
}

// TestBehind: a clock that is years behind, as after a start without a battery, undoes
// nothing, and runs no slot again.
func TestBehind(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, begin, ran := nightly(t, dir, "a", "skip"), time.Now(), map[string]int{}
		s.o.Now = func() time.Time {
			if since := time.Since(begin); 36*time.Hour <= since && since < 60*time.Hour {
				return time.Now().AddDate(-30, 0, 0)
			}
			return time.Now()
		}
		ctx, stop := context.WithTimeout(t.Context(), 100*time.Hour)
		defer stop()
		_ = s.Run(ctx, func(_ context.Context, slot time.Time, _ string) (Outcome, error) {
			ran[ID(slot)]++
			return Outcome{}, nil
		})
		want := map[string]int{"20000101T030000Z": 1, "20000102T030000Z": 1, "20000103T030000Z": 1, "20000104T030000Z": 1, "20000105T030000Z": 1,
			"19700102T030000Z": 1, "19700103T030000Z": 1} // by the wrong clock: the last slot, and one that came
		for id := range want {
			if ran[id] != 1 {
				t.Errorf("slot %s ran %d times", id, ran[id])
			}
		}
		if len(ran) != len(want) {
			t.Errorf("ran %v", ran)
		}
	})
}

// TestReset refuses while a scheduler lives, gives up the slot of a dead one, and mends a
// damaged state.
func TestReset(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		a, b, first := nightly(t, dir, "a", "skip"), nightly(t, dir, "b", "skip"), at(t, "20000101T030000Z")
		until(first)
		ctx, stop := context.WithCancel(t.Context())
		var beside sync.WaitGroup
		beside.Go(func() { _, _ = a.Once(ctx, first, false, lasting(time.Hour)) })
		time.Sleep(time.Minute)
		var held *store.HeldError
		if _, _, err := b.Reset(t.Context()); !errors.As(err, &held) {
			t.Errorf("while a round runs: %v", err)
		}
		if o, err := b.Overview(t.Context(), func(err error) { t.Error(err) }); err != nil || o.Running != "20000101T030000Z" || o.Holder != "a" || ID(o.Next) != "20000102T030000Z" {
			t.Errorf("the overview is %+v, %v", o, err)
		}
		stop()
		beside.Wait()
		st, generation, err := b.read(t.Context())
		st.Running = &running{Slot: first, UpTo: first, Holder: "a"}
		if err == nil {
			_, err = b.swap(t.Context(), &st, generation)
		}
		if err != nil {
			t.Fatal(err)
		}
		if deleted, left, err := b.Reset(t.Context()); err != nil || len(deleted) != 0 || left != "20000101T030000Z" {
			t.Errorf("reset: %v, %q, %v", deleted, left, err)
		}
		if err := os.WriteFile(b.st.Join(stateName), []byte("{}"), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.read(t.Context()); !errors.Is(err, store.ErrDamaged) {
			t.Error(err)
		}
		if _, _, err := b.Reset(t.Context()); err != nil {
			t.Error(err)
		}
		if st, _, err := b.read(t.Context()); err != nil || !st.Decided.Equal(time.Now().UTC().Truncate(time.Second)) || st.Running != nil {
			t.Errorf("the state is %+v, %v", st, err)
		}
	})
}

// TestAheadInRound: the clock jumps ahead within a round, which so seems to end in five
// years. The next slot does not overlap it.
func TestAheadInRound(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first, jump := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z"), time.Duration(0)
		s.o.Now = func() time.Time { return time.Now().Add(jump) }
		until(first)
		if _, err := s.Once(t.Context(), first, false, func(context.Context, time.Time, string) (Outcome, error) {
			jump = 5 * 365 * 24 * time.Hour
			return Outcome{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		jump = 0
		second := at(t, "20000102T030000Z")
		until(second)
		r, err := s.Once(t.Context(), second, false, lasting(0))
		wantRecord(t, r, err, "20000102T030000Z", Ran, "", "r20000102T030000Z")
	})
}

// TestTakeoverAhead takes over a slot that has not come by the taker's clock: the slots
// between get no record.
func TestTakeoverAhead(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first, far := nightly(t, dir, "b", "skip"), at(t, "20000101T030000Z"), at(t, "20000301T030000Z")
		until(first)
		st := state{Format: stateFormat, Decided: first.Add(-time.Second), Running: &running{Slot: far, UpTo: far, Began: far, Holder: "a"}}
		if _, err := s.swap(t.Context(), &st, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Once(t.Context(), first, false, lasting(0)); err != nil {
			t.Fatal(err)
		}
		list, err := s.st.List(t.Context(), slotsPrefix)
		if err != nil || len(list) != 2 {
			t.Errorf("the records are %v, %v", list, err)
		}
		for slot, early := range map[time.Time]bool{first: false, far: true} {
			if r, _, err := readRecord(t.Context(), s.st, slot); err != nil || r.Early != early {
				t.Errorf("%s: %+v, %v, want early %v", ID(slot), r, err, early)
			}
		}
	})
}

// TestTakeoverUpTo takes over from a scheduler whose clock was years ahead: the slots that
// it would have skipped stay open.
func TestTakeoverUpTo(t *testing.T) {
	for _, slot := range []string{"20000101T030000Z", "20050101T030000Z"} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			s, first, far := nightly(t, dir, "b", "skip"), at(t, "20000101T030000Z"), at(t, "20050101T030000Z")
			until(first)
			st := state{Format: stateFormat, Decided: first.Add(-time.Second), Running: &running{Slot: at(t, slot), UpTo: far, Began: first, Holder: "a"}}
			if _, err := s.swap(t.Context(), &st, ""); err != nil {
				t.Fatal(err)
			}
			r, err := s.Once(t.Context(), first, false, lasting(0))
			wantRecord(t, r, err, "20000101T030000Z", Ran, "", "r20000101T030000Z")
			if st, _, err := s.read(t.Context()); err != nil || st.Running != nil || st.Decided.After(time.Now()) {
				t.Errorf("slot %s: the state is %+v, %v", slot, st, err)
			}
		})
	}
}

// TestFloor: where the state is ahead, a scheduler goes on after the last slot that has a
// record, whoever can read it; a record of a clock that is ahead is none. Without any it
// goes on with the last slot.
func TestFloor(t *testing.T) {
	const last, before = "20000310T030000Z", "20000309T030000Z"
	ran := func(slot string) SlotRecord { return SlotRecord{Slot: slot, Status: Ran, Round: "r"} }
	for what, c := range map[string]struct {
		records []SlotRecord
		damage  string // slot of a record to damage
		floor   string
		due     int
	}{
		"none":                {floor: "20000310T025959Z", due: 1},
		"the last":            {records: []SlotRecord{ran(last)}, floor: last},
		"damaged":             {records: []SlotRecord{ran(last)}, damage: last, floor: "20000310T025959Z"}, // the record stays the slot's
		"damaged, one before": {records: []SlotRecord{ran(before), ran(last)}, damage: last, floor: before},
		"one before":          {records: []SlotRecord{ran(before)}, floor: before, due: 1},
		"years ahead":         {records: []SlotRecord{ran(before), {Slot: last, Status: Skipped, At: at(t, "20050101T030000Z")}}, floor: before, due: 1},
		"a skip of ours":      {records: []SlotRecord{{Slot: last, Status: Skipped, At: at(t, last)}}, floor: last},
		"decided early":       {records: []SlotRecord{ran(before), {Slot: last, Status: Skipped, At: at(t, last), Early: true}}, floor: before},
		"early alone":         {records: []SlotRecord{{Slot: before, Status: Skipped, At: at(t, before), Early: true}}, floor: "20000309T025959Z", due: 1},
		"long ago":            {records: []SlotRecord{ran("19950101T030000Z")}, floor: "19950101T030000Z", due: 50},
		"to come":             {records: []SlotRecord{ran(before), ran("20000311T030000Z")}, floor: before, due: 1},
	} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			failing := false
			restore := store.InjectFaults(func(op, name string) error {
				if failing && (op == "list" || strings.HasSuffix(name, last+".json")) {
					return fmt.Errorf("no network: %w", store.ErrTransient)
				}
				return nil
			})
			s := nightly(t, dir, "a", "skip")
			restore()
			until(at(t, last).Add(time.Hour))
			st := state{Format: stateFormat, Decided: at(t, "20050101T030000Z")}
			if _, err := s.swap(t.Context(), &st, ""); err != nil {
				t.Fatal(err)
			}
			for _, r := range c.records {
				put(t, s, r)
				if r.Slot == c.damage {
					if err := os.Truncate(s.st.Join(slotsPrefix+r.Slot+".json"), 50); err != nil {
						t.Fatal(err)
					}
				}
			}
			failing = true
			if _, _, err := s.read(t.Context()); !store.Transient(err) || !s.floor.IsZero() {
				t.Errorf("%s: while the records cannot be read: %v, floor %v", what, err, s.floor)
			}
			failing = false
			st, _, err := s.read(t.Context())
			if err != nil || ID(s.floor) != c.floor {
				t.Errorf("%s: the floor is %v, %v, want %s", what, s.floor, err, c.floor)
			}
			due, err := s.due(t.Context(), &st, s.now())
			if err != nil || len(due) != c.due {
				t.Errorf("%s: due are %v, %v, want %d", what, due, err, c.due)
			}
			s.decide(&st, at(t, last))
			if ID(s.floor) != last || ID(st.Decided) != "20050101T030000Z" {
				t.Errorf("%s: after the last slot the floor is %v, decided %v", what, s.floor, st.Decided)
			}
			if due, err = s.due(t.Context(), &st, s.now()); err != nil || len(due) != 0 {
				t.Errorf("%s: after the last slot due are %v, %v", what, due, err)
			}
			st.Decided = time.Now()
			if err := s.compare(t.Context(), &st); err != nil || !s.floor.IsZero() {
				t.Errorf("%s: a state that is ahead no more: floor %v, %v", what, s.floor, err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := nightly(t, t.TempDir(), "a", "skip")
		never, err := NewTimetable(func(time.Time) time.Time { return time.Time{} }, "UTC")
		if err != nil {
			t.Fatal(err)
		}
		s.o.Timetable = never
		if err := s.compare(t.Context(), &state{Decided: time.Now().AddDate(5, 0, 0)}); err != nil || !s.floor.Equal(s.now()) {
			t.Errorf("without slots the floor is %v, %v", s.floor, err)
		}
	})
}

// TestSkipped: of the slots that are skipped at a time the last 50 get a record, and the
// first of these says so where there were more.
func TestSkipped(t *testing.T) {
	const older = "; the slots from 20000101T030000Z on, before 20000102T030000Z, have no record"
	for _, c := range []struct {
		slots int
		want  string
		runs  int // the place of the slot that runs among the last 50; -1: none
	}{{2, "", -1}, {50, "", -1}, {51, older, -1}, {51, older, 0}, {51, older, 1}} {
		slots, want, dir := c.slots, c.want, memory(t)
		synctest.Test(t, func(t *testing.T) {
			s, first := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z")
			last := first.AddDate(0, 0, slots-1)
			until(last)
			r, n := running{UpTo: last}, min(slots, 50)
			if c.runs >= 0 {
				r.Slot, n = first.AddDate(0, 0, slots-50+c.runs), n-1
			}
			if upTo, err := s.skip(t.Context(), state{Decided: first.Add(-time.Second)}, r); err != nil || !upTo.Equal(last) {
				t.Fatal(upTo, err)
			}
			o, err := s.Overview(t.Context(), func(err error) { t.Error(err) })
			if err != nil || len(o.Slots) != n || o.Slots[len(o.Slots)-1].Slot != ID(last) {
				t.Fatalf("%d slots: %+v, %v", slots, o, err)
			}
			for i, r := range o.Slots {
				reason := "missed: no scheduler was there"
				if i == 0 {
					reason += want
				}
				if early := c.runs >= 0 && r.Slot > ID(first.AddDate(0, 0, slots-50+c.runs)); r.Reason != reason || r.Early != early {
					t.Errorf("of %d slots, record %d says %q, early %v, want %q, %v", slots, i, r.Reason, r.Early, reason, early)
				}
			}
		})
	}
}
