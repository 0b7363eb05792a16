package workflow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Classes of errors, and Done. Transient ones are worth another attempt.
const (
	Done        = "done"
	Failed      = "failed"
	Transient   = "transient"
	Timeout     = "timeout"
	Interrupted = "interrupted"
	Conflict    = "conflict"
	Damaged     = "damaged"
)

// class returns the class of an error.
func (o *Options) class(err error) string {
	var limit *LimitError
	var damage *DamageError
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
	case errors.Is(err, store.ErrConflict):
		return Conflict
	case store.Transient(err):
		return Transient
	}
	return Failed
}

// LimitError says that a stage was not done in its time. It does not wrap the
// error with which the stage ended, which is that of a cancelled one.
type LimitError struct {
	Stage string
	Limit time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("workflow: stage %s was not done in %v, its limit; what it has saved is kept: run again to go on, or raise the limit", e.Stage, e.Limit)
}

// maxPause bounds the time between two attempts.
const maxPause = 5 * time.Minute

// attempt runs a stage, again where the error is transient.
func (x *pass) attempt(ctx context.Context, v *verdict) (p product, attempts int, err error) {
	pause := x.o.Pause
	for attempts = 1; ; attempts++ {
		p, err = v.n.limited(ctx, v.w)
		if err == nil || attempts >= x.o.Attempts || ctx.Err() != nil || x.o.class(err) != Transient {
			return p, attempts, err
		}
		wait := pause/2 + rand.N(pause+1)
		x.o.observe(v.n.name, Retries, fmt.Sprintf("attempt %d of %d in %v", attempts+1, x.o.Attempts, wait.Round(time.Millisecond)), err.Error())
		select {
		case <-ctx.Done():
			return p, attempts, ctx.Err()
		case <-time.After(wait):
		}
		pause = min(2*pause, maxPause)
	}
}

// limited runs a stage within its limit.
func (n *node) limited(ctx context.Context, w *Work) (product, error) {
	if n.limit == 0 {
		return n.run(ctx, w)
	}
	limited, cancel := context.WithTimeout(ctx, n.limit)
	defer cancel()
	p, err := n.run(limited, w)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return p, &LimitError{n.name, n.limit}
	}
	return p, err
}
