package command_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const trainKeys = "run step epoch train_nats validation_nats checkpoint chars_per_second seconds"

func TestTrain(t *testing.T) {
	l := newLab(t)
	l.fails(1, []string{"no set", filepath.Join(l.work, "set"), "run prep"}, "train")
	l.ok("prep")
	r := l.result(trainKeys, "train")
	run := filepath.Join(l.work, "run")
	steps := r["step"].(float64)
	for key, want := range map[string]any{"run": run, "epoch": 2.0, "step": 2 * r["steps_per_epoch"].(float64),
		"checkpoint": filepath.Join(run, "checkpoints", fmt.Sprintf("step-%08.0f.safetensors", steps))} {
		if r[key] != want {
			t.Errorf("%s is %v, want %v", key, r[key], want)
		}
	}
	if nats := r["validation_nats"].(float64); nats > 2.5 || nats < 1 {
		t.Errorf("validation_nats is %v after %v steps, want 1 to 2.5", nats, steps)
	}
	want := []string{"best.json", fmt.Sprintf("checkpoints/step-%08.0f.safetensors", steps/2), fmt.Sprintf("checkpoints/step-%08.0f.safetensors", steps),
		"config.yaml", "events.out.tfevents.0000000001.quire", "events.out.tfevents.0000000002.quire", "latest.json", "loss.png", "metrics.jsonl", "run.json"}
	if got := l.files(run); !slices.Equal(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	checkMetrics(t, l.read(filepath.Join(run, "metrics.jsonl")), int(steps), 2)
	if again := l.result(trainKeys, "train"); again["step"] != steps || again["train_nats"] != r["train_nats"] || again["validation_nats"] != r["validation_nats"] {
		t.Errorf("a finished training started again gives %v, want %v", again, r)
	}
	if longer := l.result(trainKeys, "train", "--set", "train.epochs=3"); longer["step"] != 1.5*steps {
		t.Errorf("one more epoch gives step %v, want %v", longer["step"], 1.5*steps)
	}
}

// TestOneLoss: the validation loss of a training is what evaluate measures, to
// the last bit, also where sequences do not follow one another.
func TestOneLoss(t *testing.T) {
	for _, set := range []string{"train.hidden=zero", "train.hidden=carry", "train.average=0.9", "prep.validation.by=block", "prep.stride=7"} {
		l := newLab(t)
		l.ok("prep", "--set", set)
		trained := l.result(trainKeys, "train", "--set", set, "--set", "train.epochs=1")
		measured := l.result("nats_per_char split", "evaluate", "--set", set, "--which", "latest")
		if trained["validation_nats"] != measured["nats_per_char"] || measured["split"] != "validation" {
			t.Errorf("%s: training says %v, evaluate %v on the %v part", set, trained["validation_nats"], measured["nats_per_char"], measured["split"])
		}
	}
}

// checkMetrics wants a line every 5 steps and at step 1, and one for every
// epoch, none twice.
func checkMetrics(t *testing.T, text string, steps, epochs int) {
	t.Helper()
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		var l struct {
			Step, Epoch                  int
			TrainNats                    *float64 `json:"train_nats"`
			PerSecond                    *float64 `json:"chars_per_second"`
			EpochTrainNats, ValidateNats *float64
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("metrics.jsonl: %q: %v", line, err)
		}
		kind := "end of epoch"
		if l.TrainNats != nil && l.PerSecond != nil {
			kind = "step"
		} else if !strings.Contains(line, "epoch_train_nats") || !strings.Contains(line, "validation_nats") {
			t.Errorf("metrics.jsonl has the line %s", line)
		}
		got = append(got, fmt.Sprint(kind, l.Step, l.Epoch))
	}
	var want []string
	for s := 1; s <= steps; s++ {
		each := steps / epochs
		if s == 1 || s%5 == 0 {
			want = append(want, fmt.Sprint("step", s, (s-1)/each+1))
		}
		if s%each == 0 {
			want = append(want, fmt.Sprint("end of epoch", s, s/each))
		}
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("metrics.jsonl has %d lines, want %d; line %d is the first that differs: %v, want %v",
				len(got), len(want), i+1, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// TestTrainOtherInputs refuses a run that came from others, and leaves it as it
// is.
func TestTrainOtherInputs(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train")
	run := filepath.Join(l.work, "run")
	before := l.read(filepath.Join(run, "config.yaml"))
	l.fails(1, []string{run, "model.hidden: the run has 8, now 9", "--replace"}, "train", "--set", "model.hidden=9")
	l.fails(1, []string{run, "train.lr: the run has 0.01, now 0.02", "--replace"}, "train", "--set", "train.lr=0.02")
	l.fails(1, []string{"nowhere", "correct train.from"}, "train", "--set", "train.from=nowhere", "--out", "other")
	other := filepath.Join(l.dir, "other")
	l.ok("prep", "--out", other, "--set", "prep.seed=2")
	l.fails(1, []string{run, "set: the run has ", "--replace"}, "train", "--set", "prep.out="+other)
	if l.read(filepath.Join(run, "config.yaml")) != before {
		t.Error("a refused training has changed config.yaml")
	}
	if r := l.result(trainKeys, "train", "--set", "model.hidden=9", "--replace"); r["epoch"] != 2.0 {
		t.Errorf("the replaced run ends in epoch %v, want 2", r["epoch"])
	}
}

// TestTrainFurther: a run that is further than asked is refused as it is, by the
// command train. A round has a run of its own for each number of epochs.
func TestTrainFurther(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	r := l.result(trainKeys, "train")
	steps, run := r["step"].(float64), filepath.Join(l.work, "run")
	before := l.read(filepath.Join(run, "config.yaml"))
	for _, test := range []struct {
		set   string
		asked float64
		kept  bool
	}{{"train.epochs=1", steps / 2, true}, {"train.max_steps=7", 7, false}} {
		o := l.finish(l.child("train", "--quiet", "--set", test.set))
		l.failed(o, 1, run, fmt.Sprintf("the run is at step %v, further than the %v that are asked for", steps, test.asked), "--replace to start from zero")
		if want := fmt.Sprintf("--which step:%v;", test.asked); strings.Contains(o.stderr, want) != test.kept {
			t.Errorf("%s: it says %q: %v, want %v: %v", test.set, want, !test.kept, test.kept, o)
		}
	}
	l.ok("evaluate", "--which", fmt.Sprintf("step:%v", steps/2))
	o := l.ok("train", "--set", "train.log_every=3")
	if !strings.Contains(o.stderr, fmt.Sprintf("train: has ended at step %v\n", steps)) {
		t.Errorf("a training that has ended: %v", o)
	}
	if l.read(filepath.Join(run, "config.yaml")) != before {
		t.Error("a training that took no step has changed config.yaml")
	}
	l.ok("train", "--set", "train.epochs=1", "--replace")
	if r := l.result(trainKeys, "train", "--set", "train.epochs=1"); r["step"] != steps/2 {
		t.Errorf("the replaced run is at step %v, want %v", r["step"], steps/2)
	}

	for _, epochs := range []float64{2, 1} {
		round := l.result("stages", "run", "--to", "train", "--set", fmt.Sprintf("train.epochs=%v", epochs))
		if trained := round["stages"].(map[string]any)["train"].(map[string]any); trained["step"] != epochs*steps/2 {
			t.Errorf("a round of %v epochs takes the model of step %v", epochs, trained["step"])
		}
	}
}

// long makes a training of many steps with few characters each, saved often.
var long = []string{"train", "--set", "train.epochs=2", "--set", "train.batch=1", "--set", "prep.seq_length=3", "--set", "train.checkpoint.every_steps=20"}

// startLong starts a child that trains, and returns when it has saved thrice
// and goes on.
func (l *lab) startLong() (*exec.Cmd, *bufio.Reader) {
	l.t.Helper()
	c := l.child(long...)
	pipe, err := c.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	r := bufio.NewReader(pipe)
	for saved := 0; saved < 3; {
		line, err := r.ReadString('\n')
		if err != nil {
			l.t.Fatalf("the training has stopped after %d checkpoints: %v: %s", saved, err, line)
		}
		if strings.Contains(line, "train: saved ") {
			saved++
		}
	}
	return c, r
}

// newLong prepares the set of a long training, and its outcome without a stop.
func newLong(t *testing.T) (l *lab, final string, steps float64) {
	l = newLab(t)
	l.ok("prep", "--set", "prep.seq_length=3")
	whole := filepath.Join(l.dir, "whole")
	r := l.result(trainKeys, append(slices.Clone(long), "--out", whole)...)
	return l, l.read(r["checkpoint"].(string)), r["step"].(float64)
}

// at returns the step that latest.json names, which must be inside an epoch.
func (l *lab) at(steps float64) float64 {
	l.t.Helper()
	var p struct{ Step float64 }
	if err := json.Unmarshal([]byte(l.read(filepath.Join(l.work, "run", "latest.json"))), &p); err != nil {
		l.t.Fatal(err)
	}
	if p.Step < 20 || p.Step >= steps || p.Step == steps/2 {
		l.t.Fatalf("the training was stopped at step %v of %v, not inside an epoch", p.Step, steps)
	}
	return p.Step
}

// goesOn resumes the training of l and compares how it ends.
func (l *lab) goesOn(from float64, final string, steps float64) {
	l.t.Helper()
	o := l.ok(long...)
	if want := fmt.Sprintf("goes on at step %.0f of %.0f", from, steps); !strings.Contains(o.stderr, want) {
		l.t.Errorf("the training does not say %q: %v", want, o)
	}
	run := filepath.Join(l.work, "run")
	if l.read(filepath.Join(run, "checkpoints", fmt.Sprintf("step-%08.0f.safetensors", steps))) != final {
		l.t.Error("the resumed training ends with another checkpoint than one that was never stopped")
	}
	checkMetrics(l.t, l.read(filepath.Join(run, "metrics.jsonl")), int(steps), 2)
	for _, which := range []string{"latest.json", "best.json"} {
		if l.read(filepath.Join(run, which)) != l.read(filepath.Join(l.dir, "whole", which)) {
			l.t.Errorf("%s differs from that of a training that was never stopped", which)
		}
	}
}

// TestKill ends a training by SIGKILL in mid-epoch.
func TestKill(t *testing.T) {
	l, final, steps := newLong(t)
	c, _ := l.startLong()
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	l.goesOn(l.at(steps), final, steps)
}

// TestTerminate ends a training by SIGTERM, which saves.
func TestTerminate(t *testing.T) {
	l, final, steps := newLong(t)
	c, r := l.startLong()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if code := c.ProcessState.ExitCode(); code != 75 || !strings.HasSuffix(string(rest), "quire: interrupted; what is finished is saved: start the same command again to go on\n") {
		t.Errorf("exit code %d, want 75 and a line that says what to do: %s", code, rest)
	}
	l.goesOn(l.at(steps), final, steps)
}

// TestWarnings trains what does not learn. Two characters and a network of one
// unit are the case in which a first loss is far from ln V by chance.
func TestWarnings(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	o := l.ok("train", "--quiet", "--set", "train.lr=1e-9")
	if lines := strings.Split(strings.TrimSpace(o.stderr), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], "WARNING: epoch 1 ends above the unigram entropy of ") {
		t.Errorf("want a warning about each of 2 epochs: %v", o)
	}
	l.write(l.corpus, strings.Repeat(strings.Repeat("a", 30)+"b", 100))
	l.ok("prep", "--replace")
	o = l.ok("train", "--quiet", "--replace", "--set", "model.hidden=1", "--set", "train.seed="+farSeed, "--set", "train.max_steps=1")
	if !strings.HasPrefix(o.stderr, "WARNING: the first loss is ") || !strings.Contains(o.stderr, fmt.Sprintf("ln 2 = %.3f", math.Ln2)) {
		t.Errorf("want a warning about the first loss: %v", o)
	}
}

// farSeed is a train.seed whose first loss is 5 % off.
const farSeed = "58"

// TestDiverges trains with a rate that makes the loss useless.
func TestDiverges(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	o := l.run("train", "--quiet", "--set", "train.lr=10", "--set", "train.epochs=20")
	if o.code == 0 && !strings.Contains(o.stderr, "WARNING: epoch 1 ends above the unigram entropy") {
		t.Errorf("want an error or a warning: %v", o)
	}
	if o.code != 0 {
		l.failed(o, 1, "train.lr")
	}
}

// TestTooLarge: a network that no machine of today can train is refused with the
// figures before any work, by each command that would train it, and where it is one trial
// of a sweep.
func TestTooLarge(t *testing.T) {
	l := newLab(t)
	large := []string{"--set", "model.hidden=65536", "--set", "model.layers=16"}
	want := []string{"to train gru, 16 layers, embedding 4, hidden 65536, on 8 sequences of 10 takes 14435.", " GB of memory", "smaller model.hidden, train.batch or prep.seq_length"}
	for _, command := range []string{"plan", "run"} {
		l.fails(2, want, append([]string{command}, large...)...)
	}
	if sets, err := filepath.Glob(filepath.Join(l.work, "sets", "*")); len(sets) > 0 {
		t.Errorf("prep ran: %v, %v", sets, err)
	}
	l.ok("prep")
	l.fails(2, want, append([]string{"train"}, large...)...)
	l.fails(2, []string{"GB of memory"}, "bench", "--hidden", "65536", "--layers", "16")
	l.write(l.config, l.read(l.config)+"sweep: {model.hidden: [8, 65536], model.layers: [16]}\n")
	l.fails(2, append(want, "trial 2 (model.layers=16 model.hidden=65536)"), "sweep")
	if runs, _ := filepath.Glob(filepath.Join(l.work, "runs", "*", "checkpoints")); len(runs) > 0 {
		t.Errorf("a trial ran: %v", runs)
	}
}

// TestPlainProgress wants whole lines where there is no terminal: no carriage
// return, no escape.
func TestPlainProgress(t *testing.T) {
	l := newLab(t)
	o := l.ok("run")
	if strings.ContainsAny(o.stderr, "\r\x1b") || !strings.HasSuffix(o.stderr, "\n") {
		t.Errorf("progress that is not plain lines: %q", o.stderr)
	}
}
