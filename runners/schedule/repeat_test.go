package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// ending is a round that ends with these outcomes, one after the other, and keeps what
// it was told to run after.
func ending(afters *[]string, outs ...Outcome) Round {
	return func(_ context.Context, _ time.Time, after string) (Outcome, error) {
		*afters = append(*afters, after)
		out := outs[0]
		outs = outs[1:]
		return out, nil
	}
}

// TestOnceAgain: a slot's outcome is repeated with its exit; a person may run it again,
// also after a skip, and then the new outcome is repeated.
func TestOnceAgain(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z")
		until(first)
		var afters []string
		round := ending(&afters, Outcome{"one", "failed", "no disk"}, Outcome{"two", "refused", "bad"}, Outcome{Round: "three"}, Outcome{Round: "four"})
		want := func(r *SlotRecord, err error, status, exit, reason, round string) {
			t.Helper()
			wantRecord(t, r, err, r.Slot, status, reason, round)
			if r.Exit != exit {
				t.Errorf("the exit is %q, want %q", r.Exit, exit)
			}
		}
		once := func(slot time.Time, again bool) (*SlotRecord, error) { return s.Once(t.Context(), slot, again, round) }
		r, err := once(first, false)
		want(r, err, Ran, "failed", "no disk", "one")
		r, err = once(first, false)
		want(r, err, Skipped, "failed", "it ran before: no disk", "one")
		r, err = once(first, true)
		want(r, err, Ran, "refused", "bad", "two")
		r, err = once(first, false)
		want(r, err, Skipped, "refused", "it ran before: bad", "two")
		r, err = once(first, true)
		want(r, err, Ran, "", "", "three")

		third := at(t, "20000103T030000Z")
		until(third)
		if r, err := s.Once(t.Context(), third, false, lasting(time.Minute)); err != nil || r.Status != Ran {
			t.Errorf("%+v, %v", r, err)
		}
		second := at(t, "20000102T030000Z")
		r, err = once(second, false)
		want(r, err, Skipped, "", "it was skipped before: missed", "")
		r, err = once(second, true)
		want(r, err, Ran, "", "", "four")
		r, err = once(second, false)
		want(r, err, Skipped, "", "it ran before", "four")
		if !slices.Equal(afters, []string{"", "one", "two", ""}) {
			t.Errorf("the rounds were told to run after %q", afters)
		}
	})
}

// TestOnceAgainBeside asks twice at a time for a slot to run again: it runs once more.
func TestOnceAgainBeside(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		first := at(t, "20000101T030000Z")
		until(first)
		if _, err := nightly(t, dir, "a", "skip").Once(t.Context(), first, false, lasting(0)); err != nil {
			t.Fatal(err)
		}
		var both sync.WaitGroup
		var mu sync.Mutex
		statuses := map[string]int{}
		for _, holder := range []string{"b", "c"} {
			both.Go(func() {
				r, err := nightly(t, dir, holder, "skip").Once(t.Context(), first, true, func(ctx context.Context, _ time.Time, after string) (Outcome, error) {
					return Outcome{Round: after + "+"}, store.Wait(ctx, time.Hour)
				})
				mu.Lock()
				defer mu.Unlock()
				if err != nil || r.Round != "r20000101T030000Z+" {
					t.Errorf("%s: %+v, %v", holder, r, err)
					return
				}
				statuses[r.Status]++
			})
		}
		both.Wait()
		if statuses[Ran] != 1 || statuses[Skipped] != 1 {
			t.Errorf("%v, want one that ran and one that waited", statuses)
		}
	})
}

// TestOnceAgainBetween: whose slot another has run again between two of its looks does not run
// it once more, whichever these are.
func TestOnceAgainBetween(t *testing.T) {
	for n := 2; n <= 4; n++ { // the first is the record that is to be replaced; behind these it has the lease
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			first := at(t, "20000101T030000Z")
			until(first)
			a, b := nightly(t, dir, "a", "skip"), nightly(t, dir, "b", "skip")
			if _, err := a.Once(t.Context(), first, false, lasting(0)); err != nil {
				t.Fatal(err)
			}
			rounds := 0
			again := func(_ context.Context, _ time.Time, after string) (Outcome, error) {
				rounds++
				return Outcome{Round: after + "+"}, nil
			}
			c, reads := nightly(t, dir, "c", "skip"), 0
			c.st = c.st.WithFaults(func(op, _ string) error {
				if op != "read" {
					return nil
				}
				if reads++; reads == n {
					if r, err := b.Once(t.Context(), first, true, again); err != nil || r.Status != Ran {
						t.Errorf("look %d: b has %+v, %v", n, r, err)
					}
				}
				return nil
			})
			r, err := c.Once(t.Context(), first, true, again)
			if err != nil || r.Round != "r20000101T030000Z+" || reads >= n && r.Status != Skipped || rounds != 1 {
				t.Errorf("look %d of %d: %+v, %v, after %d rounds", n, reads, r, err, rounds)
			}
		})
	}
}

