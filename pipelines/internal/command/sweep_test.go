package command_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const sweepKeys = "trials best config table picture"

// sweepArgs are six trials.
var sweepArgs = []string{"sweep", "--set", "sweep.train.lr=0.005,0.01,0.02", "--set", "sweep.model.hidden={from: 4, to: 8, by: x2}"}

// swept runs these trials on direct and returns their table.
func (l *lab) swept(more ...string) string {
	l.t.Helper()
	return l.read(l.result(sweepKeys, append(sweepArgs, more...)...)["table"].(string))
}

// TestSweep runs the same trials on direct and prism, and again where they are
// done.
func TestSweep(t *testing.T) {
	l := newLab(t)
	r := l.result(sweepKeys, sweepArgs...)
	table := l.read(r["table"].(string))
	rows := strings.Split(strings.TrimSpace(table), "\n")
	if rows[0] != "trial,nats,split,step,parameters,run,model.hidden,train.lr" || len(rows) != 7 {
		t.Fatalf("the table is\n%s", table)
	}
	var got []string
	for i, item := range r["trials"].([]any) {
		trial := item.(map[string]any)
		set := trial["set"].(map[string]any)
		wantLR := []float64{0.005, 0.01, 0.02}[(int(trial["trial"].(float64))-1)%3]
		wantHidden := []float64{4, 8}[(int(trial["trial"].(float64))-1)/3]
		if set["train.lr"] != wantLR || set["model.hidden"] != wantHidden || trial["split"] != "validation" {
			t.Errorf("row %d is %v", i+1, trial)
		}
		got = append(got, fmt.Sprintf("%v: %.4f %v %v", trial["trial"], trial["nats"], trial["step"], trial["parameters"]))
		if l.read(filepath.Join(trial["run"].(string), "latest.json")) == "" {
			t.Errorf("trial %v has no run", trial["trial"])
		}
	}
	if got, want := strings.Join(got, ", "), "6: 1.2584 60 583, 3: 1.5815 60 291, 5: 1.8966 60 583, 2: 2.0309 60 291, 4: 2.3797 60 583, 1: 2.4609 60 291"; got != want {
		t.Errorf("the trials are\n%s, want\n%s", got, want)
	}
	if fmt.Sprint(r["best"]) != fmt.Sprint(r["trials"].([]any)[0]) || !strings.HasPrefix(l.read(r["picture"].(string)), "\x89PNG") {
		t.Errorf("the best is %v, the picture %v", r["best"], r["picture"])
	}

	contents := l.contents()
	o := l.ok(sweepArgs...)
	if strings.Count(o.stderr, "nothing to do, ") != 6 || !maps.Equal(contents, l.contents()) {
		t.Errorf("the second sweep has done something: %v", o)
	}
	// A round of the best config has its model already.
	swept := l.config
	l.config = r["config"].(string)
	if got, want := l.read(l.config), "extends: "+swept+"\ntrain:\n  lr: 0.02\n"; got != want {
		t.Errorf("best.yaml is\n%swant\n%s", got, want)
	}
	o = l.ok("run", "--to", "evaluate")
	if said := stageLines(t, o); said["train"] != "nothing to do" || said["evaluate"] != "nothing to do" {
		t.Errorf("a round of the best config: %v", o)
	}

	prism := newLab(t)
	if got := prism.swept("--runner=prism"); got != table {
		t.Errorf("prism gives\n%s, direct\n%s", got, table)
	}
}

