package command_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

const runKeys = "round stages promoted sample"

var stageNames = []string{"prep", "train", "evaluate", "gate", "promote", "sample"}

// contents returns the digest of every file below the workdir.
func (l *lab) contents() map[string]string {
	out := map[string]string{}
	for _, name := range l.files(l.work) {
		out[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(l.read(filepath.Join(l.work, name)))))
	}
	return out
}

// stageLines returns what a round said of each stage: "runs" or "nothing to do".
func stageLines(t *testing.T, o outcome) map[string]string {
	t.Helper()
	said := map[string]string{}
	for _, line := range strings.Split(o.stderr, "\n") {
		name, rest, _ := strings.Cut(line, " ")
		what, why, ok := strings.Cut(strings.TrimSpace(rest), ": ")
		if ok && (what == "runs" || what == "nothing to do") {
			said[name] = what
			if why == "" {
				t.Errorf("%s: %s, without a reason", name, what)
			}
		}
	}
	return said
}

func wantStages(t *testing.T, o outcome, want ...string) {
	t.Helper()
	said := stageLines(t, o)
	for i, name := range stageNames {
		if said[name] != want[min(i, len(want)-1)] {
			t.Errorf("%s: %q, want %q: %v", name, said[name], want[min(i, len(want)-1)], o)
		}
	}
}

func TestRound(t *testing.T) {
	l := newLab(t)
	o := l.ok("run", "--json")
	r := l.parse(runKeys, o)
	wantStages(t, o, "runs")
	results := r["stages"].(map[string]any)
	for name, keys := range map[string]string{"prep": prepKeys, "train": trainKeys, "evaluate": evaluateKeys, "gate": "passed nats reason",
		"promote": "checkpoint", "sample": "text seed"} {
		stage, _ := results[name].(map[string]any)
		for _, key := range strings.Fields(keys) {
			if _, ok := stage[key]; !ok {
				t.Errorf("stage %s has no %s: %v", name, key, stage)
			}
		}
	}
	for _, path := range []any{r["promoted"], r["record"], r["set"], r["run"], results["train"].(map[string]any)["checkpoint"]} {
		if _, err := os.Stat(path.(string)); err != nil || !strings.HasPrefix(path.(string), l.work) {
			t.Errorf("a path of the result: %v", err)
		}
	}
	sample := r["sample"].(string)
	if !strings.HasPrefix(sample, "the ") || len(sample) != len("the ")+30 {
		t.Errorf("the sample is %q, want 30 characters after the prompt", sample)
	}

	before := l.contents()
	o = l.ok("run", "--json")
	wantStages(t, o, "nothing to do")
	if again := l.parse(runKeys, o); fmt.Sprint(again["round"], again["promoted"], again["sample"]) != fmt.Sprint(r["round"], r["promoted"], sample) {
		t.Errorf("the second round is %v, want %v", again, r)
	}
	if after := l.contents(); !maps.Equal(before, after) {
		t.Errorf("the second round has changed files: %v, want %v", after, before)
	}
	if o := l.ok("run"); !strings.Contains(o.stdout, sample) || !strings.Contains(o.stdout, r["promoted"].(string)) {
		t.Errorf("the third round does not print the sample and where everything lies: %v", o)
	}
	if g := l.result("texts", "generate"); g["texts"].([]any)[0] != sample {
		t.Errorf("generate gives %v from the promoted model, want the sample %q", g["texts"], sample)
	}
}

// TestRoundChanges changes one input at a time: what depends on it runs again.
func TestRoundChanges(t *testing.T) {
	l := newLab(t)
	l.ok("run")
	wantStages(t, l.ok("run", "--set", "generate.length=20"), "nothing to do", "nothing to do", "nothing to do", "nothing to do", "nothing to do", "runs")
	o := l.ok("run", "--set", "train.seed=2")
	wantStages(t, o, "nothing to do", "runs")
	// Neither of these is better than the model of train.seed=2, which is in service.
	refused := func(args ...string) outcome {
		t.Helper()
		o := l.run(args...)
		if o.code != 3 || !strings.Contains(o.stderr, "it must be better by more than 0") {
			t.Errorf("want a refusal: %v", o)
		}
		return o
	}
	wantStages(t, refused("run", "--set", "prep.seed=2"), "runs")
	wantStages(t, refused("run"), "nothing to do", "nothing to do", "nothing to do", "runs", "runs", "nothing to do")
	for _, dir := range []string{"sets", "runs"} {
		if err := os.RemoveAll(filepath.Join(l.work, dir)); err != nil {
			t.Fatal(err)
		}
	}
	wantStages(t, refused("run"), "runs", "runs", "nothing to do", "nothing to do", "nothing to do", "nothing to do")
}

