package workflow_test

import (
	"context"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

type places struct {
	Set    store.Path            `json:"set"`
	Run    string                `json:"run"` // a word of the user's, no path
	None   store.Path            `json:"none"`
	Far    *store.Path           `json:"far"`
	Many   []store.Path          `json:"many"`
	Nested struct{ At [1]place } `json:"nested"`
	Named  map[string]place      `json:"named"`
	hidden store.Path
}

type place struct{ Path store.Path }

// TestLocated: a record keeps names below its store; Located makes paths of those
// that have the type of a path, and of nothing else.
func TestLocated(t *testing.T) {
	far := store.Path("gs://bucket/far")
	value := places{Set: "sets/1", Run: "fast", Far: &far, Many: []store.Path{"a", "/b"}, Named: map[string]place{"x": {"c"}}, hidden: "d"}
	value.Nested.At[0].Path = "e"
	s := workflow.Stage[any, places]{Name: "a", Version: 1, Artifact: "x",
		Run: func(context.Context, any, *workflow.Task) (workflow.Product[places], error) {
			return workflow.Product[places]{Value: value}, nil
		}}
	words := workflow.Stage[any, map[string]string]{Name: "b", Version: 1, Artifact: "y",
		Run: func(context.Context, any, *workflow.Task) (workflow.Product[map[string]string], error) {
			return workflow.Product[map[string]string]{Value: map[string]string{"set": "sets/1", "run": "fast"}}, nil
		}}
	p, err := workflow.New(s, words)
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(ctx, open(t), workflow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const kept = `{"set":"sets/1","run":"fast","none":"","far":"gs://bucket/far","many":["a","/b"],"nested":{"At":[{"Path":"e"}]},"named":{"x":{"Path":"c"}}}`
	for _, c := range []struct{ stage, kept, located string }{
		{"a", kept, `{"set":"work/w/sets/1","run":"fast","none":"","far":"gs://bucket/far","many":["work/w/a","/b"],` +
			`"nested":{"At":[{"Path":"work/w/e"}]},"named":{"x":{"Path":"work/w/c"}}}`},
		{"b", `{"run":"fast","set":"sets/1"}`, `{"run":"fast","set":"sets/1"}`},
	} {
		record := r.Stage(c.stage)
		if string(record.Value) != c.kept {
			t.Errorf("%s: the record has %s, want %s", c.stage, record.Value, c.kept)
		}
		if got, err := p.Located(record, "work/w"); err != nil || string(got) != c.located {
			t.Errorf("%s: located it is %s, %v, want %s", c.stage, got, err, c.located)
		}
	}
}
