package round

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestPaths: a record has paths below the workdir, a result paths that can be
// opened from here, and words of the user's stay words, whatever their keys are.
func TestPaths(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=6", "train.lr=0.02")
	mine := workflow.Stage[any, map[string]string]{Name: "mine", Version: 1, Artifact: "mine",
		Run: func(context.Context, any, *workflow.Task) (workflow.Product[map[string]string], error) {
			return workflow.Product[map[string]string]{Value: map[string]string{"run": "fast", "set": "sail"}}, nil
		}}
	res, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console(), Stages: []Stage{func(*Stages) workflow.Node { return mine }}})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(res.Stages["mine"]); got != `{"run":"fast","set":"sail"}` {
		t.Errorf("the stage's own result is %s", got)
	}
	st, err := store.Open(t.Context(), c.Workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	record, err := workflow.ReadRecord(t.Context(), st, res.Round)
	if err != nil {
		t.Fatal(err)
	}
	if record.Stage("sources") != nil {
		t.Error("the record has the sources, which no stage takes")
	}
	for stage, keys := range map[string][]string{"prep": {"set"}, "train": {"run", "checkpoint", "best"}, "evaluate": {"checkpoint"}, "gate": {"candidate"}} {
		var kept, shown map[string]any
		if err := json.Unmarshal(record.Stage(stage).Value, &kept); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(res.Stages[stage], &shown); err != nil || len(shown) != len(kept) {
			t.Errorf("%s: the result %v has other keys than the record %v, %v", stage, shown, kept, err)
		}
		for _, key := range keys {
			name, path := kept[key].(string), shown[key].(string)
			if _, err := os.Stat(path); err != nil || path != filepath.Join(c.Workdir, name) || !filepath.IsLocal(name) {
				t.Errorf("%s: %s is %q in the record and %q in the result: %v", stage, key, name, path, err)
			}
		}
	}
}
