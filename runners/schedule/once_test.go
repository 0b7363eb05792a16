package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// nightly is a scheduler of a night's slot whose clock starts with the bubble's at
// midnight of 1 January 2000.
func nightly(t *testing.T, dir, holder, overlap string) *Scheduler {
	t.Helper()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return New(st, Options{Timetable: timetable(t, "0 3 * * *", "UTC"), Overlap: overlap, CatchUp: "latest", Holder: holder})
}

// until sleeps until a slot comes.
func until(slot time.Time) { time.Sleep(time.Until(slot)) }

// lasting is a round that takes d.
func lasting(d time.Duration) Round {
	return func(ctx context.Context, slot time.Time, _ string) (Outcome, error) {
		return Outcome{Round: "r" + ID(slot)}, store.Wait(ctx, d)
	}
}

func wantRecord(t *testing.T, r *SlotRecord, err error, slot, status, reason, round string) {
	t.Helper()
	if err != nil || r.Slot != slot || r.Status != status || !strings.Contains(r.Reason, reason) ||
		(reason == "") != (r.Reason == "") || r.Round != round {
		t.Errorf("got %+v, %v, want slot %s %s, reason %q, round %q", r, err, slot, status, reason, round)
	}
}

func TestOnce(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first, second := nightly(t, dir, "a", "skip"), at(t, "20000101T030000Z"), at(t, "20000102T030000Z")
		until(first)
		r, err := s.Once(t.Context(), first, false, lasting(time.Hour))
		wantRecord(t, r, err, "20000101T030000Z", Ran, "", "r20000101T030000Z")
		r, err = s.Once(t.Context(), first, false, lasting(time.Hour))
		wantRecord(t, r, err, "20000101T030000Z", Skipped, "it ran before", "r20000101T030000Z")

		// A slot that has not come leaves no trace.
		var future *FutureError
		if r, err := s.Once(t.Context(), second, false, lasting(0)); r != nil || !errors.As(err, &future) || err.Error() !=
			"schedule: slot 20000102T030000Z has not come: it is 20000101T040000Z here, and the last slot was 20000101T030000Z" {
			t.Errorf("a slot in the future: %+v, %v", r, err)
		}
		if list, err := s.st.List(t.Context(), slotsPrefix); err != nil || len(list) != 1 {
			t.Errorf("the records are %v, %v", list, err)
		}

		// Interrupted, it stays due.
		until(second)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if r, err := s.Once(ctx, second, false, lasting(time.Hour)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: %+v, %v", r, err)
		}
		if st, _, err := s.read(t.Context()); err != nil || st.Running != nil {
			t.Errorf("interrupted: %+v runs, %v", st.Running, err)
		}
		r, err = s.Once(t.Context(), second, false, lasting(time.Hour))
		wantRecord(t, r, err, "20000102T030000Z", Ran, "", "r20000102T030000Z")

		// A week later, what was missed is recorded; an older slot can be asked for.
		fifth := at(t, "20000105T030000Z")
		until(fifth)
		r, err = s.Once(t.Context(), fifth, false, lasting(time.Hour))
		wantRecord(t, r, err, "20000105T030000Z", Ran, "", "r20000105T030000Z")
		r, _, err = readRecord(t.Context(), s.st, at(t, "20000104T030000Z"))
		wantRecord(t, r, err, "20000104T030000Z", Skipped, "missed", "")
		r, err = s.Once(t.Context(), at(t, "19991231T030000Z"), false, lasting(time.Hour))
		wantRecord(t, r, err, "19991231T030000Z", Ran, "", "r19991231T030000Z")

		if _, err := s.Once(t.Context(), first.Add(time.Hour), false, lasting(0)); err == nil ||
			!strings.Contains(err.Error(), "20000101T030000Z, the next is 20000102T030000Z") {
			t.Errorf("a time that is no slot: %v", err)
		}
	})
}

// TestPass: a slot whose round has ended after it was looked for is not skipped for an overlap.
func TestPass(t *testing.T) {
	s, slot := nightly(t, memory(t), "a", "skip"), at(t, "20000101T030000Z")
	r, err := s.pass(t.Context(), slot, "overlap")
	wantRecord(t, r, err, "20000101T030000Z", Skipped, "overlap", "")
	if !r.Early {
		t.Error("it is not early")
	}
	if _, err := s.writeRecord(t.Context(), slot, SlotRecord{Status: Ran, Round: "r1"}, false); err != nil {
		t.Fatal(err)
	}
	r, err = s.pass(t.Context(), slot, "overlap")
	wantRecord(t, r, err, "20000101T030000Z", Skipped, "it ran before", "r1")
}