// TestRoundRefused trains nothing, so that the gate refuses the model.
func TestRoundRefused(t *testing.T) {
	l := newLab(t)
	args := []string{"run", "--set", "train.epochs=0", "--json"}
	o := l.run(args...)
	if o.code != 3 || !strings.Contains(o.stderr, "quire: round: the gate refused the model: validation loss") ||
		!strings.Contains(o.stderr, "train longer, with a larger train.epochs") {
		t.Fatalf("want exit code 3: %v", o)
	}
	r := l.parse(runKeys, o)
	if r["promoted"] != "" || r["stages"].(map[string]any)["gate"].(map[string]any)["passed"] != false {
		t.Errorf("the result is %v, want nothing promoted", r)
	}
	if _, err := os.Stat(filepath.Join(l.work, "promoted.json")); !os.IsNotExist(err) {
		t.Errorf("promoted.json is there: %v", err)
	}
	o = l.run(args...)
	if wantStages(t, o, "nothing to do"); o.code != 3 {
		t.Errorf("want exit code 3 again: %v", o)
	}
	good := l.result(runKeys, "run")
	promoted := l.read(filepath.Join(l.work, "promoted.json"))
	if o = l.run(args...); o.code != 3 || l.read(filepath.Join(l.work, "promoted.json")) != promoted || good["promoted"] == "" {
		t.Errorf("a refused round after a good one: %v", o)
	}
	// Each finding is a line: of the error, which the advice follows, and of the round that is shown.
	if !regexp.MustCompile(`the gate refused the model:\n  validation loss .*\n  .* nats, the promoted model .*\ntrain longer, .*\n$`).MatchString(o.stderr) {
		t.Errorf("the findings are %s", o.stderr)
	}
	shown := l.ok("runs", "show").stdout
	for _, want := range []string{`refused: round: the gate refused the model:\n  validation loss .*\n  .* nats, the promoted model .*\n *train longer, .*\n\n`,
		`\n  passed   gap +\S.*\n`, `\n  refused  loss +validation loss .*\n`, `\n  refused  promoted +\d.*\n`} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("the round does not show %s: %s", want, shown)
		}
	}
}

// TestRoundWithoutValidation judges by the training loss.
func TestRoundWithoutValidation(t *testing.T) {
	l := newLab(t)
	r := l.result(runKeys, "run", "--set", "prep.validation.fraction=0")
	results := r["stages"].(map[string]any)
	gate, train := results["gate"].(map[string]any), results["train"].(map[string]any)
	if !strings.Contains(gate["reason"].(string), "training loss") || gate["nats"] != train["train_nats"] || train["validation_nats"] != nil {
		t.Errorf("gate %v, train %v: want the training loss", gate, train)
	}
}

// TestRoundElsewhere gives the workdir by a relative path, from two folders.
func TestRoundElsewhere(t *testing.T) {
	l := newLab(t)
	t.Chdir(l.dir)
	first := l.result(runKeys, "run", "--set", "workdir=work")
	if first["promoted"] != filepath.Join("work", first["stages"].(map[string]any)["promote"].(map[string]any)["checkpoint"].(string)) {
		t.Errorf("promoted is %v, want it below work", first["promoted"])
	}
	other := filepath.Join(l.dir, "other")
	if err := os.Mkdir(other, 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir(other)
	o := l.ok("run", "--set", "workdir=../work", "--json")
	wantStages(t, o, "nothing to do")
	results := l.parse(runKeys, o)["stages"].(map[string]any)
	for stage, key := range map[string]string{"prep": "set", "train": "checkpoint", "evaluate": "checkpoint"} {
		path := results[stage].(map[string]any)[key].(string)
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s of %s cannot be opened from here: %v", key, stage, err)
		}
	}
}

// TestRoundInterrupted cancels a round before it begins, as SIGINT does.
func TestRoundInterrupted(t *testing.T) {
	l := newLab(t)
	ctx, stop := context.WithCancel(context.Background())
	stop()
	var stdout, stderr bytes.Buffer
	code := command.Execute(ctx, command.Quire(), []string{"run", "--config", l.config}, &stdout, &stderr)
	if code != 75 || !strings.Contains(stderr.String(), "start the same command again") {
		t.Errorf("exit code %d, want 75: %s", code, stderr.String())
	}
	l.ok("run")
}

