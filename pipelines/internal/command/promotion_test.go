package command_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// promotions returns the models of the history, the last one first, as the words that
// names gives to digests, with who promoted them.
func (l *lab) promotions(names map[string]string) string {
	l.t.Helper()
	var said []string
	for i, p := range l.result("promotions", "promote", "--history")["promotions"].([]any) {
		r := p.(map[string]any)
		said = append(said, fmt.Sprintf("%s by %s", names[r["sha256"].(string)], r["by"]))
		path := filepath.Join(l.work, r["checkpoint"].(string))
		if sum := sha256.Sum256([]byte(l.read(path))); fmt.Sprintf("%x", sum) != r["sha256"] || filepath.Base(path) != fmt.Sprintf("%x.safetensors", sum) {
			l.t.Errorf("the copy of promotion %d, %s, has the sha256 %x", i, path, sum)
		}
	}
	return strings.Join(said, ", ")
}

// digest returns the sha256 of a file.
func (l *lab) digest(path string) string {
	l.t.Helper()
	return fmt.Sprintf("%x", sha256.Sum256([]byte(l.read(path))))
}

// best returns the best checkpoint of a round that runs to train.
func (l *lab) best(args ...string) string {
	l.t.Helper()
	r := l.result(runKeys, append([]string{"run", "--to", "train"}, args...)...)
	return r["stages"].(map[string]any)["train"].(map[string]any)["best"].(string)
}

// TestPromotedStays: the model in service outlives the checkpoint that was promoted, which
// retention, a forced training and people delete, and so does the one before it.
func TestPromotedStays(t *testing.T) {
	l := newLab(t)
	l.ok("prep")
	l.ok("train", "--set", "train.max_steps=20", "--set", "train.checkpoint.every_steps=10")
	run := filepath.Join(l.work, "run")
	l.ok("promote", run, "--which", "step:10")
	early := filepath.Join(run, "checkpoints", "step-00000010.safetensors")
	names := map[string]string{l.digest(early): "early"}
	text := l.ok("generate").stdout
	l.ok("train", "--set", "train.checkpoint.every_steps=10", "--set", "train.checkpoint.keep_last=1")
	if _, err := os.Stat(early); !os.IsNotExist(err) {
		t.Fatalf("retention has kept %s: %v", early, err)
	}
	if o := l.finish(l.child("generate")); o.code != 0 || o.stdout != text {
		t.Errorf("after the checkpoint is gone, generate writes another text than %q: %v", text, o)
	}

	r := l.result(runKeys, "run", "--set", "train.lr=0.02")
	best := r["stages"].(map[string]any)["train"].(map[string]any)["best"].(string)
	names[l.digest(best)] = "round"
	text = l.ok("generate").stdout
	// A forced training is killed when its old checkpoints are deleted, before it has new ones.
	p, ended := l.pause("1 ^create checkpoints ", "run", "--set", "train.lr=0.02", "--force", "train")
	if ended != nil {
		t.Fatalf("a forced training writes no checkpoint: %v", ended)
	}
	p.kill()
	if _, err := os.Stat(best); !os.IsNotExist(err) {
		t.Fatalf("a forced training has kept %s: %v", best, err)
	}
	if o := l.finish(l.child("generate")); o.code != 0 || o.stdout != text {
		t.Errorf("after a killed training, generate writes another text than %q: %v", text, o)
	}
	for _, dir := range []string{"run", "runs", "sets", "stages"} {
		if err := os.RemoveAll(filepath.Join(l.work, dir)); err != nil {
			t.Fatal(err)
		}
	}
	if o := l.finish(l.child("promote", "--rollback")); o.code != 0 {
		t.Errorf("rollback without any run: %v", o)
	}
	if got := l.promotions(names); got != "early by rollback, round by round, early by hand" {
		t.Errorf("the history is %s", got)
	}
	l.ok("score", "--text", "the light")
	if o := l.ok("run", "--set", "train.lr=0.01", "--set", "train.epochs=4"); !strings.Contains(o.stderr, "the promoted model") {
		t.Errorf("a round compares with the copy: %v", o)
	}
}