// TestOnceBeside asks for the slot that runs, and for the next slot while that one runs.
func TestOnceBeside(t *testing.T) {
	for _, overlap := range []string{"skip", "buffer_one"} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			a, b := nightly(t, dir, "a", overlap), nightly(t, dir, "b", overlap)
			first, second := at(t, "20000101T030000Z"), at(t, "20000102T030000Z")
			until(first)
			var beside sync.WaitGroup
			beside.Go(func() {
				r, err := a.Once(t.Context(), first, false, lasting(30*time.Hour))
				wantRecord(t, r, err, "20000101T030000Z", Ran, "", "r20000101T030000Z")
			})
			time.Sleep(time.Hour)
			beside.Go(func() { // waits in vain
				var held *store.HeldError
				began := time.Now()
				if r, err := nightly(t, dir, "d", overlap).Once(t.Context(), first, false, lasting(time.Hour)); r != nil || !errors.As(err, &held) ||
					time.Since(began).Round(time.Hour) != 24*time.Hour {
					t.Errorf("after %v: %+v, %v", time.Since(began), r, err)
				}
			})
			time.Sleep(9 * time.Hour)
			beside.Go(func() { // waits for a's round, and has its outcome
				c, said := nightly(t, dir, "c", overlap), ""
				c.o.Warn = func(format string, args ...any) { said += fmt.Sprintf(format+"\n", args...) }
				began := time.Now()
				r, err := c.Once(t.Context(), first, false, lasting(time.Hour))
				wantRecord(t, r, err, "20000101T030000Z", Skipped, "it ran before", "r20000101T030000Z")
				if took := time.Since(began); took < 20*time.Hour || took > 20*time.Hour+time.Minute ||
					!strings.HasPrefix(said, "slot 20000101T030000Z: waits: a runs slot 20000101T030000Z: store: ") {
					t.Errorf("it waited for %v and said %s", took, said)
				}
			})
			until(second)
			r, err := b.Once(t.Context(), second, false, lasting(time.Hour))
			if overlap == "skip" {
				wantRecord(t, r, err, "20000102T030000Z", Skipped, "overlap: the round of 20000101T030000Z runs", "")
			} else {
				wantRecord(t, r, err, "20000102T030000Z", Ran, "", "r20000102T030000Z")
			}
			beside.Wait()
		})
	}
}

// TestOnceAfterCrash: a scheduler finishes the slot of a dead one before its own.
func TestOnceAfterCrash(t *testing.T) {
	for _, overlap := range []string{"skip", "buffer_one"} {
		dir := memory(t)
		synctest.Test(t, func(t *testing.T) {
			dead := false
			restore := store.InjectFaults(func(string, string) error {
				if dead {
					return errCrash
				}
				return nil
			})
			a := nightly(t, dir, "a", overlap)
			restore()
			a.st = a.st.OnMachine("there")
			first := at(t, "20000101T030000Z")
			until(first)
			if _, err := a.Once(t.Context(), first, false, func(context.Context, time.Time, string) (Outcome, error) {
				dead = true
				return Outcome{}, errCrash
			}); !errors.Is(err, errCrash) {
				t.Fatal(err)
			}
			finishes(t, nightly(t, dir, "b", overlap), lease) // its lease has expired, and is watched
		})
	}
}

// TestOnceWithoutLease finds a slot that runs and no lease, as schedulers of an
// earlier version left it.
func TestOnceWithoutLease(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		s, first := nightly(t, dir, "b", "skip"), at(t, "20000101T030000Z")
		old := map[string]any{"format": "quire-schedule/1", "decided": first.Add(-time.Second),
			"began": time.Time{}, "ended": time.Time{}, "beat": 7,
			"running": map[string]any{"slot": first, "up_to": first, "began": first, "holder": "a"}}
		data, err := store.MarshalSealed(old)
		if err == nil {
			_, err = s.st.Put(t.Context(), "schedule/state.json", data)
		}
		if err != nil {
			t.Fatal(err)
		}
		finishes(t, s, 0)
	})
}

