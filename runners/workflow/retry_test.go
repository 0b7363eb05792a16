package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// busy is a transient error that asks for a wait.
type busy struct{ after time.Duration }

func (b busy) Error() string             { return fmt.Sprintf("busy for %v", b.after) }
func (b busy) Unwrap() error             { return store.ErrTransient }
func (b busy) RetryAfter() time.Duration { return b.after }

// TestRetryAfter waits for the time that an error asks for, and gives up where
// that exceeds the longest pause.
func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		after       time.Duration
		calls       int
		least, most time.Duration
	}{
		{0, 3, 15 * time.Second, 45 * time.Second}, // 10 and 20 seconds, each times ½ to 1½
		{40 * time.Second, 3, 80 * time.Second, 80 * time.Second},
		{time.Minute, 3, 2 * time.Minute, 2 * time.Minute},
		{time.Minute + 1, 1, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			began, told := time.Now(), 0
			r := workflow.Retry{Attempts: 3, Pause: 10 * time.Second, MaxPause: time.Minute, Transient: store.Transient,
				Waiting: func(next int, wait time.Duration, err error) {
					told++
					if next != told+1 || wait < c.after || !errors.Is(err, store.ErrTransient) {
						t.Errorf("%v: told of call %d in %v after %v", c.after, next, wait, err)
					}
				}}
			calls, err := r.Do(ctx, func() error { return fmt.Errorf("the call: %w", busy{c.after}) })
			if calls != c.calls || told != c.calls-1 || !errors.Is(err, store.ErrTransient) {
				t.Errorf("%v: %d calls, %d waits, %v", c.after, calls, told, err)
			}
			if took := time.Since(began); took < c.least || took > c.most {
				t.Errorf("%v: took %v, want %v to %v", c.after, took, c.least, c.most)
			}
		})
	}
}

// TestRetryBound: the mean wait doubles up to its bound.
func TestRetryBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waits []time.Duration
		r := workflow.Retry{Attempts: 6, Pause: time.Second, MaxPause: 4 * time.Second, Transient: store.Transient,
			Waiting: func(_ int, wait time.Duration, _ error) { waits = append(waits, wait) }}
		if calls, err := r.Do(ctx, func() error { return store.ErrTransient }); calls != 6 || err == nil {
			t.Errorf("%d calls, %v", calls, err)
		}
		different := map[time.Duration]bool{}
		for i, mean := range []time.Duration{1, 2, 4, 4, 4} {
			mean *= time.Second
			if waits[i] < mean/2 || waits[i] > mean*3/2 {
				t.Errorf("wait %d is %v, want ½ to 1½ of %v", i, waits[i], mean)
			}
			different[waits[i]*time.Second/mean] = true
		}
		if len(different) < 2 {
			t.Errorf("all waits are the same multiple of their mean: %v", waits)
		}
	})
}

// TestRetryCancelled: the end of the context ends a wait at once, and there is no
// further call.
func TestRetryCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(ctx)
		began := time.Now()
		time.AfterFunc(3*time.Second, stop)
		r := workflow.Retry{Attempts: 9, Pause: time.Hour, MaxPause: time.Hour, Transient: store.Transient}
		calls, err := r.Do(ctx, func() error { return store.ErrTransient })
		if took := time.Since(began); calls != 1 || !errors.Is(err, context.Canceled) || took != 3*time.Second {
			t.Errorf("%d calls, %v, after %v", calls, err, took)
		}
		if calls, err = r.Do(ctx, func() error { return store.ErrTransient }); calls != 1 || !errors.Is(err, store.ErrTransient) {
			t.Errorf("with a context that has ended: %d calls, %v", calls, err)
		}
	})
}