// TestSweepGoesOn kills a sweep after its first trials: the next one trains the
// others, and comes to the same table.
func TestSweepGoesOn(t *testing.T) {
	whole, l := newLab(t), newLab(t)
	want := whole.swept()
	c := l.child(sweepArgs...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := func() int {
		list, err := filepath.Glob(filepath.Join(l.work, "stages", "evaluate", "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for end := time.Now().Add(time.Minute); done() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	n := done()
	if n == 0 {
		t.Fatal("no trial was done in a minute")
	}
	t.Logf("%d trials were done", n)
	o := l.ok(append(sweepArgs, "--json")...)
	if strings.Count(o.stderr, "nothing to do, ") != n {
		t.Errorf("%d trials were done: %v", n, o)
	}
	if got := l.read(l.parse(sweepKeys, o)["table"].(string)); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
}

// TestSweepSets makes a set for each prep, and trains on its own text where
// nothing is held out.
func TestSweepSets(t *testing.T) {
	l := newLab(t)
	r := l.result(sweepKeys, "sweep", "--set", "sweep.prep.seq_length=10,12", "--set", "sweep.train.seed=1,2", "--set", "prep.validation.fraction=0", "--set", "sweep.pick=random", "--set", "sweep.trials=4")
	sets, err := filepath.Glob(filepath.Join(l.work, "sets", "*"))
	if err != nil || len(sets) != 2 || r["best"].(map[string]any)["split"] != "train" {
		t.Errorf("%d sets, want 2; the result is %v", len(sets), r)
	}
	const warning = "WARNING: sweep: the trials differ in prep.min_count: losses of different texts, or of characters that are counted in different ways, do not compare\n"
	if o := l.ok("sweep", "--quiet", "--set", "sweep.prep.min_count=1,2", "--set", "sweep.train.lr=0.01,0.02"); !strings.HasSuffix(o.stderr, warning) {
		t.Errorf("trials of two vocabularies: %v", o)
	}
	if o := l.ok("sweep", "--quiet", "--set", "sweep.train.lr=0.01,0.02"); strings.Contains(o.stderr, "do not compare") {
		t.Errorf("trials of one text: %v", o)
	}
}

// TestSweepTestSplit reports the loss of the best, and of no other trial, on the test
// split: in the result, in the table of the terminal, and in the console's last line.
func TestSweepTestSplit(t *testing.T) {
	l := newLab(t)
	args := append(sweepArgs[:3:3], "--set", "prep.test.fraction=0.1")
	o := l.ok(append(args, "--json")...)
	r := l.parse(sweepKeys, o)
	best := r["best"].(map[string]any)
	for _, trial := range r["trials"].([]any) {
		if nats, ok := trial.(map[string]any)["test_nats"]; ok {
			t.Errorf("trial %v has the test loss %v", trial.(map[string]any)["trial"], nats)
		}
	}
	want := fmt.Sprintf("is best: %.4f nats a character of the validation part, %.4f of the test part\n", best["nats"], best["test_nats"])
	if !strings.HasSuffix(o.stderr, want) || best["nats"] == best["test_nats"] {
		t.Errorf("the last line is not %q: %v", want, o)
	}
	loss := l.result("nats_per_char", "evaluate", "--checkpoint", best["checkpoint"].(string), "--split", "test", "--set", "prep.out="+l.onlySet())
	if loss["nats_per_char"] != best["test_nats"] {
		t.Errorf("the best is %v, evaluate has %v", best, loss)
	}
	if o := l.ok(args...); !strings.Contains(o.stdout, fmt.Sprintf("\nbest      trial %v, train.lr=0.02\ntest      %.4f nats a character\nrun       ", best["trial"], best["test_nats"])) {
		t.Errorf("the terminal has no test loss: %v", o)
	}
}

// onlySet is the set of a lab that has one, below its workdir.
func (l *lab) onlySet() string {
	l.t.Helper()
	sets, err := filepath.Glob(filepath.Join(l.work, "sets", "*"))
	if err != nil || len(sets) != 1 {
		l.t.Fatalf("the sets are %v, %v", sets, err)
	}
	return filepath.Join("sets", filepath.Base(sets[0]))
}

// TestSweepRefused makes mistakes: nothing is done.
func TestSweepRefused(t *testing.T) {
	l := newLab(t)
	l.fails(2, []string{"sweep has no key to vary"}, "sweep")
	l.fails(2, []string{"sweep.trian.lr is an unknown key; the nearest is sweep.train.lr"}, "sweep", "--set", "sweep.trian.lr=1")
	l.fails(2, []string{"trial 2 of the sweep (train.hidden=carry train.curriculum.seq_length=20)"}, "sweep", "--set", "sweep.train.hidden=carry", "--set", "sweep.train.curriculum.seq_length=0,20")
	l.fails(2, []string{"--project"}, append(sweepArgs, "--runner=dataflow")...)
	if len(l.files(l.work)) != 0 {
		t.Errorf("there are files: %v", l.files(l.work))
	}
}

// TestSweepDiverged has a trial whose training diverges: it is the last of the
// table, is not trained again, and the others are done.
func TestSweepDiverged(t *testing.T) {
	l := newLab(t)
	args := []string{"sweep", "--set", "sweep.train.weight_decay=10,0", "--set", "train.lr=10"} // 10·10: each weight is taken away a hundred times
	o := l.ok(append(args, "--json")...)
	r := l.parse(sweepKeys, o)
	best, last := r["best"].(map[string]any), r["trials"].([]any)[1].(map[string]any)
	if best["trial"] != 2.0 || last["trial"] != 1.0 || last["nats"] != nil || !strings.HasPrefix(fmt.Sprint(last["diverged"]), "train: step ") {
		t.Errorf("the result is %v", r)
	}
	rows := strings.Split(l.read(r["table"].(string)), "\n")
	if want := fmt.Sprintf("1,NaN,,%v,0,runs/", last["step"]); len(rows) != 4 || !strings.HasPrefix(rows[2], want) {
		t.Errorf("the table is %q, want its last row to begin with %q", rows, want)
	}
	contents := l.contents()
	o = l.ok(args...)
	if strings.Count(o.stderr, "nothing to do, ") != 2 || !strings.Contains(o.stdout, "    1  diverged") || !maps.Equal(contents, l.contents()) {
		t.Errorf("the second sweep: %v", o)
	}
	l.fails(1, []string{"trial 1 (train.weight_decay=10): it diverged, as did all others: train: step ", "use a smaller train.lr"}, "sweep", "--set", "sweep.train.weight_decay=10", "--set", "train.lr=10")
}