// finishes lets a scheduler run the second night's slot, while the first night's is
// left by a dead one. Each round takes a minute.
func finishes(t *testing.T, s *Scheduler, wait time.Duration) {
	t.Helper()
	said := ""
	s.o.Log = func(format string, args ...any) { said += fmt.Sprintf(format+"\n", args...) }
	until(at(t, "20000102T030000Z"))
	began := time.Now()
	r, err := s.Once(t.Context(), at(t, "20000102T030000Z"), false, lasting(time.Minute))
	wantRecord(t, r, err, "20000102T030000Z", Ran, "", "r20000102T030000Z")
	r, _, err = readRecord(t.Context(), s.st, at(t, "20000101T030000Z"))
	wantRecord(t, r, err, "20000101T030000Z", Ran, "", "r20000101T030000Z")
	if waited := time.Since(began).Round(time.Second); waited != wait+2*time.Minute {
		t.Errorf("it took %v, want %v and two rounds", waited, wait)
	}
	if !strings.Contains(said, "slot 20000101T030000Z: a has died; taking over\n") {
		t.Errorf("the takeover is not in the log: %s", said)
	}
}

// TestFence takes the store away from a scheduler whose round runs: the round ends
// before another may take the slot over.
func TestFence(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		var cut time.Time
		restore := store.InjectFaults(func(string, string) error {
			if !cut.IsZero() && time.Now().After(cut) {
				return errCrash
			}
			return nil
		})
		a := nightly(t, dir, "a", "skip")
		restore()
		first := at(t, "20000101T030000Z")
		until(first)
		cut = time.Now().Add(10*time.Minute + time.Second)
		var ended time.Time
		_, err := a.Once(t.Context(), first, false, func(ctx context.Context, slot time.Time, _ string) (Outcome, error) {
			err := store.Wait(ctx, time.Hour)
			ended = time.Now()
			return Outcome{}, err
		})
		if !errors.Is(err, errCrash) {
			t.Errorf("the error is %v", err)
		}
		if late := ended.Sub(cut); late > lease*3/4 || late < lease/2-time.Second {
			t.Errorf("the round ended %v after the store was gone, want about %v", late, lease*3/4)
		}
	})
}

// TestLostRound: a round that returns after its lease was lost does not count, for
// another scheduler may have run the slot. The slot is run again.
func TestLostRound(t *testing.T) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		until(at(t, "20000101T030000Z"))
		cut := time.Now().Add(10*time.Minute + time.Second)
		restore := store.InjectFaults(func(string, string) error {
			if since := time.Since(cut); 0 < since && since < 5*time.Minute {
				return errCrash
			}
			return nil
		})
		a := nightly(t, dir, "a", "skip")
		restore()
		runs := 0
		r, err := a.Once(t.Context(), at(t, "20000101T030000Z"), false, func(ctx context.Context, slot time.Time, _ string) (Outcome, error) {
			if runs++; runs == 1 {
				time.Sleep(20 * time.Minute)
				if !errors.Is(context.Cause(ctx), store.ErrLost) {
					t.Errorf("without the store for 5 minutes: %v", context.Cause(ctx))
				}
			}
			return Outcome{Round: fmt.Sprintf("run %d", runs)}, nil
		})
		wantRecord(t, r, err, "20000101T030000Z", Ran, "", "run 2")
	})
}

func TestChoose(t *testing.T) {
	slot := func(hour int) time.Time { return time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC) }
	ran := state{Began: slot(1), Ended: slot(4)} // the round of 1 o'clock
	for _, c := range []struct {
		overlap, catchUp string
		st               state
		from, to, now    int
		run, upTo        int // 0: none
	}{
		{"skip", "latest", state{}, 5, 5, 5, 5, 5},
		{"skip", "none", state{}, 5, 5, 5, 5, 5},
		{"skip", "latest", state{}, 2, 5, 9, 5, 5},
		{"skip", "none", state{}, 2, 5, 9, 0, 5},
		{"skip", "none", state{}, 2, 5, 5, 5, 5},
		{"skip", "latest", ran, 2, 4, 4, 0, 4},
		{"skip", "latest", ran, 2, 5, 5, 5, 5},
		{"buffer_one", "latest", ran, 2, 4, 4, 2, 4},
		{"buffer_one", "none", ran, 3, 5, 5, 3, 4},
		{"buffer_one", "latest", ran, 5, 6, 6, 6, 6},
	} {
		s := New(nil, Options{Overlap: c.overlap, CatchUp: c.catchUp})
		var due []time.Time
		for h := c.from; h <= c.to; h++ {
			due = append(due, slot(h))
		}
		run, upTo := s.choose(due, c.st, slot(c.now))
		if c.run == 0 && !run.IsZero() || c.run != 0 && !run.Equal(slot(c.run)) || !upTo.Equal(slot(c.upTo)) {
			t.Errorf("%+v: %v up to %v", c, run, upTo)
		}
	}
}
