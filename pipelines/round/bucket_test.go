package round

import (
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/runners/store/gcstest"
	"github.com/quire-ml/quire/runners/workflow"
)

// TestRoundInBucket has corpus and workdir in a bucket. A second round asks what
// is there, and reads neither the corpus nor the set nor a checkpoint.
func TestRoundInBucket(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	server := gcstest.New(t)
	server.Set("bucket", "corpus/a.txt", []byte(strings.Repeat("to be or not to be, that is the question. ", 40)))
	c := tiny.Config(t, tiny.Line())
	c.Train.Epochs, c.Train.LR = 6, 0.02
	c.Workdir, c.Corpus.Sources = "gs://bucket/work", []string{"gs://bucket/corpus"}
	round := func() *Result {
		t.Helper()
		res, err := Run(t.Context(), c, Options{Runner: "direct", Console: tiny.Console()})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := round()
	if !strings.HasPrefix(first.Promoted, "gs://bucket/work/promoted/") || !strings.HasPrefix(first.Set, "gs://bucket/work/sets/") {
		t.Errorf("the result is %+v", first)
	}
	before := len(server.Log())
	if second := round(); second.Round != first.Round || second.Sample != first.Sample {
		t.Errorf("the second round is %s with %q, want %s with %q", second.Round, second.Sample, first.Round, first.Sample)
	}
	claims := 0
	for _, request := range server.Log()[before:] {
		what, name, _ := strings.Cut(request, " ")
		records := strings.Contains(name, "/rounds/") || strings.Contains(name, "/stages/") || strings.Contains(name, "/promoted.json")
		if strings.Contains(name, "/gc/claims/") && (what == "upload" || what == "delete") {
			claims++ // that it uses what it finds, and no longer
			continue
		}
		if what != "attrs" && what != "list" && !(what == "read" && records) {
			t.Errorf("the second round asks for %s", request)
		}
	}
	if claims != 2 {
		t.Errorf("the second round writes and deletes claims %d times, want once each", claims)
	}
	c.Train.Seed++
	plan, err := Plan(t.Context(), c, Options{Console: tiny.Console()})
	if err != nil {
		t.Fatal(err)
	}
	if s := plan.Stages[1]; plan.Stages[0].Action != workflow.ActionSkip || s.Action != workflow.ActionRun ||
		!slices.Equal(s.Reasons, []string{"train.seed: 1 → 2"}) {
		t.Errorf("the plan is %+v", plan.Stages)
	}
}
