package command_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/configs"
)

// madeBy are the shipped pipeline's artifacts, and takes what its stages take.
var (
	madeBy = map[string]string{"set": "prep", "model": "train", "baseline": "baseline", "decision": "gate"}
	takes  = map[string][]string{"train": {"set"}, "evaluate": {"set", "model"}, "baseline": {"model"}, "gate": {"set", "model", "baseline"},
		"promote": {"model", "decision"}, "sample": {"model"}}
)

// planned returns the reasons of the stages that a plan runs.
func (l *lab) planned(args ...string) map[string][]string {
	l.t.Helper()
	runs := map[string][]string{}
	o := l.run(append([]string{"plan", "--json"}, args...)...)
	if o.code != 0 && o.code != 3 {
		l.t.Fatal(o)
	}
	for i, s := range l.parse("stages", o)["stages"].([]any) {
		stage := s.(map[string]any)
		var reasons []string
		for _, r := range stage["reasons"].([]any) {
			reasons = append(reasons, r.(string))
		}
		if stage["name"] != stageNames[i] || len(reasons) == 0 {
			l.t.Errorf("stage %d of the plan is %v", i, stage)
		}
		if stage["action"] == "run" {
			runs[stageNames[i]] = reasons
		}
	}
	return runs
}

// follow adds to the reasons of stages those that follow from them.
func follow(first map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, stage := range []string{"prep", "train", "evaluate", "baseline", "gate", "promote", "sample"} {
		reasons := slices.Clone(first[stage])
		for _, in := range takes[stage] {
			if all[madeBy[in]] != nil {
				reason := in + " comes from " + madeBy[in] + ", which runs"
				if in == "baseline" {
					reason = "baseline depends on train, which runs"
				}
				reasons = append(reasons, reason)
			}
		}
		if reasons != nil {
			all[stage] = reasons
		}
	}
	delete(all, "baseline") // a live one, which is not in the plan
	return all
}

// A change is to a config, or to the folder that it is in, and what it must run
// again: stage: reason.
type change struct {
	with []string // set before and after
	set  []string
	do   func(l *lab)
	want []string
	bare bool // it cannot run on every processor
}

// stageOf is the stage that another value of a key makes run.
var stageOf = map[configs.Effect]string{configs.Data: "prep", configs.Weights: "train", configs.Course: "train", configs.Kept: "train",
	configs.Verdict: "gate", configs.Text: "sample"}

// changes are all kinds of changes between two rounds, each alone: of every key
// that has an effect, and of the folder.
func changes() []change {
	short := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12] }
	corpus := func(name, text string) string {
		return short(fmt.Sprintf("[{\"name\":%q,\"bytes\":%d,\"sha256\":\"%x\"}]\n", name, len(text), sha256.Sum256([]byte(text))))
	}
	list := []change{
		{set: []string{"corpus.records=line"}, want: []string{`prep: corpus.records: none → "line"`,
			"prep: corpus: " + corpus("text.txt", text(3000)) + " → " + corpus("text.txt", text(3000)+"\n")}},
		{set: []string{"prep.pack=newline"}, want: []string{`prep: prep.pack: none → "newline"`,
			"prep: corpus: " + corpus("text.txt", text(3000)) + " → " + corpus("packed", text(3000)+"\n")}},
		{set: []string{"train.lr=0.02", "train.seed=2", "generate.seed=1"}, want: []string{"train: train.lr: 0.01 → 0.02", "train: train.seed: 1 → 2", "sample: generate.seed: 0 → 1"}},
		{set: []string{"prep.seed=2", "train.seed=2"}, want: []string{"prep: prep.seed: 1 → 2", "train: train.seed: 1 → 2"}},
		{do: func(l *lab) { l.write(l.corpus, text(2999)) }, want: []string{"prep: corpus: text.txt: sha256 " + short(text(3000)) + " → " + short(text(2999))}},
		{do: func(l *lab) { l.source(map[string]string{"text.txt": text(3000), "more.txt": "more\n"}) }, want: []string{"prep: corpus: more.txt is new"}},
		{do: func(l *lab) { l.source(map[string]string{"other.txt": text(3000)}) }, want: []string{"prep: corpus: other.txt is new", "prep: corpus: text.txt is gone"}},

		{do: func(l *lab) { l.source(map[string]string{"text.txt": text(3000), ".hidden": "x"}) }}, // the same text elsewhere
		{do: func(l *lab) { l.write(l.corpus, text(3000)) }},
		{do: func(l *lab) {
			if err := os.Chtimes(l.corpus, time.Time{}, time.Unix(1, 0)); err != nil {
				l.t.Fatal(err)
			}
		}},
		{do: func(l *lab) {
			lines := strings.SplitAfter(l.read(l.config), "\n")
			slices.Reverse(lines)
			l.write(l.config, "# in another order, with a comment\n"+strings.Join(lines, "# and another\n"))
		}},
		{do: func(l *lab) { l.t.Setenv("QUIRE_TRAIN_LOG_EVERY", "8") }},
	}
	return list
}

