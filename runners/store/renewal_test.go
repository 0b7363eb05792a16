package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
