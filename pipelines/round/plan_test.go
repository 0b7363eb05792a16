package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/runners/workflow"
)

// learned are the settings of a model that passes the gate.
var learned = []string{"train.epochs=6", "train.lr=0.02"}

// quiet are the options of a round that tells nobody.
func quiet(own ...Stage) Options {
	return Options{Runner: "direct", Console: tiny.Console(), Stages: own}
}

// done runs a round that must end well.
func done(t *testing.T, c *configs.Config, o Options) *Result {
	t.Helper()
	res, err := Run(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// planned returns the reasons of the stages that a plan runs.
func planned(t *testing.T, c *configs.Config, o Options) map[string][]string {
	t.Helper()
	plan, err := Plan(t.Context(), c, o)
	if err != nil && class(err) != refused {
		t.Fatal(err)
	}
	runs := map[string][]string{}
	for _, s := range plan.Stages {
		if s.Action == workflow.ActionRun {
			runs[s.Name] = s.Reasons
		}
	}
	return runs
}

// observed runs a round and returns the reasons of the stages that ran.
func observed(t *testing.T, c *configs.Config, o Options) map[string][]string {
	t.Helper()
	var lines strings.Builder
	o.Console = report.NewConsole(&lines, false)
	if _, err := Run(t.Context(), c, o); err != nil && class(err) != refused {
		t.Fatal(err)
	}
	runs := map[string][]string{}
	for line := range strings.Lines(lines.String()) {
		if name, why, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " runs: "); ok {
			runs[strings.TrimSpace(name)] = strings.Split(why, "; ")
		}
	}
	return runs
}

// TestPlanIsRun: after a change a plan names the stages that a round then runs. The
// first of them has the same reasons in both; those after it know their inputs only
// in the round.
func TestPlanIsRun(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), learned...)
	base := *c
	file := func(name string) string { return filepath.Join(c.Workdir, name) }
	dir := ""
	remove := func(name string) {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range []struct {
		name   string
		do     func()
		first  string // stage that runs first; empty: none
		reason func() string
		then   string // the stages that run after it
	}{
		{"the first round", func() {}, "prep", func() string { return "no earlier result" }, "train evaluate gate promote sample"},
		{"nothing", func() {}, "", nil, ""},
		{"another sample", func() { c.Generate.Seed = 1 }, "sample", func() string { return "generate.seed: 0 → 1" }, ""},
		{"another limit", func() { c.Gate.MaxSpan = 200 }, "gate", func() string { return "gate.max_span: 100 → 200" }, "promote"},
		{"another seed", func() { c.Train.Seed = 2 }, "train", func() string { return "train.seed: 1 → 2" }, "evaluate gate promote sample"},
		{"another split", func() { c.Prep.Validation.Fraction = 0.2 }, "prep", func() string { return "prep.validation.fraction: 0.1 → 0.2" },
			"train evaluate gate promote sample"},
		{"the sample's outcome is gone", func() {
			plan, err := Plan(t.Context(), c, quiet())
			if err != nil {
				t.Fatal(err)
			}
			remove(file(workflow.OutcomeName("sample", plan.Stages[5].Key)))
		}, "sample", nil, ""},
		{"the run is gone", func() { dir = done(t, c, quiet()).Run; remove(filepath.Join(dir, "latest.json")) }, "train",
			func() string { return filepath.Join(dir, "latest.json") + " is missing" }, ""}, // the same weights come back
	} {
		t.Run(change.name, func(t *testing.T) {
			*c = base
			change.do()
			plan, ran := planned(t, c, quiet()), observed(t, c, quiet())
			var want []string
			if change.first != "" {
				want = append([]string{change.first}, strings.Fields(change.then)...)
				slices.Sort(want)
			}
			if got := slices.Sorted(maps.Keys(ran)); !slices.Equal(got, want) {
				t.Errorf("the round runs %v, want %v", ran, want)
			}
			if got := slices.Sorted(maps.Keys(plan)); !slices.Equal(got, want) {
				t.Errorf("the plan runs %v, want %v", plan, want)
			}
			if !slices.Equal(plan[change.first], ran[change.first]) {
				t.Errorf("%s runs for %q by the plan, for %q in the round", change.first, plan[change.first], ran[change.first])
			}
			if change.reason != nil && !slices.Equal(ran[change.first], []string{change.reason()}) {
				t.Errorf("%s runs for %q, want %q", change.first, ran[change.first], change.reason())
			}
			if left := planned(t, c, quiet()); len(left) != 0 {
				t.Errorf("after the round the plan runs %v", left)
			}
		})
	}
}

