package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// raced is a pipeline of one stage that makes the text, in a file and as its
// value. meanwhile runs inside the stage, before the outcome is written.
func raced(t *testing.T, text, digest string, meanwhile func()) *workflow.Pipeline {
	t.Helper()
	s := plain("a", "x")
	s.Run = func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
		meanwhile()
		name := fmt.Sprintf("%s/%s", task.Key, digest)
		_, err = task.Store.Put(ctx, name, []byte(digest))
		return workflow.Product[string]{Value: text, Digest: digest, Files: []workflow.File{{Name: name}}}, err
	}
	p, err := workflow.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRace runs the same stage in two processes at once. The quicker one's
// outcome stays: an equal product is no conflict, whatever its times are; another
// product is.
func TestRace(t *testing.T) {
	for _, force := range [][]string{nil, {"a"}} {
		for _, c := range []struct {
			digest string
			equal  bool
		}{{"same", true}, {"other", false}} {
			st := open(t)
			options := workflow.Options{Force: force}
			if force != nil { // both see this outcome, and replace it
				if _, err := raced(t, "in 3 seconds", "old", func() {}).Run(ctx, st, workflow.Options{}); err != nil {
					t.Fatal(err)
				}
			}
			var won *workflow.Record
			r, err := raced(t, "in 5 seconds", c.digest, func() {
				var err error
				if won, err = raced(t, "in 4 seconds", "same", func() {}).Run(ctx, st, options); err != nil {
					t.Fatal(err)
				}
			}).Run(ctx, st, options)
			kept, _, rerr := st.Read(ctx, workflow.OutcomeName("a", won.Stage("a").Key))
			if rerr != nil || !strings.Contains(string(kept), "in 4 seconds") {
				t.Errorf("forced %v, %s: the outcome is %s, %v", force, c.digest, kept, rerr)
			}
			if c.equal {
				if err != nil || string(r.Stage("a").Value) != `"in 4 seconds"` {
					t.Errorf("forced %v, equal products: %+v, %v", force, r, err)
				}
			} else if !errors.Is(err, store.ErrConflict) || r.Exit != workflow.Conflict || r.Stage("a").Digest != "" {
				t.Errorf("forced %v, other products: %+v, %v", force, r, err)
			}
		}
	}
}

// TestKilledAgain kills a stage that makes its files again, because it is forced or
// because a file is missing, when it has replaced another file with the half of it. The
// next round goes on, as after any kill: nobody has damaged the file.
func TestKilledAgain(t *testing.T) {
	for _, force := range [][]string{nil, {"a"}} {
		st, killed := open(t), false
		s := plain("a", "x")
		s.Run = func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
			files := []workflow.File{{Name: "f/1"}, {Name: "f/2"}}
			for _, f := range files {
				if killed {
					return out, errors.Join(st.Replace(ctx, f.Name, []byte("ha")), context.Canceled)
				}
				if err := st.Replace(ctx, f.Name, []byte("half")); err != nil {
					return out, err
				}
			}
			return workflow.Product[string]{Value: "made", Digest: "digest", Files: files}, nil
		}
		p, err := workflow.New(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Run(ctx, st, workflow.Options{}); err != nil {
			t.Fatal(err)
		}
		if force == nil {
			if err := st.Delete(ctx, "f/2", ""); err != nil {
				t.Fatal(err)
			}
		}
		killed = true
		if _, err := p.Run(ctx, st, workflow.Options{Force: force}); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		killed = false
		r, err := p.Run(ctx, st, workflow.Options{})
		if err != nil || r.Stage("a").Action != workflow.ActionRun {
			t.Fatalf("forced %v: the round after the kill: %+v, %v", force, r, err)
		}
		if r, err = p.Run(ctx, st, workflow.Options{Verify: true}); err != nil || r.Stage("a").Action != workflow.ActionSkip {
			t.Errorf("forced %v: the round after that: %+v, %v", force, r, err)
		}
	}
}

