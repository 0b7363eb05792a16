package command_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhichStep uses the checkpoint of a step.
func TestWhichStep(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train", "--set", "train.max_steps=6", "--set", "train.checkpoint.every_steps=2")
	run := filepath.Join(l.work, "run")
	for _, step := range []float64{2, 4, 6} {
		which := map[float64]string{2: "step:2", 4: "step:4", 6: "step:00000006"}[step]
		if got := l.result("kind checkpoint", "inspect", run, "--which", which)["checkpoint"].(map[string]any)["step"]; got != step {
			t.Errorf("--which %s is step %v", which, got)
		}
	}
	l.ok("generate", "--which", "step:4", "--length", "5")
	l.fails(1, []string{"step-00000005", "the run has those of steps 2, 4, 6"}, "inspect", run, "--which", "step:5")
	l.fails(2, []string{"--which", "step:500"}, "inspect", run, "--which", "step:x")
	l.fails(2, []string{"--which", "step:500"}, "generate", "--which", "step:-1")
}

func TestInspectMetrics(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	r := l.result(trainKeys, "train")
	check := func(lines int, args ...string) {
		t.Helper()
		list := l.result("kind metrics", append([]string{"inspect", "--metrics"}, args...)...)["metrics"].([]any)
		if len(list) != lines {
			t.Errorf("%v gives %d lines, want %d", args, len(list), lines)
		}
		if last := list[len(list)-1].(map[string]any); last["step"] != r["step"] || last["epoch_train_nats"] != r["train_nats"] {
			t.Errorf("%v ends with %v, want %v", args, last, r)
		}
	}
	steps := int(r["step"].(float64))
	check(1+steps/5+2, filepath.Join(l.work, "run"))
	check(1 + steps/5 + 2)
	check(2, r["checkpoint"].(string))
	if o := l.ok("inspect", "--metrics"); strings.Count(o.stdout, "\n") != 3 || !strings.Contains(o.stdout, "validation") {
		t.Errorf("in words: %v", o)
	}
}

func TestInspectDiff(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	run, other := filepath.Join(l.work, "run"), filepath.Join(l.dir, "other")
	l.ok("train", "--set", "train.max_steps=4", "--set", "train.checkpoint.every_steps=2")
	l.ok("train", "--set", "train.max_steps=2", "--set", "model.hidden=9", "--set", "train.lr=0.02", "--out", other)
	diff := func(args ...string) map[string]any {
		t.Helper()
		return l.result("kind diff", append([]string{"inspect", "--diff"}, args...)...)["diff"].(map[string]any)
	}
	same := diff(run, filepath.Join(run, "checkpoints", "step-00000004.safetensors"))
	if same["same"] != true || same["config"] != nil || same["metrics"] != nil || same["origin"] != nil {
		t.Errorf("the same checkpoint: %v", same)
	}
	d := diff(run, other, "--which", "step:2")
	if got := d["config"].([]any); len(got) != 2 || got[0].(map[string]any)["key"] != "model.hidden" || got[1].(map[string]any)["b"] != "0.02" {
		t.Errorf("config: %v", got)
	}
	steps := diff(filepath.Join(run, "checkpoints", "step-00000002.safetensors"), run)
	tensors := steps["tensors"].([]any)
	for _, x := range tensors {
		e := x.(map[string]any)
		if most, ok := e["max_abs"].(float64); !ok || most <= 0 || most > 1 || e["differ"].(float64) < 1 {
			t.Errorf("%v", e)
		}
	}
	if len(tensors) != 21 || steps["same"] != false || steps["origin"].([]any)[0].(map[string]any)["key"] != "step" {
		t.Errorf("%d tensors; %v", len(tensors), steps["origin"])
	}
	for _, want := range []string{"config   model.hidden: 8, 9\n", "tensor   rnn.weight_hh_l0: shape [24 8], [27 9]\n", "tensor   dense.bias: ", "0 of 21 tensors are the same\n"} {
		if o := l.ok("inspect", "--diff", run, other); !strings.Contains(o.stdout, want) {
			t.Errorf("in words, there is no %q: %v", want, o)
		}
	}
	l.fails(2, []string{"--diff compares two"}, "inspect", "--diff", run)
	l.fails(2, []string{"exclude"}, "inspect", "--diff", "--metrics", run, other)
}

// TestFallsBack: a training whose newest checkpoint is damaged says so and goes
// on from the one before; with nothing intact it starts from zero only when told.
func TestFallsBack(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	train := []string{"train", "--set", "train.max_steps=4", "--set", "train.checkpoint.every_steps=2"}
	r := l.result(trainKeys, train...)
	newest, before := r["checkpoint"].(string), filepath.Join(l.work, "run", "checkpoints", "step-00000002.safetensors")
	whole := l.read(newest)
	l.write(newest, whole[:len(whole)-9]+"x"+whole[len(whole)-8:])
	o := l.ok(append(train, "--quiet")...)
	if !strings.HasPrefix(o.stderr, "WARNING: ") || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, newest) || !strings.Contains(o.stderr, "step 2 is taken instead") {
		t.Errorf("a damaged newest checkpoint: %v", o)
	}
	if l.read(newest) != whole {
		t.Error("trained again from step 2, step 4 is another")
	}
	l.write(newest, whole[1:])
	l.write(before, "x")
	l.fails(1, []string{newest, "nor is one of the 1 before it intact", "--fresh"}, train...)
	journal := filepath.Join(l.work, "run", "run.json")
	l.write(journal, "x")
	l.fails(1, []string{journal, "delete that file"}, train...)
	if o := l.ok(append(train, "--fresh")...); strings.Contains(o.stderr, "goes on") || l.read(newest) != whole {
		t.Errorf("--fresh: %v", o)
	}
	if o := l.ok(append(train, "--fresh")...); strings.Contains(o.stderr, "goes on") || l.read(newest) != whole {
		t.Errorf("--fresh, where nothing is damaged: %v", o)
	}
	if o := l.ok(append(train, "--replace")...); !strings.Contains(o.stderr, "has ended at step 4") {
		t.Errorf("--replace, where nothing is damaged: %v", o)
	}
	l.write(journal, "x")
	if o := l.ok(append(train, "--replace")...); !strings.Contains(o.stderr, "has ended at step 4") || l.read(newest) != whole {
		t.Errorf("--replace, where the journal alone is damaged: %v", o)
	}
}

// TestWorkdirNamed: a workdir in the place of a run or a set is answered with those of its
// latest round, as inspect finds them without a path.
func TestWorkdirNamed(t *testing.T) {
	l := newLab(t)
	first := l.result(runKeys, "run", "--to", "prep")
	for _, args := range [][]string{{"inspect"}, {"inspect", "--metrics"}, {"generate", "--checkpoint"}, {"promote"}} {
		l.fails(1, []string{"it is a workdir, in which round " + first["round"].(string) + " made the set " + first["set"].(string)}, append(args, l.work)...)
	}
	r := l.result(runKeys, "run")
	advice := fmt.Sprintf("it is a workdir, in which round %v made the set %v and the run %v", r["round"], r["set"], r["run"])
	for _, args := range [][]string{{"inspect"}, {"inspect", "--metrics"}, {"inspect", "--diff", l.work}, {"generate", "--checkpoint"}, {"promote"}} {
		l.fails(1, []string{advice}, append(args, l.work)...)
	}
	l.ok("inspect", r["set"].(string))
	l.ok("inspect", "--metrics", r["run"].(string))
	l.fails(1, []string{"train a model first"}, "generate", "--checkpoint", l.dir)
}
