package workflow_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestCompose puts stages before, in place of, after and without those of a base.
// A name like "strip" is followed by the artifact and the inputs.
func TestCompose(t *testing.T) {
	source := plain("source", "raw")
	source.OnDemand = true
	base := []workflow.Node{source, plain("look", "corpus"), plain("prep", "set", "corpus"), plain("gate", "decision", "set"), plain("sample", "text", "set")}
	for _, c := range []struct {
		own  []workflow.Node
		want string // stages in order, or a part of the error
	}{
		{nil, "look prep gate sample"},
		{[]workflow.Node{plain("strip", "corpus", "raw")}, "source strip prep gate sample"},
		{[]workflow.Node{plain("strip", "corpus", "clean"), plain("fetch", "clean")}, "fetch strip prep gate sample"},
		{[]workflow.Node{plain("jury", "decision", "set", "corpus")}, "look prep jury sample"},
		{[]workflow.Node{plain("count", "count", "text")}, "look prep gate sample count"},
		{[]workflow.Node{plain("early", "early"), plain("prep", "set", "corpus", "early")}, "look early prep gate sample"},
		{[]workflow.Node{workflow.Without("gate", "sample")}, "look prep"},
		{[]workflow.Node{plain("count", "count", "set"), workflow.Without("gate"), workflow.Without("sample")}, "look prep count"},
		{[]workflow.Node{workflow.Without("gate", "smaple")}, "unknown stage smaple cannot be left out"},
		{[]workflow.Node{workflow.Without("look")}, "stage prep needs corpus, which no stage makes"},
		{[]workflow.Node{plain("prep", "other")}, "two stages are called prep"},
		{[]workflow.Node{plain("a", "x"), plain("b", "x")}, "stages a and b both make x"},
		{[]workflow.Node{plain("a", "corpus"), plain("b", "corpus")}, "stages a and b both make corpus"},
	} {
		p, err := workflow.New(workflow.Compose(base, c.own...)...)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			continue
		}
		if got := strings.Join(p.Stages(), " "); got != c.want {
			t.Errorf("the stages are %s, want %s", got, c.want)
		}
	}
}

// TestUses: a stage can read an artifact that is not in its key. It waits for the
// artifact, and does not run again when only that changes.
func TestUses(t *testing.T) {
	st := open(t)
	run := func(seen string, forced ...string) []string {
		t.Helper()
		var ran []string
		look := plain("look", "seen")
		look.Live = true
		look.Run = func(context.Context, any, *workflow.Task) (workflow.Product[string], error) {
			return workflow.Product[string]{Value: seen}, nil
		}
		a := plain("a", "x")
		a.Uses = []workflow.Input{workflow.Artifact[string]("seen")}
		a.Run = func(_ context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
			ran = append(ran, "a")
			out.Value, err = workflow.Artifact[string]("seen").Of(task)
			return out, err
		}
		p, err := workflow.New(a, look)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Run(ctx, st, workflow.Options{Force: forced})
		if err != nil {
			t.Fatal(err)
		}
		if inputs := r.Stage("a").Inputs; len(inputs) != 0 {
			t.Errorf("the key has %v", inputs)
		}
		return append(ran, string(r.Stage("a").Value))
	}
	for _, c := range []struct {
		seen   string
		forced []string
		want   []string
	}{
		{"one", nil, []string{"a", `"one"`}},
		{"two", nil, []string{`"one"`}},
		{"two", []string{"a"}, []string{"a", `"two"`}},
	} {
		if got := run(c.seen, c.forced...); !slices.Equal(got, c.want) {
			t.Errorf("with %s, forced %v: %q, want %q", c.seen, c.forced, got, c.want)
		}
	}
	bad := plain("a", "x")
	bad.Uses = []workflow.Input{workflow.Artifact[string]("y")}
	if _, err := workflow.New(bad); err == nil || !strings.Contains(err.Error(), "stage a needs y, which no stage makes") {
		t.Errorf("an artifact that no stage makes: %v", err)
	}
}

// TestAllLive: a pipeline whose stages are all live runs them.
func TestAllLive(t *testing.T) {
	ran := 0
	look := workflow.Stage[any, int]{Name: "look", Version: 1, Artifact: "number", Live: true,
		Run: func(context.Context, any, *workflow.Task) (p workflow.Product[int], err error) {
			ran++
			return workflow.Product[int]{Value: 7, Digest: "7"}, nil
		}}
	p, err := workflow.New(look)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := p.Run(t.Context(), st, workflow.Options{}); err != nil || ran != 1 {
		t.Errorf("%d stages ran, %v", ran, err)
	}
}
