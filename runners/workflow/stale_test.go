package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestStale has a world that moves on while a stage works with what a live stage saw of
// it: the round goes back to the live stage, and its record has each stage once. A world
// that never rests ends the round.
func TestStale(t *testing.T) {
	for _, moves := range []int{1, 3, 4} { // three returns are the bound
		st := open(t)
		world, before, judged := 0, 0, []int{}
		base := plain("before", "base")
		base.Run = func(context.Context, any, *workflow.Task) (workflow.Product[string], error) {
			before++
			return workflow.Product[string]{Value: "base"}, nil
		}
		seen := workflow.Stage[any, int]{Name: "look", Version: 1, Artifact: number, Live: true,
			Run: func(context.Context, any, *workflow.Task) (workflow.Product[int], error) {
				return workflow.Product[int]{Value: world}, nil
			}}
		judge := workflow.Stage[any, string]{Name: "judge", Version: 1, Inputs: []workflow.Input{number}, Artifact: words,
			Run: func(_ context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
				n, err := number.Of(task)
				judged = append(judged, n)
				out.Value = fmt.Sprint("judged against ", n)
				return out, err
			}}
		act := plain("act", "deed", "words")
		act.Uses = []workflow.Input{number}
		act.Run = func(_ context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
			n, err := number.Of(task)
			if world < moves {
				world++
			}
			if err == nil && n != world {
				err = &workflow.StaleError{Artifact: number, Err: fmt.Errorf("saw %d, is %d", n, world)}
			}
			out.Value = words.Digest(task)
			return out, err
		}
		p, err := workflow.New(base, seen, judge, act)
		if err != nil {
			t.Fatal(err)
		}
		var said []string
		r, err := p.Run(ctx, st, workflow.Options{ID: "round", Observe: func(e workflow.Event) {
			if e.Kind == workflow.Returns {
				said = append(said, fmt.Sprint(e))
			}
		}})
		wantSaid, wantJudged := []string{}, []int{0}
		for n := range min(moves, 3) {
			wantSaid, wantJudged = append(wantSaid, fmt.Sprintf("{act goes back [to look saw %d, is %d]}", n, n+1)), append(wantJudged, n+1)
		}
		if !slices.Equal(said, wantSaid) || !slices.Equal(judged, wantJudged) || before != 1 {
			t.Errorf("%d moves: told %q, judged against %v, and %d runs of the stage before", moves, said, judged, before)
		}
		var stale *workflow.StaleError
		if errors.As(err, &stale) != (moves > 3) || err != nil && err.Error() != "saw 3, is 4" {
			t.Errorf("%d moves end with %v", moves, err)
		}
		var names []string
		for _, s := range r.Stages {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, []string{"before", "look", "judge", "act"}) || string(r.Stages[1].Value) != fmt.Sprint(min(moves, 3)) {
			t.Errorf("%d moves: the record has the stages %v, and look saw %s", moves, names, r.Stages[1].Value)
		}
		if kept, rerr := workflow.ReadRecord(ctx, st, "round"); rerr != nil || len(kept.Stages) != 4 {
			t.Errorf("%d moves: the record on disk: %v", moves, rerr)
		}
		if want := fmt.Sprintf("%q", r.Stages[2].Digest); err == nil && string(r.Stages[3].Value) != want {
			t.Errorf("act read the digest %s, want %s", r.Stages[3].Value, want)
		}
	}
}

// TestFile: a stage reads the digests of its inputs' files.
func TestFile(t *testing.T) {
	l := newLab(t)
	var sum string
	ask := plain("ask", "answer", "product")
	ask.Run = func(_ context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
		p, _ := product.Of(task)
		f, ok := product.File(task, mulKey+"/end")
		_, none := product.File(task, "nothing")
		sum = f.SHA256
		if !ok || none || p.N != 6 {
			return out, fmt.Errorf("file %+v, %v, and a file that is none: %v", f, ok, none)
		}
		return out, nil
	}
	p, err := workflow.New(append(l.stages(), ask)...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // made, and found again
		sum = ""
		if _, err := p.Run(ctx, l.st, workflow.Options{Force: []string{"ask"}}); err != nil {
			t.Fatal(err)
		}
		// printf '0 of 6' | sha256sum
		if want := "b67eb6db71ef1e836bfeff4e88e61b017f2248e161cc6bf5666696d556fc0f3b"; sum != want {
			t.Errorf("the file's sha256 is %s, want %s", sum, want)
		}
	}
}

// TestOutage: a pointer or a record that cannot be read for a while is an error, and not
// damage: another record is not taken for the newest.
func TestOutage(t *testing.T) {
	st := open(t)
	p, err := workflow.New(plain("a", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx, st, workflow.Options{ID: "round"}); err != nil {
		t.Fatal(err)
	}
	for _, away := range []string{"rounds/latest.json", "rounds/round.json"} {
		failing := st.WithFaults(func(op, name string) error {
			if op == "read" && name == away {
				return store.ErrTransient
			}
			return nil
		})
		damaged := func(err error) { t.Errorf("without %s, this is damage: %v", away, err) }
		if r, err := workflow.Latest(ctx, failing, damaged); !errors.Is(err, store.ErrTransient) {
			t.Errorf("the newest without %s: %+v, %v", away, r, err)
		}
		if all, err := workflow.Records(ctx, failing, damaged); errors.Is(err, store.ErrTransient) != (away == "rounds/round.json") {
			t.Errorf("the records without %s: %v, %v", away, all, err)
		}
	}
}
