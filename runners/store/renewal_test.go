package store

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// TestLateRenewal: a failed renewal loses the lease only when the last successful
// one is more than 1.5 leases old.
func TestLateRenewal(t *testing.T) {
	broken := false
	s := failing(t, func(op, name string) error {
		if broken && op == "rename" {
			return errors.New("broken")
		}
		return nil
	})
	l := mustAcquire(t, s)
	broken = true
	if !l.renew(ctx) {
		t.Errorf("one failed renewal: %v", l.Err())
	}
	l.renewed = time.Now().Add(-2 * leaseTime)
	if l.renew(ctx) || !errors.Is(l.Err(), ErrLost) || !strings.Contains(l.Err().Error(), "broken") {
		t.Errorf("renewals fail for long: %v", l.Err())
	}
	err := l.Release(ctx)
	if found, _, readErr := readLeased(ctx, s, "run.json"); err != nil || readErr != nil || found.Holder == nil {
		t.Errorf("release of the lost lease: %v; the object is %+v, %v, want it unchanged", err, found, readErr)
	}
}

// TestHold: the context lasts as long as renewals succeed. Without them it ends three
// quarters of a lease after the last one, before a takeover is possible.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		gone, cause := make(chan struct{}), errors.New("the network is gone")
		s := mustOpen(t, dir).WithFaults(func(op, name string) error {
			select {
			case <-gone:
				return cause
			default:
				return nil
			}
		})
		l := mustAcquire(t, s)
		held, stop := l.Hold(ctx)
		defer stop()
		time.Sleep(time.Hour + time.Second)
		if held.Err() != nil {
			t.Errorf("after an hour of renewals: %v", context.Cause(held))
		}
		close(gone)
		began := time.Now()
		<-held.Done()
		if took := time.Since(began); !errors.Is(context.Cause(held), ErrLost) || took != leaseTime*3/4-time.Second {
			t.Errorf("without the store: %v after %v", context.Cause(held), took)
		}
		if err := l.Release(ctx); !errors.Is(err, cause) {
			t.Errorf("release without the store: %v", err)
		}
	})
}

// TestHoldSlowRenewal: the time of a Hold context counts from the start of a renewal, not
// from its end.
func TestHoldSlowRenewal(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		commits := 0
		s := mustOpen(t, dir).WithFaults(func(op, name string) error {
			if op != "commit" {
				return nil
			}
			switch commits++; commits {
			case 1: // of Acquire
				return nil
			case 2:
				time.Sleep(10 * time.Second)
				return nil
			}
			return errors.New("broken")
		})
		began := time.Now()
		l := mustAcquire(t, s)
		held, stop := l.Hold(ctx)
		defer stop()
		<-held.Done()
		if took := time.Since(began); took != leaseTime/leaseBeats+leaseTime*3/4 {
			t.Errorf("the context ended after %v", took)
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestRenewalWaits: a renewal that waits for the folder's lock gives up after a quarter of
// a lease, so that a commit can have its turn.
func TestRenewalWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := mustAcquire(t, mustOpen(t, dir))
		l.stop()
		l.beaten.Wait()
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := flock(f, unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		hour, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		began := time.Now()
		if !l.renew(hour) || time.Since(began) != leaseTime/leaseBeats {
			t.Errorf("renewal returned after %v: %v", time.Since(began), l.Err())
		}
		if err := errors.Join(f.Close(), l.Release(ctx)); err != nil {
			t.Error(err)
		}
	})
}