// TestPromoteChecks: the stage promote runs again where promoted.json is gone or
// names another model, and nothing else does.
func TestPromoteChecks(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), learned...)
	first := done(t, c, quiet())
	pointer := filepath.Join(c.Workdir, "promoted.json")
	kept, err := os.ReadFile(pointer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(pointer); err != nil {
		t.Fatal(err)
	}
	if ran := observed(t, c, quiet()); len(ran) != 1 || !slices.Equal(ran["promote"], []string{"no model is promoted any more"}) {
		t.Errorf("without promoted.json the round runs %v", ran)
	}
	if again, err := os.ReadFile(pointer); err != nil || string(again) != string(kept) {
		t.Errorf("promoted.json is %s, %v, want %s", again, err, kept)
	}

	// A refused model leaves the one in service, and its file, as they are.
	bad := *c
	bad.Train.Epochs = 1
	res, err := Run(t.Context(), &bad, quiet())
	if class(err) != refused || res == nil || res.Promoted != "" || res.Run == first.Run {
		t.Errorf("the round is %+v, %v, want a refusal", res, err)
	}
	if now, err := os.ReadFile(pointer); err != nil || string(now) != string(kept) {
		t.Errorf("after a refusal promoted.json is %s, %v, want %s", now, err, kept)
	}
	if res := done(t, c, quiet()); res.Promoted != first.Promoted {
		t.Errorf("the first config's model is %s, want %s", res.Promoted, first.Promoted)
	}

	// A better model of another seed takes its place; then the first decision is an old one.
	better := *c
	better.Train.Epochs = 10
	next := done(t, &better, quiet())
	if next.Promoted == first.Promoted || next.Promoted == "" {
		t.Fatalf("promoted is %q after %q", next.Promoted, first.Promoted)
	}
	pass := func(*Stages) workflow.Node { // a gate without an incumbent: its decision on the first model stays
		return workflow.Stage[any, gate.Result]{Name: "gate", Version: 1, Inputs: []workflow.Input{ModelArtifact}, Artifact: DecisionArtifact,
			Run: func(context.Context, any, *workflow.Task) (out workflow.Product[gate.Result], err error) {
				out.Value.Passed = true
				return out, nil
			}}
	}
	done(t, c, quiet(pass))
	done(t, &better, quiet(pass))
	var trained stages.TrainResult
	if err := json.Unmarshal(next.Stages["train"], &trained); err != nil {
		t.Fatal(err)
	}
	why := "another model is the promoted one: " + strings.TrimPrefix(string(trained.Best), c.Workdir+"/")
	if plan := planned(t, c, quiet(pass)); len(plan) != 1 || !slices.Equal(plan["promote"], []string{why}) {
		t.Errorf("the plan runs %v, want promote for %q", plan, why)
	}
}

