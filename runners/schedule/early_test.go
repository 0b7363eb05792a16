package schedule

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// wantStatus checks the status of slots, by their days of January 2000; empty: no record.
func wantStatus(t *testing.T, s *Scheduler, want map[string]string) {
	t.Helper()
	for day, status := range want {
		r, _, err := readRecord(t.Context(), s.st, at(t, "200001"+day+"T030000Z"))
		if got := err == nil && r.Status == status; !got && (status != "" || !errors.Is(err, store.ErrNotExist)) {
			t.Errorf("day %s: %+v, %v, want %q", day, r, err, status)
		}
	}
}

// put writes a record as it is.
func put(t *testing.T, s *Scheduler, r SlotRecord) {
	t.Helper()
	r.Format = recordFormat
	putSealed(t, s, r.Slot, &r)
}

// putLater writes a record that another version has written, and this one cannot read.
func putLater(t *testing.T, s *Scheduler, slot, status string) {
	t.Helper()
	putSealed(t, s, slot, map[string]any{"format": recordFormat, "slot": slot, "status": status, "later": true})
}

func putSealed(t *testing.T, s *Scheduler, slot string, v any) {
	t.Helper()
	data, err := store.MarshalSealed(v)
	if err == nil {
		_, err = s.st.Put(t.Context(), slotsPrefix+slot+".json", data)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLaterVersion: a record that another version wrote, in a form that this one cannot read,
// is that of a slot that was decided: it holds up no others.
func TestLaterVersion(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			s := nightly(t, dir, "a", "skip")
			put(t, s, SlotRecord{Slot: "20000101T030000Z", Status: Ran, Round: "r"})
			putLater(t, s, "20000103T030000Z", Skipped)
			decided, start, during := "20000101T030000Z", "20000101T120000Z", 96*time.Hour
			if ahead { // where it begins after the records, of which that one is the newest
				decided, start, during = "20050101T030000Z", "20000103T120000Z", 48*time.Hour
			}
			if _, err := s.swap(t.Context(), &state{Format: stateFormat, Decided: at(t, decided)}, ""); err != nil {
				t.Fatal(err)
			}
			until(at(t, start))
			var ran []string
			runFor(t, s, during, func(_ context.Context, slot time.Time, _ string) (Outcome, error) {
				ran = append(ran, ID(slot))
				return Outcome{Round: "r" + ID(slot)}, nil
			})
			if want := "[20000102T030000Z 20000104T030000Z 20000105T030000Z]"; fmt.Sprint(ran) != want {
				t.Errorf("ahead %v: the slots %v run, want %s", ahead, ran, want)
			}
		})
	}
}

// TestEarly: where the state is ahead, a slot that is skipped while a round runs does not
// hide those before it from a scheduler that starts later.
func TestEarly(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		a, first := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z")
		until(first)
		if _, err := a.writeRecord(t.Context(), first, SlotRecord{Status: Ran, Round: "r"}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := a.swap(t.Context(), &state{Format: stateFormat, Decided: at(t, "20050101T030000Z")}, ""); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var beside sync.WaitGroup
		beside.Go(func() { _ = a.Run(ctx, lasting(100*time.Hour)) })
		until(at(t, "20000104T030000Z")) // the round of the 2nd runs
		r, err := nightly(t, dir, "b", "skip").Once(t.Context(), at(t, "20000104T030000Z"), false, lasting(0))
		wantRecord(t, r, err, "20000104T030000Z", Skipped, "overlap: the round of 20000102T030000Z runs", "")
		stop() // a gives its slot back
		beside.Wait()
		runFor(t, nightly(t, dir, "c", "skip"), 25*time.Hour, lasting(0))
		wantStatus(t, a, map[string]string{"02": Skipped, "03": Ran, "04": Skipped, "05": Ran})
	})
}

// runFor lets a scheduler run for a time.
func runFor(t *testing.T, s *Scheduler, d time.Duration, round Round) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	if err := s.Run(ctx, round); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// TestVoidIsDue: a slot that a clock which was ahead has skipped runs, also where the state
// is not ahead: that scheduler gave its round back. The record of a new skip replaces its.
func TestVoidIsDue(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, jump := nightly(t, dir, "a", "skip"), time.Duration(0)
		s.o.Now = func() time.Time { return time.Now().Add(jump) }
		until(at(t, "20000101T030000Z"))
		runFor(t, s, time.Hour, lasting(0)) // the first state; slots count from here on
		jump = 30 * 24 * time.Hour
		runFor(t, s, time.Hour, lasting(2*time.Hour))
		wantStatus(t, s, map[string]string{"02": Skipped, "29": Skipped, "30": Skipped, "31": ""})
		jump = 0
		b := nightly(t, dir, "b", "skip")
		until(at(t, "20000102T020000Z"))
		runFor(t, b, 2*time.Hour, lasting(0))
		wantStatus(t, s, map[string]string{"02": Ran, "03": Skipped})
		until(at(t, "20000104T020000Z"))
		runFor(t, b, 2*time.Hour, lasting(0))
		wantStatus(t, s, map[string]string{"03": Ran, "04": Ran})

		until(at(t, "20000107T020000Z")) // two nights without a scheduler
		runFor(t, nightly(t, dir, "c", "skip"), 2*time.Hour, lasting(0))
		wantStatus(t, s, map[string]string{"05": Skipped, "06": Ran, "07": Ran})
		r, _, err := readRecord(t.Context(), s.st, at(t, "20000105T030000Z"))
		if err != nil || r.At.After(time.Now()) || r.Reason != "missed: no scheduler was there" {
			t.Errorf("the slot that was skipped twice: %+v, %v", r, err)
		}
	})
}

