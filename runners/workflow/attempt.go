package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Done, or the class of the error that ended a round. Transient errors are worth
// another attempt. A busy round has waited in vain for another process.
const (
	Done        = "done"
	Failed      = "failed"
	Transient   = "transient"
	Timeout     = "timeout"
	Interrupted = "interrupted"
	Busy        = "busy"
	Conflict    = "conflict"
	Damaged     = "damaged"
)

// class returns the class of an error.
func (o *Options) class(err error) string {
	var limit *LimitError
	var damage *DamageError
	var held *store.HeldError
	switch {
	case errors.As(err, &limit):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.As(err, &damage):
		return Damaged
	}
	if o.Class != nil {
		if class := o.Class(err); class != "" {
			return class
		}
	}
	switch {
	case errors.As(err, &held):
		return Busy
	case errors.Is(err, store.ErrConflict):
		return Conflict
	case store.Transient(err):
		return Transient
	}
	return Failed
}

// LimitError says that a stage has exceeded its limit. It does not wrap the
// error of the stage itself, which is that of a cancelled one.
type LimitError struct {
	Stage string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("workflow: stage %s was not done in %v, its limit; its saved work is kept: run again to go on, or raise the limit",
		e.Stage, e.Limit)
}

// A stage waits for another process that holds a lease which it needs, such as that of
// its run. The other process renews the lease as long as it lives, so the end of the
// wait is only for somebody who looks.
const (
	patience = 24 * time.Hour
	lookMin  = time.Second / 4
	lookMax  = 15 * time.Second
	tellWait = 10 * time.Minute // between two events of a wait
)

// do skips a stage or runs it. It waits while another process holds a lease of the
// stage, and decides once more: the other may have made the artifact. The record is nil
// where nothing was tried.
func (x *pass) do(ctx context.Context, n *node) (*StageRecord, error) {
	began, told, pause := time.Now(), time.Time{}, lookMin
	for {
		v, s, err := x.once(ctx, n)
		var held *store.HeldError
		if !errors.As(err, &held) || time.Since(began) > patience {
			return s, err
		}
		if time.Since(told) >= tellWait {
			x.o.observe(n.name, Waits, err.Error())
			told = time.Now()
		}
		if n.follow != nil {
			followed := time.Now()
			if err := n.follow(ctx, v.task); err != nil {
				return nil, err
			}
			began = began.Add(time.Since(followed))
		}
		if err := store.Wait(ctx, pause); err != nil {
			return nil, err
		}
		pause = min(2*pause, lookMax)
	}
}

// maxPause bounds the mean wait between two attempts.
const maxPause = 5 * time.Minute

// attempt runs a stage, again after transient errors.
func (x *pass) attempt(ctx context.Context, v *verdict) (p product, attempts int, err error) {
	retry := Retry{Attempts: x.o.Attempts, Pause: x.o.Pause, MaxPause: maxPause,
		Transient: func(err error) bool { return x.o.class(err) == Transient },
		Waiting: func(next int, wait time.Duration, err error) {
			x.o.observe(v.n.name, Retries, fmt.Sprintf("attempt %d of %d in %v", next, x.o.Attempts, wait.Round(time.Millisecond)), err.Error())
		}}
	attempts, err = retry.Do(ctx, func() (err error) {
		p, err = v.n.limited(store.Action(ctx), v.task)
		return err
	})
	return p, attempts, err
}

// limited runs a stage within its limit.
func (n *node) limited(ctx context.Context, task *Task) (product, error) {
	if n.limit == 0 {
		return n.run(ctx, task)
	}
	limited, cancel := context.WithTimeout(ctx, n.limit)
	defer cancel()
	p, err := n.run(limited, task)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return p, &LimitError{n.name, n.limit}
	}
	return p, err
}