// TestSelection runs parts of a round.
func TestSelection(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	o := quiet(Without("gate", "promote"))
	o.From = "train"
	if _, err := Run(t.Context(), c, o); err == nil || err.Error() != "workflow: the round is to start from train, but prep must run first: no earlier result" {
		t.Errorf("from train in an empty workdir: %v", err)
	}
	o.From, o.To = "", "prep"
	res := done(t, c, o)
	if len(res.Stages) != 1 || res.Stages["prep"] == nil || res.Run != "" || res.Sample != "" || res.Set == "" {
		t.Errorf("to prep: %+v", res)
	}
	o.To = ""
	whole := done(t, c, o)
	contents := func() map[string]string { return tree(t, whole.Set) }
	before := contents()
	for _, force := range []string{"prep", "train", "evaluate", "sample"} {
		o.Force = []string{force}
		if ran := observed(t, c, o); len(ran) != 1 || !slices.Equal(ran[force], []string{"forced"}) {
			t.Errorf("with %s forced, %v run", force, ran)
		}
	}
	if after := contents(); !maps.Equal(before, after) {
		t.Error("a forced prep makes another set")
	}
	o.Force = []string{"gate"} // it is left out
	if _, err := Run(t.Context(), c, o); err == nil || err.Error() != `workflow: unknown stage "gate"; the stages are prep, train, evaluate, sample` {
		t.Errorf("a forced stage that is left out: %v", err)
	}

	// A damaged set stops the round before train reads it; a plan says so.
	o.Force = nil
	vocab := filepath.Join(whole.Set, "vocab.json")
	damaged := []byte(before["vocab.json"])
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(vocab, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	_, stopped := Run(t.Context(), c, o)
	if stopped == nil || class(stopped) == users || !strings.Contains(stopped.Error(), vocab) {
		t.Errorf("with a damaged vocabulary: %v", stopped)
	}
	if _, err := Plan(t.Context(), c, o); fmt.Sprint(err) != fmt.Sprint(stopped) {
		t.Errorf("with a damaged vocabulary, the plan: %v", err)
	}
	if err := os.WriteFile(vocab, []byte(before["vocab.json"]), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Verify = true
	if ran := observed(t, c, o); len(ran) != 0 {
		t.Errorf("an intact set and run are verified, and %v run", ran)
	}
}

// TestInterrupted: the record of a round that is cancelled in training says so, a plan counts
// the steps that are saved, and the next round goes on there.
func TestInterrupted(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.checkpoint.every_steps=5")
	o := quiet(Without("gate", "promote"))
	o.To = "prep"
	done(t, c, o)
	o.To = "train"
	cost := func() workflow.Cost {
		t.Helper()
		plan, err := Plan(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		s := plan.Stages[1]
		if s.Name != "train" || s.Action != workflow.ActionRun || s.Cost == nil {
			t.Fatalf("the plan of train is %+v", s)
		}
		return *s.Cost
	}
	if got := cost(); got != (workflow.Cost{Steps: 68}) {
		t.Errorf("the cost of train is %+v, want 68 steps", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	o.Console = report.NewConsole(stopAt{"train: saved", stop}, false)
	res, err := Run(ctx, c, o)
	if !errors.Is(err, train.ErrInterrupted) || res != nil {
		t.Fatalf("the round ends with %+v, %v, want %v", res, err, train.ErrInterrupted)
	}
	if list, err := List(t.Context(), c.Workdir); err != nil || len(list.Rounds) != 2 || list.Rounds[1].Exit != workflow.Interrupted ||
		!slices.Equal(list.Rounds[1].Ran, []string{"train"}) {
		t.Errorf("the rounds are %+v, %v, want the second one interrupted in train", list, err)
	}
	begun := cost()
	if begun.Steps != 68 || begun.Done < 5 || begun.Done >= 68 {
		t.Errorf("after the interruption the cost is %+v", begun)
	}
	o.Console, o.Force = tiny.Console(), []string{"train"}
	if got := cost(); got.Done != 0 {
		t.Errorf("a forced training begins at step 0, not %d", got.Done)
	}
	o.Force = nil
	var lines strings.Builder
	o.Console = report.NewConsole(&lines, false)
	var trained stages.TrainResult
	if err := json.Unmarshal(done(t, c, o).Stages["train"], &trained); err != nil || trained.Step != 68 {
		t.Errorf("the next round ends at step %d, %v", trained.Step, err)
	}
	if on := fmt.Sprintf("train: goes on at step %d of 68", begun.Done); !strings.Contains(lines.String(), on) {
		t.Errorf("the next round says %s, want %q", lines.String(), on)
	}
	lines.Reset()
	o.Force = []string{"train"}
	done(t, c, o)
	if !strings.Contains(lines.String(), "train: saved") {
		t.Errorf("a forced training of a finished run says %s", lines.String())
	}
}

// stopAt calls stop when a line has the word.
type stopAt struct {
	word string
	stop func()
}

func (s stopAt) Write(data []byte) (int, error) {
	if strings.Contains(string(data), s.word) {
		s.stop()
	}
	return len(data), nil
}

// tree returns the contents of the files in a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name()] = string(data)
	}
	return files
}