// TestBusy runs two rounds at a time whose stage needs a lease. The second waits, says
// for whom, and finds the stage done.
func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, ran := open(t), 0
		s := plain("a", "x")
		s.Run = func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
			lease, err := store.Acquire(ctx, task.Store, "lease.json", nil)
			if err != nil {
				return out, fmt.Errorf("busy: %w", err)
			}
			ran++
			time.Sleep(30 * time.Minute)
			return out, lease.Release(ctx)
		}
		p, err := workflow.New(s)
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan error, 1)
		go func() {
			_, err := p.Run(ctx, st, workflow.Options{ID: "first"})
			first <- err
		}()
		time.Sleep(time.Minute)
		var said []string
		r, err := p.Run(ctx, st, workflow.Options{ID: "second", Observe: func(e workflow.Event) {
			said = append(said, fmt.Sprintf("%s %s: %s", e.Stage, e.Kind, strings.Join(e.Why, "; ")))
		}})
		if err != nil || r.Stage("a").Action != workflow.ActionSkip || ran != 1 {
			t.Errorf("the second round is %+v, %v; the stage ran %d times", r, err, ran)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		// It runs; then three times in 29 minutes it says that it waits.
		waits := slices.DeleteFunc(slices.Clone(said), func(s string) bool { return !strings.HasPrefix(s, "a waits: busy: store: ") })
		if len(waits) != 3 || !strings.Contains(waits[0], fmt.Sprintf("process %d on ", os.Getpid())) {
			t.Errorf("it said %q", said)
		}
	})
}

// TestBusyBound: the wait has a bound, and ends with its context. A round with an id of
// its own then has no record: the id is free.
func TestBusyBound(t *testing.T) {
	for _, c := range []struct {
		id   string
		stop time.Duration // of the context
		took time.Duration
		exit string
	}{{"slot", 99 * time.Hour, 24 * time.Hour, workflow.Busy}, {"", 99 * time.Hour, 24 * time.Hour, workflow.Busy}, {"slot", time.Hour, time.Hour, workflow.Interrupted}} {
		synctest.Test(t, func(t *testing.T) {
			st, s := open(t), plain("a", "x")
			s.Run = func(context.Context, any, *workflow.Task) (out workflow.Product[string], err error) {
				return out, &store.HeldError{Where: "lease.json"}
			}
			p, err := workflow.New(s)
			if err != nil {
				t.Fatal(err)
			}
			limited, stop := context.WithCancel(ctx)
			defer time.AfterFunc(c.stop, stop).Stop()
			began := time.Now()
			r, err := p.Run(limited, st, workflow.Options{ID: c.id})
			var held *store.HeldError
			if took := time.Since(began); took < c.took || took > c.took+time.Minute || errors.As(err, &held) != (c.exit == workflow.Busy) || r == nil || r.Exit != c.exit {
				t.Errorf("id %q: after %v: %+v, %v", c.id, took, r, err)
			}
			if _, err = workflow.ReadRecord(ctx, st, r.Round); errors.Is(err, store.ErrNotExist) != (c.id != "") {
				t.Errorf("id %q: its record: %v", c.id, err)
			}
		})
	}
}

// TestFollow: a stage that waits for another process shows it until it has ended. That part
// of the wait has no bound.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, s := open(t), plain("a", "x")
		began := time.Now()
		s.Run = func(context.Context, any, *workflow.Task) (out workflow.Product[string], err error) {
			if time.Since(began) >= 72*time.Hour {
				return workflow.Product[string]{Value: "made"}, nil
			}
			return out, &store.HeldError{Where: "lease.json", PID: 4711}
		}
		var followed []time.Duration
		s.Follow = func(ctx context.Context, _ any, task *workflow.Task) error {
			if task.Key == "" {
				t.Error("it follows no key")
			}
			followed = append(followed, time.Since(began).Round(time.Hour))
			return store.Wait(ctx, 36*time.Hour)
		}
		p, err := workflow.New(s)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Run(ctx, st, workflow.Options{})
		if err != nil || r.Exit != workflow.Done || string(r.Stages[0].Value) != `"made"` {
			t.Errorf("%+v, %v", r, err)
		}
		if want := []time.Duration{0, 36 * time.Hour}; !slices.Equal(followed, want) {
			t.Errorf("it followed after %v, want %v", followed, want)
		}
	})
}

// TestOn: a plan says where a stage runs, and no key depends on it.
func TestOn(t *testing.T) {
	keys := map[string]bool{}
	for _, on := range []string{"", "ssh gpu1"} {
		s := plain("a", "x")
		s.On = on
		p, err := workflow.New(s)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := p.Plan(ctx, open(t), workflow.Options{})
		if err != nil || plan.Stages[0].On != on {
			t.Errorf("the stage runs on %q, want %q: %v", plan.Stages[0].On, on, err)
		}
		keys[plan.Stages[0].Key] = true
	}
	if len(keys) != 1 {
		t.Errorf("the keys are %v, want one", keys)
	}
}
