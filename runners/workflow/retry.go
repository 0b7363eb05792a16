package workflow

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Retry says how a call that may fail for a while is repeated.
type Retry struct {
	Attempts int           // calls in all; below 1 means 1
	Pause    time.Duration // mean wait before the second call; it doubles with every call
	MaxPause time.Duration // bound of the mean wait, and of a wait that an error asks for

	Transient func(error) bool // errors that are worth another call
	// Waiting is told of each wait: the number of the call that follows, from 2,
	// and the error of the last one. nil: nobody is told.
	Waiting func(next int, wait time.Duration, err error)
}

// Do calls once, and again while the error is transient. Waits are ½ to 1½ times
// their mean, at random, so that callers that failed together come back apart.
// An error with a method RetryAfter() time.Duration asks for a wait of at least
// that time; where it is above MaxPause, Do gives up at once.
//
// Do returns the number of calls and the last error. The end of ctx ends a wait;
// the error is then that of ctx.
func (r Retry) Do(ctx context.Context, call func() error) (calls int, err error) {
	pause := min(r.Pause, r.MaxPause)
	for calls = 1; ; calls++ {
		err = call()
		if err == nil || calls >= r.Attempts || ctx.Err() != nil || !r.Transient(err) {
			return calls, err
		}
		wait := pause/2 + rand.N(pause+1)
		var asks interface{ RetryAfter() time.Duration }
		if errors.As(err, &asks) {
			if asks.RetryAfter() > r.MaxPause {
				return calls, err
			}
			wait = max(wait, asks.RetryAfter())
		}
		if r.Waiting != nil {
			r.Waiting(calls+1, wait, err)
		}
		if err := store.Wait(ctx, wait); err != nil {
			return calls, err
		}
		pause = min(2*pause, r.MaxPause)
	}
}
