package store

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestOldOutage: an outage whose last failure is older than the patience of a call is over.
// The first failed attempt after it begins another, with its own patience and notice.
func TestOldOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, timing, cause := &outage{answered: true}, shipped, errors.New("no answer")
		patience := func(what string, began, want time.Time) {
			t.Helper()
			if got := o.end(ctx, began, timing); !got.Equal(want) {
				t.Errorf("%s: it ends %v after its begin, want %v", what, got.Sub(began), want.Sub(began))
			}
		}
		told := func(what string, want bool) {
			t.Helper()
			if said, tell := o.tell(timing); tell != want || tell && said != cause.Error() {
				t.Errorf("%s: told %v of %q, want %v", what, tell, said, want)
			}
		}
		first := time.Now()
		o.failed(first, timing, cause)
		told("the first failure", true)
		told("the same outage", false)
		time.Sleep(timing.call)
		patience("at the end of the patience", time.Now(), first.Add(timing.call))
		told("at the end of the patience", false)
		time.Sleep(time.Nanosecond)
		second := time.Now()
		patience("after an old outage", second, second.Add(timing.call))
		o.failed(second, timing, cause)
		time.Sleep(timing.call / 2)
		patience("a call in the new outage", time.Now(), second.Add(timing.call))
		told("the new outage", true)
		told("the new outage, again", false)
		// A wait is told before an attempt has failed: the old cause is not that of the wait.
		time.Sleep(timing.call + 1)
		if cause, tell := o.tell(timing); !tell || cause != "" {
			t.Errorf("a wait after an old outage: told %v of %q", tell, cause)
		}
		o.failed(time.Now(), timing, cause)
		told("the failure of that wait", false)
	})
}
