package store

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// An outage is what this process knows of a service that does not answer. All calls to
// the service share it: an action of many calls, one after another, ends when a call by
// itself would.
type outage struct {
	mu       sync.Mutex
	answered bool      // at least once
	since    time.Time // beginning of the first failed attempt since the last answer; zero: none
	last     time.Time // end of the last failed attempt
	cause    string    // of that failure
	said     bool      // a person was told
}

// outages are by address of the service.
var outages sync.Map

func outageOf(address string) *outage {
	o, _ := outages.LoadOrStore(address, &outage{})
	return o.(*outage)
}

// end returns the time at which a call that began then gives up. A call in an outage has
// what is left of the patience, and one attempt in any case.
func (o *outage) end(ctx context.Context, began time.Time, t timing) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	patience, from := t.call, began
	if !o.answered {
		patience = t.first
	}
	if !o.over(t) && o.since.Before(from) {
		from = o.since
	}
	if action, ok := ctx.Value(actionKey{}).(time.Time); ok && o.answered && action.After(from) {
		from = action
	}
	return from.Add(patience)
}

// over reports whether there is no outage: the last failure is too long ago to say.
func (o *outage) over(t timing) bool { return o.since.IsZero() || time.Since(o.last) > t.call }

// failed notes a failed attempt, which began at start.
func (o *outage) failed(start time.Time, t timing, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(t)
	if o.since.IsZero() {
		o.since = start
	}
	o.last, o.cause = time.Now(), err.Error()
}

// forget drops an outage that is over. A notice that came before the first failure is that
// of the next one.
func (o *outage) forget(t timing) {
	if o.over(t) {
		o.said = o.said && o.since.IsZero()
		o.since, o.cause = time.Time{}, ""
	}
}

// answer notes an answer, and reports whether it ends an outage that a person was told of.
func (o *outage) answer() (told bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	told = o.said
	o.answered, o.since, o.cause, o.said = true, time.Time{}, "", false
	return told
}

// tell reports whether a person should be told of the outage, which nobody was yet, and its
// cause; empty: not known.
func (o *outage) tell(t timing) (cause string, tell bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.forget(t)
	if o.said {
		return "", false
	}
	o.said = true
	return o.cause, true
}

type (
	actionKey struct{}
	noticeKey struct{}
)

// Action returns a context for an action with its own patience with a service: the action is
// tried again because the service did not answer for a while. A service that has never
// answered this process gets no more patience.
func Action(ctx context.Context) context.Context {
	return context.WithValue(ctx, actionKey{}, time.Now())
}

// WithNotices returns a context for calls to a service. say gets a line of an outage when a
// call waits longer than a few seconds, and when the service answers again.
// Other contexts write such lines to stderr. Several goroutines call say at a time.
func WithNotices(ctx context.Context, say func(line string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, say)
}

// Notice passes a line to the function that WithNotices gave ctx, or writes it to stderr.
func Notice(ctx context.Context, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if say, ok := ctx.Value(noticeKey{}).(func(string)); ok {
		say(line)
		return
	}
	fmt.Fprintln(os.Stderr, line)
}
