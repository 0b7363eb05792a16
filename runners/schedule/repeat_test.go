package schedule

import (
	"context"
	"errors"
	"fmt"
	"os"
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
					return Outcome{Round: after + "+"}, sleep(ctx, time.Hour)
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
			if took := time.Since(first); took < c.least || took > c.most+9*time.Minute || !strings.Contains(said, "slot 20000101T030000Z: ") || !strings.Contains(said, "trying again in 5s") {
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
		run := func(d time.Duration) {
			t.Helper()
			ctx, stop := context.WithTimeout(t.Context(), d)
			defer stop()
			if err := s.Run(ctx, round); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		run(10 * 24 * time.Hour)
		for day := 1; day <= 10; day++ {
			if id := fmt.Sprintf("200001%02dT030000Z", day); ran[id] != 1 {
				t.Errorf("slot %s ran %d times", id, ran[id])
			}
		}
		if len(ran) != 11 || ran["20050101T030000Z"] != 1 || warned < 225 || warned > 230 { // once an hour
			t.Errorf("%d slots ran: %v; it warned %d times", len(ran), ran, warned)
		}
		// Asked for, a slot that a wrong clock has skipped runs too.
		next := at(t, "20000111T030000Z")
		until(next)
		record := SlotRecord{Format: recordFormat, Slot: ID(next), Status: Skipped, Reason: "missed: no scheduler was there", At: at(t, "20050101T030000Z")}
		data, err := store.MarshalSealed(&record)
		if err == nil {
			_, err = s.st.Put(t.Context(), recordName(next), data)
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Once(t.Context(), next, false, round)
		wantRecord(t, r, err, "20000111T030000Z", Ran, "", "r20000111T030000Z")

		deleted, left, err := s.Reset(t.Context())
		if err != nil || left != "" || len(deleted) != 999 || deleted[998] != "20041231T030000Z" { // and the slot of 2005, which ran
			t.Errorf("reset: %d deleted, left %q, %v", len(deleted), left, err)
		}
		warned = 0
		run(25 * time.Hour)
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
	})
}