// changesOf are the changes of the keys with an effect.
func changesOf(l *lab) []change {
	var list []change
	for _, o := range others(l) {
		stage := stageOf[configs.Effects()[o.key]]
		if stage == "" || o.key == "corpus.sources" || o.key == "train.from" { // stages depend on the content of a place
			continue
		}
		if o.key == "corpus.records" || o.key == "prep.pack" { // they change the corpus too: see changes
			continue
		}
		now := append(slices.Clone(o.with), o.key+"="+o.value)
		was := l.value(o.key, o.with...)
		late := []string{"model.embedding_range", "generate.unknown", "generate.stop", "generate.min_p", "generate.repetition_penalty", "generate.ban"}
		if strings.HasPrefix(o.key, "corpus.") || slices.Contains(late, o.key) { // younger than the first keys: keys of stages have no default of it
			was = "none"
		}
		list = append(list, change{with: o.with, set: now, bare: o.key == "train.precision",
			want: []string{fmt.Sprintf("%s: %s: %s → %s", stage, o.key, was, l.value(o.key, now...))}})
	}
	return list
}

// TestPlanNoEffect: with another value of a key without an effect, a round has
// nothing to do.
func TestPlanNoEffect(t *testing.T) {
	l := newLab(t)
	l.ok("run", "--quiet")
	before := l.contents()
	for _, o := range others(l) {
		if o.key == "workdir" || configs.Effects()[o.key] != configs.None {
			continue // another workdir is empty
		}
		args := set(append(slices.Clone(o.with), o.key+"="+o.value)...)
		if got := l.planned(args...); len(got) != 0 {
			t.Errorf("%s: the plan runs %v", o.key, got)
		}
		wantStages(t, l.ok(append([]string{"run"}, args...)...), "nothing to do")
		if after := l.contents(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: the round has changed files", o.key)
		}
	}
}

// source makes the corpus a folder with these files.
func (l *lab) source(files map[string]string) {
	l.t.Helper()
	dir := filepath.Join(l.dir, "folder")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		l.t.Fatal(err)
	}
	for name, text := range files {
		l.write(filepath.Join(dir, name), text)
	}
	l.write(l.config, strings.ReplaceAll(l.read(l.config), fmt.Sprintf("%q", l.corpus), fmt.Sprintf("%q", dir)))
}

// TestPlanChanges makes each change alone to a config whose round is done: the
// plan gives exactly the reasons that hold. A round with that change then runs
// no other stages, and leaves nothing to do.
func TestPlanChanges(t *testing.T) {
	for i, c := range append(changesOf(newLab(t)), changes()...) {
		name := strings.Join(c.set, " ")
		if c.do != nil {
			name = fmt.Sprint("change ", i)
		}
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.ok(append([]string{"run", "--quiet"}, set(c.with...)...)...)
			args := set(c.set...)
			if c.do != nil {
				c.do(l)
			}
			first := map[string][]string{}
			for _, w := range c.want {
				stage, reason, _ := strings.Cut(w, ": ")
				first[stage] = append(first[stage], reason)
			}
			want := follow(first)
			before := l.contents()
			got := l.planned(args...)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the plan runs\n%v\nwant\n%v", got, want)
			}
			if after := l.contents(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Error("the plan has changed files")
			}
			if c.bare {
				return
			}
			o := l.run(append([]string{"run"}, args...)...)
			if o.code != 0 && o.code != 3 {
				t.Fatal(o)
			}
			for stage, what := range stageLines(t, o) {
				if what == "runs" && want[stage] == nil || what != "runs" && first[stage] != nil {
					t.Errorf("%s %s", stage, what)
				}
			}
			if len(want) == 0 && o.code != 0 {
				t.Error(o)
			}
			if left := l.planned(args...); len(left) != 0 {
				t.Errorf("after the round, the plan runs %v", left)
			}
		})
	}
}