// TestPromotedIs: a model is its digest. A workdir of another spelling is the same, and
// another intact checkpoint in place of the copy is served by no command.
func TestPromotedIs(t *testing.T) {
	l := newLab(t)
	first := l.result(runKeys, "run")
	second := l.result(runKeys, "run", "--set", "train.seed=2")
	copied, run := second["promoted"].(string), second["run"].(string)
	p := l.result("promotions", "promote", "--history")["promotions"].([]any)[0].(map[string]any)
	stages := second["stages"].(map[string]any)
	var decision any
	for _, s := range l.result("stages", "runs", "show")["stages"].([]any) {
		if s.(map[string]any)["name"] == "gate" {
			decision = s.(map[string]any)["digest"]
		}
	}
	if p["bytes"] != float64(len(l.read(copied))) || p["sha256"] != l.digest(copied) || p["set"] != stages["prep"].(map[string]any)["manifest_sha256"] ||
		p["decision"] != decision || p["from"] != strings.TrimPrefix(stages["train"].(map[string]any)["best"].(string), l.work+"/") {
		t.Errorf("the record is %v", p)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(l.work, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(l.dir)
	before := l.contents()
	for _, workdir := range []string{link, "work", "./work/../work", l.work} {
		wantStages(t, l.ok("run", "--set", "train.seed=2", "--set", "workdir="+workdir), "nothing to do")
		l.ok("promote", filepath.Join(workdir, "runs", filepath.Base(run)), "--set", "workdir="+workdir)
	}
	if after := l.contents(); len(after) != len(before) {
		t.Errorf("other spellings of the workdir make files: %v, want %v", after, before)
	}

	whole := l.read(copied)
	l.write(copied, l.read(first["promoted"].(string)))
	for _, args := range [][]string{{"generate"}, {"score", "--text", "the"}, {"evaluate"}} {
		l.fails(1, []string{copied, "another", "make the copy again: promote " + l.work + "/runs/", "promote --rollback"}, args...)
	}
	for _, args := range [][]string{{"generate", "--checkpoint", copied}, {"inspect", copied}, {"inspect", "--metrics", copied}, {"promote", copied},
		{"inspect", "--diff", copied, first["promoted"].(string)}, {"run", "--set", "train.seed=2"}, {"run", "--set", "train.from=" + copied}} {
		l.fails(1, []string{copied}, args...)
	}
	if o := l.run("run", "--set", "train.seed=3"); o.code != 3 || !strings.Contains(o.stderr, copied) || !strings.Contains(o.stderr, "make the copy again: promote ") {
		t.Errorf("the gate compares with another model: %v", o)
	}
	l.write(copied, whole)
	l.ok("promote", first["promoted"].(string))
	l.write(copied, l.read(first["promoted"].(string)))
	l.fails(1, []string{copied}, "promote", "--rollback")
	l.ok("promote", run) // makes the copy again
	if l.read(copied) != whole {
		t.Error("the copy is not that of before")
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	l.fails(1, []string{copied, "no such object"}, "generate")
	l.ok("promote", run)
	l.ok("generate")
}

// TestPromoteDuringGate lets a person promote a model while the gate of a round compares
// with the one before: the round goes back to the gate, and the person's model is the one
// to beat.
func TestPromoteDuringGate(t *testing.T) {
	l := newLab(t)
	r := l.result(runKeys, "run")
	a, c, d := r["promoted"].(string), l.best("--set", "train.lr=0.03"), l.best("--set", "train.epochs=1")
	names := map[string]string{l.digest(a): "a", l.digest(c): "better", l.digest(d): "worse"}
	for _, test := range []struct {
		byHand, seed string
		code         int
		history      string // its beginning
	}{
		{c, "train.seed=2", 3, "better by hand, a by round"},
		{d, "train.seed=4", 0, " by round, worse by hand, a by hand, better by hand"},
	} {
		l.ok("promote", a)
		p, ended := l.pause(`1 ^open \. [0-9a-f]{64}\.safetensors$`, "run", "--set", test.seed)
		if ended != nil {
			t.Fatalf("the gate reads no copy: %v", ended)
		}
		l.ok("promote", test.byHand)
		o := p.goOn()
		if got := l.promotions(names); o.code != test.code || !strings.HasPrefix(got, test.history) {
			t.Errorf("the history is %s, want %s: %v", got, test.history, o)
		}
		if !strings.Contains(o.stderr, "WARNING: promote goes back: to baseline; promotion: ") || strings.Count(o.stderr, "\ngate      runs: ") != 2 {
			t.Errorf("the round does not say that it goes back to the gate: %v", o)
		}
	}
}

// TestPromotionKilled ends promotions by SIGKILL at each of their file operations: the
// model before or the new one is in service, and the same command again ends well.
func TestPromotionKilled(t *testing.T) {
	l := newLab(t)
	a, b := l.best(), l.best("--set", "train.seed=2")
	names := map[string]string{l.digest(a): "a", l.digest(b): "b"}
	l.ok("promote", a)
	l.ok("run", "--to", "gate", "--set", "train.seed=2")
	texts := []string{l.ok("generate", "--checkpoint", a).stdout, l.ok("generate", "--checkpoint", b).stdout}
	const where = `^(create|link|rename|remove|syncdir) (promoted|promotions|\.) `
	killed := 0
	again := func(want string, args ...string) {
		t.Helper()
		for n := 1; ; n++ {
			p, ended := l.pause(fmt.Sprint(n, " ", where), args...)
			if ended == nil {
				p.kill()
				killed++
			} else if ended.code != 0 {
				t.Error(ended)
			}
			if got := l.ok("generate").stdout; !slices.Contains(texts, got) {
				t.Errorf("killed at operation %d of %v: %q is written", n, args, got)
			}
			history := l.promotions(names)
			if ended != nil || history == want && args[0] != "run" { // a second rollback would go on
				if history != want {
					t.Errorf("after %v the history is %s, want %s", args, history, want)
				}
				return
			}
		}
	}
	again("b by round, a by hand", "run", "--set", "train.seed=2")
	again("a by rollback, b by round, a by hand", "promote", "--rollback")
	again("b by hand, a by rollback, b by round, a by hand", "promote", b)
	if files := l.files(filepath.Join(l.work, "promoted")); len(files) != 2 {
		t.Errorf("there are the copies %v, want one of each model", files)
	}
	if t.Logf("%d killed", killed); killed < 30 {
		t.Errorf("%d were killed, want 30", killed)
	}
}

// TestOlderPromotion: in the workdir of an earlier program the model in service is used where it
// lies, and a round gives it a copy before anything else, such as a forced training.
func TestOlderPromotion(t *testing.T) {
	l := newLab(t)
	r := l.result(runKeys, "run")
	best := r["stages"].(map[string]any)["train"].(map[string]any)["best"].(string)
	text := l.ok("generate").stdout
	type older struct { // as the program of quire-promoted/1 wrote it
		Format     string  `json:"format"`
		Number     int64   `json:"number"`
		Checkpoint string  `json:"checkpoint"`
		By         string  `json:"by"`
		Round      string  `json:"round"`
		Nats       float64 `json:"nats"`
		Previous   string  `json:"previous"`
		Restores   string  `json:"restores"`
		At         string  `json:"at"`
	}
	record := older{Format: "quire-promoted/1", Number: 1, Checkpoint: strings.TrimPrefix(best, l.work+"/"), By: "round", Round: "key", Nats: 2.5}
	pointer, err := store.MarshalSealed(record)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(l.work, "stages", "promote", "*.json"))
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	outcome := map[string]any{}
	if err := store.UnmarshalSealed(paths[0], []byte(l.read(paths[0])), &outcome); err != nil {
		t.Fatal(err)
	}
	output := outcome["output"].(map[string]any)
	output["value"] = record
	delete(output, "files")
	sealed, err := store.MarshalSealed(outcome)
	if err != nil {
		t.Fatal(err)
	}
	l.write(paths[0], string(sealed))
	for _, folder := range []string{"promoted", "promotions"} {
		if err := os.RemoveAll(filepath.Join(l.work, folder)); err != nil {
			t.Fatal(err)
		}
	}
	l.write(filepath.Join(l.work, "promoted.json"), string(pointer))
	if o := l.ok("generate"); o.stdout != text || len(l.files(filepath.Join(l.work, "promoted"))) != 0 {
		t.Errorf("generate writes with a model of an earlier program: %v", o)
	}
	if got := l.planned(); fmt.Sprint(got) != "map[promote:[an earlier program promoted the model, without its digest]]" {
		t.Errorf("the plan runs %v", got)
	}
	p, ended := l.pause("1 ^create checkpoints ", "run", "--force", "train")
	if ended != nil {
		t.Fatal(ended)
	}
	p.kill()
	if o := l.ok("generate"); o.stdout != text {
		t.Errorf("after a killed training, generate writes: %v", o)
	}
	if got := l.promotions(map[string]string{l.digest(r["promoted"].(string)): "it"}); got != "it by round" {
		t.Errorf("the history is %s", got)
	}
	if again := l.result(runKeys, "run"); again["promoted"] != r["promoted"] {
		t.Errorf("the round promotes %v, want %v", again["promoted"], r["promoted"])
	}
	if got := l.planned(); len(got) != 0 {
		t.Errorf("after the round the plan runs %v", got)
	}
}