// TestOnceAgainCrash: a scheduler that takes a slot over which runs again runs it again.
func TestOnceAgainCrash(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		dead := false
		restore := store.InjectFaults(func(string, string) error {
			if dead {
				return errCrash
			}
			return nil
		})
		a := nightly(t, dir, "a", "skip")
		restore()
		a.st = a.st.OnMachine("there")
		first := at(t, "20000101T030000Z")
		until(first)
		if _, err := a.Once(t.Context(), first, false, lasting(0)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Once(t.Context(), first, true, func(context.Context, time.Time, string) (Outcome, error) {
			dead = true
			return Outcome{}, errCrash
		}); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		b := nightly(t, dir, "b", "skip")
		ctx, stop := context.WithTimeout(t.Context(), 3*lease)
		defer stop()
		_ = b.Run(ctx, func(_ context.Context, slot time.Time, after string) (Outcome, error) {
			return Outcome{Round: "after " + after}, nil
		})
		r, _, err := readRecord(t.Context(), b.st, first)
		wantRecord(t, r, err, "20000101T030000Z", Ran, "", "after r20000101T030000Z")
	})
}

// outage lets the operations of stores that are opened until restore is called fail for
// a while.
func outage(begin time.Time, d time.Duration) (restore func()) {
	return store.InjectFaults(func(string, string) error {
		if since := time.Since(begin); 0 <= since && since < d {
			return fmt.Errorf("no network: %w", store.ErrTransient)
		}
		return nil
	})
}

// TestOnceOutage: an outage of minutes does not lose the slot, an outage of hours leaves
// it due.
func TestOnceOutage(t *testing.T) {
	for _, c := range []struct{ begins, lasts, least, most time.Duration }{
		{-time.Minute, 20 * time.Minute, 19 * time.Minute, 21 * time.Minute},              // before the round
		{5 * time.Minute, 10 * time.Minute, 24 * time.Minute, 31 * time.Minute},           // during the round, which ends and runs again
		{-time.Minute, 3 * time.Hour, time.Hour - time.Minute, time.Hour + 2*retryMax},    // longer than the window
		{-time.Minute, time.Hour - 3*retryMax, 50 * time.Minute, time.Hour + time.Minute}, // almost
	} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			first := at(t, "20000101T030000Z")
			restore := outage(first.Add(c.begins), c.lasts)
			a := nightly(t, dir, "a", "skip")
			restore()
			until(first)
			said := ""
			a.o.Warn = func(format string, args ...any) { said += fmt.Sprintf(format+"\n", args...) }
			r, err := a.Once(t.Context(), first, false, lasting(9*time.Minute))
			lost := c.lasts > time.Hour
			if lost && !store.Transient(err) || !lost && (err != nil || r.Status != Ran || r.Exit != "") {
				t.Errorf("%+v: %+v, %v", c, r, err)
			}
			if took := time.Since(first); took < c.least || took > c.most+9*time.Minute || !strings.Contains(said, "slot 20000101T030000Z: ") || !strings.Contains(said, "trying again in 5s, until 04:0") {
				t.Errorf("%+v: after %v: %s", c, took, said)
			}
			if lost {
				time.Sleep(3 * time.Hour)
				r, err := a.Once(t.Context(), first, false, lasting(0))
				wantRecord(t, r, err, "20000101T030000Z", Ran, "", "r20000101T030000Z")
			}
		})
	}
}

// TestRunWarns: errors of a scheduler are told of when they begin, when they change and
// once an hour; the first of a row is notified.
func TestRunWarns(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		restore := store.InjectFaults(func(string, string) error {
			switch since := time.Since(begin); {
			case since < 10*time.Minute, since > 4*time.Hour:
				return nil
			case since < 30*time.Minute:
				return errors.New("no disk")
			}
			return errors.New("no folder")
		})
		s := nightly(t, dir, "a", "skip")
		restore()
		var warned []time.Duration
		failed := 0
		s.o.Warn = func(format string, args ...any) {
			warned = append(warned, time.Since(begin).Round(2*time.Minute))
			if text := fmt.Sprintf(format, args...); !strings.Contains(text, "no ") || !strings.Contains(text, "trying again every 1m0s") {
				t.Errorf("it said %s", text)
			}
		}
		s.o.Failed = func(err error) { failed++ }
		ctx, stop := context.WithTimeout(t.Context(), 5*time.Hour)
		defer stop()
		if err := s.Run(ctx, lasting(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		want := []time.Duration{10, 30, 90, 150, 210}
		for i := range want {
			want[i] *= time.Minute
		}
		if failed != 1 || !slices.Equal(warned, want) {
			t.Errorf("told %d times, warned after %v, want %v", failed, warned, want)
		}
	})
}

// TestOnceAgainAfterCrash: a scheduler died when the slot had its record and the state did
// not say so. Asked for again, the slot is finished and then runs again.
func TestOnceAgainAfterCrash(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first := nightly(t, dir, "b", "skip"), at(t, "20000101T030000Z")
		until(first)
		if _, err := s.writeRecord(t.Context(), first, SlotRecord{Status: Ran, Round: "one"}, false); err != nil {
			t.Fatal(err)
		}
		st := state{Format: stateFormat, Decided: first.Add(-time.Second), Running: &running{Slot: first, UpTo: first, Began: first, Holder: "a"}}
		if _, err := s.swap(t.Context(), &st, ""); err != nil {
			t.Fatal(err)
		}
		var after []string
		r, err := s.Once(t.Context(), first, true, func(_ context.Context, _ time.Time, of string) (Outcome, error) {
			after = append(after, of)
			return Outcome{Round: "after " + of}, nil
		})
		wantRecord(t, r, err, "20000101T030000Z", Ran, "", "after one")
		if !slices.Equal(after, []string{"", "one"}) {
			t.Errorf("rounds ran after %q", after)
		}
	})
}