// TestPlanStart: what counts of train.from is the checkpoint, not its place.
func TestPlanStart(t *testing.T) {
	l := newLab(t)
	l.ok("run", "--quiet")
	l.ok("prep", "--quiet")
	l.ok("train", "--quiet", "--set", "train.seed=5")
	got := l.planned("--set", "train.from=run")
	want := follow(map[string][]string{"train": {"?"}})
	if reasons := got["train"]; len(reasons) != 1 || !strings.HasPrefix(reasons[0], "start: none → ") || len(got) != len(want) {
		t.Errorf("the plan runs %v", got)
	}
	l.ok("run", "--quiet", "--set", "train.from=run")
	if err := os.Rename(filepath.Join(l.work, "run"), filepath.Join(l.work, "moved")); err != nil {
		t.Fatal(err)
	}
	if got := l.planned("--set", "train.from=moved"); len(got) != 0 {
		t.Errorf("with the checkpoint at another place, the plan runs %v", got)
	}
}

// decisions returns the first column of a plan: what it says of each stage.
func decisions(o outcome) map[string]string {
	said := map[string]string{}
	for _, line := range strings.Split(o.stdout, "\n") {
		if f := strings.Fields(line); len(f) > 1 && line[0] != ' ' {
			said[f[0]] = map[string]string{"run": "runs", "skip": "nothing to do"}[f[1]]
		}
	}
	return said
}

// lastLine is the error at the end of what a command said.
func lastLine(o outcome) string {
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if o.code == 0 {
		return ""
	}
	return lines[len(lines)-1]
}

// TestPlanFiles takes away, and damages, every file of a workdir in turn: the round does
// what the plan says. What is missing is made again, with the same bytes; what is damaged
// stops both, in the same words.
func TestPlanFiles(t *testing.T) {
	l := newLab(t)
	args := set("train.lr=0.02", "train.checkpoint.every_steps=25", "train.checkpoint.keep_last=2")
	l.ok(append([]string{"run", "--set", "train.lr=0.005"}, args[2:]...)...)
	l.ok(append([]string{"run"}, args...)...)
	kept := t.TempDir()
	if err := os.CopyFS(kept, os.DirFS(l.work)); err != nil {
		t.Fatal(err)
	}
	whole, made, stopped := l.contents(), 0, 0
	for _, name := range l.files(kept) {
		path := filepath.Join(l.work, name)
		for _, damage := range []bool{false, true} {
			text := []byte(l.read(path))
			text[len(text)/2] ^= 0x10
			if damage {
				l.write(path, string(text))
			} else if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			p := l.run(append([]string{"plan"}, args...)...)
			o := l.run(append([]string{"run"}, args...)...)
			if o.code != p.code || lastLine(o) != lastLine(p) || fmt.Sprint(decisions(p)) != fmt.Sprint(stageLines(t, o)) {
				t.Errorf("%s, damaged: %v:\n%v\n%v", name, damage, p, o)
			}
			switch {
			case o.code != 0 && (!damage && !strings.HasPrefix(name, "promotions/") || !strings.Contains(lastLine(o), path)): // history is not made again
				t.Errorf("%s, damaged: %v, stops the round: %v", name, damage, o)
			case o.code != 0:
				stopped++
			case strings.Contains(o.stderr, " runs: "):
				made++
				after := l.contents()
				for _, file := range []string{"sets/", "checkpoints/", "best.json", "latest.json", "promoted/"} {
					for name, sum := range whole {
						if strings.Contains(name, file) && !strings.HasPrefix(name, "rounds/") && after[name] != sum {
							t.Errorf("%s was made again as another file", name)
						}
					}
				}
			}
			if err := errors.Join(os.RemoveAll(l.work), os.CopyFS(l.work, os.DirFS(kept))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if made < 12 || stopped < 12 {
		t.Errorf("%d files were made again, %d stopped the round", made, stopped)
	}
}

// TestPlanCosts: bytes, steps and times, as far as they are known.
func TestPlanCosts(t *testing.T) {
	l := newLab(t)
	text := l.ok("plan").stdout
	for _, want := range []string{"prep      run   no earlier result\n", "3000 bytes to read\n", "train     run   set comes from prep, which runs\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan has no %q: %s", want, text)
		}
	}
	l.ok("run")
	text = l.ok("plan", "--set", "train.epochs=3").stdout
	for _, want := range []string{"prep      skip  inputs, settings and code are as before", "train     run   train.epochs: 2 → 3\n", " 90 steps, about 0.", " seconds, as in earlier rounds\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan has no %q: %s", want, text)
		}
	}
	// A curriculum cuts the text anew in every epoch.
	carried := []string{"--set", "train.hidden=carry", "--set", "train.epochs=3", "--set", "train.curriculum.seq_length=4", "--set", "train.curriculum.epochs=2"}
	text = l.ok(append([]string{"plan"}, carried...)...).stdout
	train := l.result(runKeys, append([]string{"run", "--to", "train"}, carried...)...)["stages"].(map[string]any)["train"].(map[string]any)
	if want := fmt.Sprintf(" %v steps", train["step"]); train["step"] == 90.0 || !strings.Contains(text, want) {
		t.Errorf("the plan has no %q: %s", want, text)
	}
}

