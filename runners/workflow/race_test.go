package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

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
