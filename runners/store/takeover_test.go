package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// sleeper returns an expired lease with the value {1}, which its holder no longer
// renews. A taker watches it for 100 ms.
func sleeper(t *testing.T, s *Store) *Lease {
	t.Helper()
	l := mustAcquire(t, s)
	l.stop()
	l.beaten.Wait()
	l.now = func() time.Time { return time.Now().Add(-time.Hour) }
	l.self.Seconds = 0.1
	if err := l.Commit(ctx, record{1}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSleeper: a holder that slept until another took the lease over commits nothing,
// whether the other still holds the lease, has committed, or has released it.
func TestSleeper(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for _, after := range []string{"held", "committed", "released"} {
			a := sleeper(t, s)
			held, stop := a.Hold(ctx)
			b := mustAcquire(t, s)
			if after != "held" {
				if err := b.Commit(ctx, record{1}); err != nil { // the same value
					t.Fatal(err)
				}
			}
			if after == "released" {
				if err := b.Release(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if a.renew(ctx) || !errors.Is(a.Err(), ErrConflict) {
				t.Errorf("%s: the sleeper renews: %v", after, a.Err())
			}
			if <-held.Done(); !errors.Is(context.Cause(held), ErrLost) {
				t.Errorf("%s: the sleeper's context ends with %v", after, context.Cause(held))
			}
			stop()
			if err := a.Commit(ctx, record{9}); !errors.Is(err, ErrLost) {
				t.Errorf("%s: the sleeper commits: %v", after, err)
			}
			if err := a.Release(ctx); err != nil {
				t.Errorf("%s: %v", after, err)
			}
			var got record
			if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held != (after != "released") || got.N != 1 {
				t.Errorf("%s: read %v, held %v, %v", after, got, held, err)
			}
			if after != "released" {
				if err := b.Release(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestTakeover: holders on other machines, some of which died, with right and wrong
// clocks. Each case says after what time Acquire returns, and with what.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		what  string
		clock time.Duration // the holder's minus the taker's
		dies  bool          // at once
		wait  time.Duration // before Acquire
		held  bool          // Acquire returns a HeldError
		takes time.Duration // Acquire
	}{
		{"alive", 0, false, time.Hour, true, 0},
		{"alive, its clock behind", -time.Hour, false, time.Hour, true, leaseTime / leaseBeats},
		{"alive, its clock a little ahead", leaseTime - time.Second, false, time.Hour, true, 0},
		{"alive, its clock ahead", time.Hour, false, time.Hour, true, leaseTime / leaseBeats},
		{"dead, not expired", 0, true, leaseTime - time.Second, true, 0},
		{"dead, expired", 0, true, leaseTime, false, leaseTime},
		{"dead for long", 0, true, time.Hour, false, leaseTime},
		{"dead, its clock behind", -time.Hour, true, 0, false, leaseTime},
		{"dead, Until two leases ahead", leaseTime, true, 0, true, 0},
		{"dead, Until more than two leases ahead", leaseTime + time.Second, true, 0, false, leaseTime},
		{"dead, its clock years ahead", 50_000 * time.Hour, true, 0, false, leaseTime},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := mustOpen(t, dir)
			clock := func() time.Time { return time.Now().Add(c.clock) }
			a, err := Acquire(ctx, s.OnMachine("there"), "run.json", &LeaseOptions{Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			if c.dies {
				a.stop()
			}
			time.Sleep(c.wait + time.Second/2)
			began := time.Now()
			b, err := Acquire(ctx, s, "run.json", nil)
			var held *HeldError
			took, late := time.Since(began).Round(time.Second), time.Duration(0)
			if c.held { // from the start to the next renewal, less the polls
				late = leaseTime / leaseBeats
			}
			if errors.As(err, &held) != c.held || !c.held && err != nil || took > c.takes || took < c.takes-late {
				t.Errorf("%s: %v after %v, want held %v after %v", c.what, err, took, c.held, c.takes)
			}
			if b != nil {
				err = b.Release(ctx)
			} else {
				err = nil
			}
			if err := errors.Join(err, a.Release(ctx)); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		})
	}
}

// TestWatchEnds: the watch of a lease ends with the context.
func TestWatchEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		a, err := Acquire(ctx, s.OnMachine("there"), "run.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		a.stop()
		time.Sleep(time.Hour)
		began := time.Now()
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if _, err := Acquire(short, s, "run.json", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := a.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestTaken: a holder learns by its next renewal that another has the lease.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		l := mustAcquire(t, s)
		short, cancel := context.WithTimeout(ctx, leaseTime)
		defer cancel()
		held, stop := l.Hold(short)
		defer stop()
		data, err := MarshalSealed(leased{Format: leaseFormat, Holder: &holder{ID: "other"}, Value: []byte("null")})
		if err == nil {
			err = s.Replace(ctx, "run.json", data)
		}
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-held.Done()
		if took := time.Since(began); !errors.Is(context.Cause(held), ErrConflict) ||
			took > leaseTime/leaseBeats || !errors.Is(l.Err(), ErrLost) {
			t.Errorf("%v after %v; the lease's error is %v", context.Cause(held), took, l.Err())
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}
