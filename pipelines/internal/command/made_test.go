package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAfterRun: commands with the flags of a round find its set and its model, and say so.
func TestAfterRun(t *testing.T) {
	l := newLab(t)
	long := []string{"--set", "prep.seq_length=20", "--set", "train.epochs=3"}
	type made struct{ set, run, best, manifest string }
	of := func(args ...string) made {
		t.Helper()
		r := l.result(runKeys, append([]string{"run"}, args...)...)
		stages := r["stages"].(map[string]any)
		return made{r["set"].(string), r["run"].(string), stages["train"].(map[string]any)["best"].(string), stages["prep"].(map[string]any)["manifest_sha256"].(string)}
	}
	said := func(what, path string, args ...string) map[string]any {
		t.Helper()
		o := l.ok(append(args, "--json")...)
		if !strings.Contains(o.stderr, args[0]+": there is no "+what+" at ") || !strings.Contains(o.stderr, ", "+path+"\n") {
			t.Errorf("it does not say that the %s is %s: %v", what, path, o)
		}
		return l.parse("", o)
	}
	short := of("--to", "evaluate")
	other := of(append(long, "--to", "evaluate")...)
	for _, test := range []struct {
		made
		args []string
	}{{short, nil}, {other, long}} { // neither is in service; the second is the latest
		if got := said("set", test.set, append([]string{"inspect"}, test.args...)...); got["set"].(map[string]any)["manifest_sha256"] != test.manifest {
			t.Errorf("inspect describes %v, want %s", got, test.manifest)
		}
		if got := said("run", test.run, append([]string{"inspect", "--metrics"}, test.args...)...); len(got["metrics"].([]any)) == 0 || got["path"] != test.run {
			t.Errorf("inspect --metrics shows %v, want those of %s", got, test.run)
		}
		if got := said("run", test.run, append([]string{"evaluate"}, test.args...)...); got["checkpoint"] != test.best {
			t.Errorf("evaluate measures %v, want %s", got, test.best)
		}
		said("set", test.set, append([]string{"evaluate"}, test.args...)...)
		said("run", test.run, append([]string{"score", "--text", "the"}, test.args...)...)
		said("run", test.run, append([]string{"generate", "--which", "latest"}, test.args...)...)
	}
	// Settings of no round: the latest will do for a look, but not to train on.
	if o := l.ok("inspect", "--set", "prep.seq_length=7"); !strings.Contains(o.stderr, other.set+"; it had other settings\n") {
		t.Errorf("inspect with settings of no round: %v", o)
	}
	l.fails(1, []string{filepath.Join(l.work, "set"), "run prep first"}, "train", "--set", "prep.seq_length=7")
	// A place that somebody names is the place.
	l.fails(1, []string{"elsewhere", "run prep first"}, "evaluate", "--set", "prep.out=elsewhere")
	l.fails(1, []string{"elsewhere", "train a model first"}, "generate", "--set", "train.out=elsewhere")
	t.Setenv("QUIRE_PREP_OUT", "elsewhere")
	l.fails(1, []string{"elsewhere", "run prep first"}, "evaluate")
	os.Unsetenv("QUIRE_PREP_OUT")

	// A model in service was trained on its own set, whatever the flags and the latest round are.
	l.ok("promote", short.run)
	if got := said("set", short.set, append([]string{"evaluate"}, long...)...); got["checkpoint"] == short.best || l.digest(got["checkpoint"].(string)) != l.digest(short.best) {
		t.Errorf("evaluate measures %v, want the copy of %s", got, short.best)
	}
	if o := l.ok("generate"); strings.Contains(o.stderr, "there is no") {
		t.Errorf("generate with a promoted model: %v", o)
	}
	said("run", other.run, append([]string{"generate", "--which", "latest"}, long...)...) // the model in service has one checkpoint
	// train and prep by hand make what is used from then on.
	said("set", short.set, "train")
	l.ok("prep")
	for _, args := range [][]string{{"evaluate"}, {"inspect"}, {"inspect", "--metrics"}, {"generate", "--which", "latest"}} {
		if o := l.ok(args...); strings.Contains(o.stderr, "there is no") {
			t.Errorf("after prep and train: %v", o)
		}
	}
}

// TestAfterRefusal: a refused model can be looked at, as a process shows, until one is in service.
func TestAfterRefusal(t *testing.T) {
	l := newLab(t)
	if o := l.run("run", "--set", "train.epochs=0"); o.code != 3 {
		t.Fatal(o)
	}
	runs, err := filepath.Glob(filepath.Join(l.work, "runs", "*"))
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	records, err := filepath.Glob(filepath.Join(l.work, "rounds", "2*.json"))
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	for _, args := range [][]string{{"generate"}, {"score", "--text", "the light"}, {"evaluate"}} {
		for _, more := range [][]string{{"--set", "train.epochs=0"}, nil} {
			o := l.finish(l.child(append(args, more...)...))
			if o.code != 0 || !strings.Contains(o.stderr, "(refused), "+runs[0]) || strings.Contains(o.stderr, "other settings") != (more == nil) {
				t.Errorf("after a refusal: %v", o)
			}
		}
	}
	l.ok("run")
	if o := l.ok("generate", "--set", "train.epochs=0"); strings.Contains(o.stderr, runs[0]) {
		t.Errorf("the refused model is used instead of the promoted one: %v", o)
	}
	// The newest record is enough; damage of another is a warning.
	l.write(records[0], "{}")
	if o := l.ok("inspect"); strings.Contains(o.stderr, records[0]) {
		t.Errorf("inspect needs no other record: %v", o)
	}
	if o := l.ok("inspect", "--metrics", "--set", "train.epochs=0"); !strings.Contains(o.stderr, "WARNING: ") || !strings.Contains(o.stderr, records[0]) {
		t.Errorf("a damaged record: %v", o)
	}
	// Damage of the pointer is told once, whether or not the older records fit.
	pointer := filepath.Join(l.work, "rounds", "latest.json")
	l.write(pointer, "{")
	for _, args := range [][]string{{"inspect"}, {"inspect", "--metrics"}, {"inspect", "--metrics", "--set", "train.epochs=0"}} {
		if o := l.ok(args...); strings.Count(o.stderr, "WARNING: store: "+pointer) != 1 || strings.Count(o.stderr, records[0]) > 1 {
			t.Errorf("a damaged pointer: %v", o)
		}
	}
}