// TestRoundLimit ends a training that takes longer than it may: it is saved, and
// the next round goes on with it.
func TestRoundLimit(t *testing.T) {
	whole, l := newLab(t), newLab(t)
	want := whole.result(runKeys, "run")["promoted"].(string)
	l.fails(1, []string{"stage train was not done in", "its limit", "run again to go on"}, "run", "--set", "round.limit_minutes.train=0.00002")
	if e := l.result("error", "runs", "show")["error"].(map[string]any); e["class"] != "timeout" || e["stage"] != "train" {
		t.Errorf("the record's error is %v", e)
	}
	if got := l.result(runKeys, "run")["promoted"].(string); l.read(got) != whole.read(want) {
		t.Errorf("%s has other weights than %s", got, want)
	}
}

// TestRoundTools says that a round's numbers are those of the single commands,
// and that a training that carries the hidden validates as evaluate does.
func TestRoundTools(t *testing.T) {
	l := newLab(t)
	l.write(l.config, strings.Replace(l.read(l.config), "train: {", "train: {hidden: carry, ", 1))
	results := l.result(runKeys, "run")["stages"].(map[string]any)
	l.ok("prep")
	l.ok("train")
	single := l.result(evaluateKeys, "evaluate", "--checkpoint", filepath.Join(l.work, "run"))
	round := results["evaluate"].(map[string]any)
	if single["nats_per_char"] != round["nats_per_char"] || single["chars"] != round["chars"] {
		t.Errorf("evaluate gives %v, the round %v", single, round)
	}
	trained := results["train"].(map[string]any)["validation_nats"].(float64)
	if math.Abs(trained-single["nats_per_char"].(float64)) > 1e-12 {
		t.Errorf("evaluate gives %v nats, training %v", single["nats_per_char"], trained)
	}
}

// TestRoundAncestors: a round does not pass whose model started from one that was
// trained on the held-out text, here or in another workdir, or from one of which that
// cannot be told. Each command is a process.
func TestRoundAncestors(t *testing.T) {
	l := newLab(t)
	whole := l.parse(runKeys, l.finish(l.child("run", "--quiet", "--json", "--set", "prep.validation.fraction=0")))
	round := func(from any, more ...string) outcome {
		return l.finish(l.child(append([]string{"run", "--quiet", "--set", "train.lr=1e-5", "--set", "train.epochs=1", "--set", fmt.Sprint("train.from=", from)}, more...)...))
	}
	refused := func(o outcome, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "quire: round: the gate refused the model: ", "use another train.from, or none") {
			if o.code != 3 || !strings.Contains(o.stderr, part) {
				t.Errorf("want exit code 3 and %q: %v", part, o)
			}
		}
	}
	covers := "97.9 % of the held-out text was trained on by a checkpoint that the training started from"
	refused(round(whole["run"]), covers)
	refused(round(whole["promoted"]), covers)
	refused(round(whole["run"], "--set", "workdir="+filepath.Join(l.dir, "other")), covers)

	// The set of the ancestor is gone: nobody knows what is in it.
	set := whole["set"].(string)
	if err := os.Rename(set, filepath.Join(l.dir, "away")); err != nil {
		t.Fatal(err)
	}
	refused(round(whole["run"], "--set", "train.seed=3"), "which was not found when the training began", "into the folder sets of the workdir, and run --force train", "promote it by hand")
	if err := os.Rename(filepath.Join(l.dir, "away"), filepath.Join(l.work, "sets/back")); err != nil {
		t.Fatal(err)
	}
	refused(round(whole["run"], "--set", "train.seed=3", "--force", "train"), covers)

	// An honest chain passes.
	honest := l.parse(runKeys, l.finish(l.child("run", "--quiet", "--json", "--set", "workdir="+filepath.Join(l.dir, "honest"), "--set", "train.epochs=1")))
	for _, epochs := range []string{"1", "2"} {
		o := l.finish(l.child("run", "--quiet", "--json", "--set", "workdir="+filepath.Join(l.dir, "honest"), "--set", "train.epochs="+epochs, "--set", fmt.Sprint("train.from=", honest["run"])))
		if honest = l.parse(runKeys, o); o.code != 0 || honest["promoted"] == "" {
			t.Errorf("a chain on one set: %v", o)
		}
	}
}

// TestRoundUnlikeTail: prep says that the tail is unlike the rest, and the refusal
// names the key that helps.
func TestRoundUnlikeTail(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, strings.ToLower(text(9000))+strings.ToUpper(text(1000)))
	o := l.finish(l.child("run"))
	if o.code != 3 {
		t.Fatalf("want a refusal: %v", o)
	}
	for _, want := range []string{"WARNING: prep: the validation part is unlike the training part", "the held-out text is unlike the rest", "prep.validation.by: block holds out blocks of all of it"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("it does not say %q: %v", want, o)
		}
	}
	if o := l.finish(l.child("run", "--set", "prep.validation.by=block")); o.code != 0 || strings.Contains(o.stderr, "is unlike") {
		t.Errorf("by block: %v", o)
	}
}