// TestAheadTwice: where the state is ahead, a clock that is ahead for a while does not keep
// the slots from running that come afterwards.
func TestAheadTwice(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, begin := nightly(t, dir, "a", "skip"), time.Now()
		s.o.Now = func() time.Time {
			switch since := time.Since(begin); {
			case 12*time.Hour <= since && since < 12*time.Hour+2*time.Minute:
				return time.Now().AddDate(5, 0, 0)
			case 36*time.Hour <= since && since < 36*time.Hour+2*time.Minute:
				return time.Now().AddDate(1, 0, 0)
			}
			return time.Now()
		}
		runFor(t, s, 100*time.Hour, lasting(0))
		wantStatus(t, s, map[string]string{"01": Ran, "02": Ran, "03": Ran, "04": Ran, "05": Ran})
	})
}

// TestRanEarly: the record of a round at or before the time that the state has decided says
// nothing of the slots before it.
func TestRanEarly(t *testing.T) {
	for decided, early := range map[string]bool{"20000101T030000Z": false, "20000103T025959Z": false, "20000103T030000Z": true, "20050101T030000Z": true} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			s, slot := nightly(t, dir, "a", "skip"), at(t, "20000103T030000Z")
			s.o.Now = func() time.Time { return time.Now().AddDate(6, 0, 0) }
			if _, err := s.swap(t.Context(), &state{Format: stateFormat, Decided: at(t, decided)}, ""); err != nil {
				t.Fatal(err)
			}
			until(slot)
			r, err := s.Once(t.Context(), slot, false, lasting(0))
			if err != nil || r.Status != Ran || r.Early != early {
				t.Errorf("decided up to %s: %+v, %v, want early %v", decided, r, err, early)
			}
		})
	}
}

// TestSetBack: a clock that is corrected between the choice of a slot and the skips before it
// decides only what has come.
func TestSetBack(t *testing.T) {
	for _, catchUp := range []string{"none", "latest"} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			s, calls := nightly(t, dir, "a", "skip"), 0
			s.o.CatchUp = catchUp
			until(at(t, "20000101T120000Z"))
			if _, err := s.swap(t.Context(), &state{Format: stateFormat, Decided: at(t, "20000101T030000Z")}, ""); err != nil {
				t.Fatal(err)
			}
			s.o.Now = func() time.Time {
				if calls++; calls <= 2 { // those of read and of step
					return time.Now().AddDate(0, 0, 8)
				}
				return time.Now()
			}
			if _, err := s.step(t.Context(), lasting(0)); err != nil {
				t.Fatal(err)
			}
			st, _, err := s.read(t.Context())
			if err != nil || ID(st.Decided) > "20000101T120000Z" {
				t.Errorf("%s: the state is %+v, %v", catchUp, st, err)
			}
			until(at(t, "20000110T020000Z"))
			runFor(t, nightly(t, dir, "b", "skip"), 2*time.Hour, lasting(0))
			eighth := Skipped // b, which catches up, runs the last that is due
			if catchUp == "latest" {
				eighth = Ran // a has run the 9th
			}
			wantStatus(t, s, map[string]string{"02": Skipped, "05": Skipped, "08": eighth, "09": Ran, "10": Ran})
		})
	}
}

// TestSkippedOlder: where the first of the last 50 slots has a record, the next one says that
// older ones have none.
func TestSkippedOlder(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z")
		last := first.AddDate(0, 0, 50)
		until(last)
		put(t, s, SlotRecord{Slot: "20000102T030000Z", Status: Skipped, Reason: "overlap"})
		if _, err := s.skip(t.Context(), state{Decided: first.Add(-time.Second)}, running{UpTo: last}); err != nil {
			t.Fatal(err)
		}
		for slot, want := range map[string]string{
			"20000102T030000Z": "overlap",
			"20000103T030000Z": "missed: no scheduler was there; the slots from 20000101T030000Z on, before 20000102T030000Z, have no record",
			"20000104T030000Z": "missed: no scheduler was there",
		} {
			if r, _, err := readRecord(t.Context(), s.st, at(t, slot)); err != nil || r.Reason != want {
				t.Errorf("%s: %+v, %v, want %s", slot, r, err, want)
			}
		}
	})
}