// TestRange runs parts of a round.
func TestRange(t *testing.T) {
	l := newLab(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{`unknown stage "prepp"; the stages are prep, train, evaluate, gate, promote, sample`, []string{"--from", "prepp"}},
		{"stage gate comes after train", []string{"--from", "gate", "--to", "train"}},
		{"stage sample cannot be forced: it is not among prep, train", []string{"--force", "sample", "--to", "train"}},
	} {
		l.fails(2, []string{c.want, "--help"}, append([]string{"run"}, c.args...)...)
		l.fails(2, []string{c.want, "--help"}, append([]string{"plan"}, c.args...)...)
	}
	l.fails(1, []string{"start from train, but prep must run first: no earlier result"}, "run", "--from", "train")
	r := l.result(runKeys, "run", "--to", "train")
	if stages := r["stages"].(map[string]any); len(stages) != 2 || r["promoted"] != "" || r["sample"] != "" {
		t.Errorf("run --to train gives %v", r)
	}
	checkpoint := r["stages"].(map[string]any)["train"].(map[string]any)["checkpoint"].(string)
	want := l.read(checkpoint)
	o := l.ok("run", "--from", "train", "--force", "train")
	wantStages(t, o, "nothing to do", "runs", "runs", "runs", "runs", "runs")
	if l.read(checkpoint) != want {
		t.Error("a forced training has other weights")
	}
	wantStages(t, l.ok("run", "--force", "evaluate", "--force", "sample"), "nothing to do", "nothing to do", "runs", "nothing to do", "nothing to do", "runs")
	wantStages(t, l.ok("run", "--verify"), "nothing to do")
}

// TestRuns lists, shows and compares rounds.
func TestRuns(t *testing.T) {
	l := newLab(t)
	if r := l.result("rounds", "runs", "list"); len(r["rounds"].([]any)) != 0 {
		t.Errorf("rounds before the first: %v", r)
	}
	l.fails(1, []string{"no rounds yet"}, "runs", "show")
	a := l.result(runKeys, "run")["round"].(string)
	b := l.result(runKeys, "run", "--set", "train.lr=0.02")["round"].(string)
	list := l.result("rounds", "runs", "list")["rounds"].([]any)
	if len(list) != 2 {
		t.Fatalf("the rounds are %v", list)
	}
	for i, want := range []string{a + " done [prep train evaluate gate promote sample] true", b + " done [train evaluate gate promote sample] true"} {
		r := list[i].(map[string]any)
		if got := fmt.Sprint(r["round"], " ", r["exit"], " ", r["ran"], " ", r["promoted"]); got != want {
			t.Errorf("round %d is %s, want %s", i, got, want)
		}
	}
	shown := l.result("round began ended exit config versions host stages lineage", "runs", "show", a)
	var what []string
	for _, x := range shown["lineage"].([]any) {
		what = append(what, x.(map[string]any)["what"].(string))
		if name := x.(map[string]any)["name"].(string); what[len(what)-1] != "source" {
			if _, err := os.Stat(filepath.Join(l.work, name)); err != nil {
				t.Error(err)
			}
		}
	}
	if fmt.Sprint(what) != "[sample checkpoint set source]" || fmt.Sprint(shown["config"].(map[string]any)["train.lr"]) != "0.01" {
		t.Errorf("the lineage is %v of %v", what, shown)
	}
	if l.ok("runs", "show", "latest").stdout != l.ok("runs", "show").stdout {
		t.Error("runs show latest is not the newest round")
	}
	if text := l.ok("runs", "show").stdout; !strings.HasPrefix(text, "round     "+b+", done\n") || !strings.Contains(text, "because  train.lr: 0.01 → 0.02\n") {
		t.Errorf("the newest round is %s", text)
	}
	diff := l.result("a b config metrics", "runs", "diff", a, b)
	if got := fmt.Sprint(diff["config"]); got != "[map[a:0.01 b:0.02 key:train.lr]]" {
		t.Errorf("the config differs by %s", got)
	}
	if text := l.ok("runs", "diff", a, b).stdout; !strings.Contains(text, "evaluate.nats_per_char") || !strings.Contains(text, "train.lr") {
		t.Errorf("the difference is %s", text)
	}
	l.fails(1, []string{"runs list"}, "runs", "show", "20260101T000000Z")
	l.fails(2, []string{"--help"}, "runs", "diff", a)
}
