package command_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/internal/command"
	made "github.com/quire-ml/quire/pipelines/text"
)

// TestWorkdirInCorpus: a corpus whose folder holds the workdir is the same in the second
// round, whatever leads to the workdir; the round says what it leaves out.
func TestWorkdirInCorpus(t *testing.T) {
	l := newLab(t)
	t.Chdir(l.dir)
	if err := errors.Join(os.Mkdir("work", 0o777), os.Symlink("work", "shelf")); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(l.dir, "mine")
	l.ok("prep", "--set", "corpus.sources=text.txt", "--out", mine)
	for _, sources := range []string{".", "**/*", l.dir + "/**", "{.,}/**/*"} {
		args := []string{"run", "--to", "prep", "--set", "prep.out=" + mine, "--set", "corpus.sources=" + sources}
		l.ok(args...)
		o := l.ok(args...)
		wantStages(t, o, "nothing to do", "")
		said := strings.Join([]string{mine, l.work + "/gc", l.work + "/rounds", l.work + "/sets", l.work + "/stages"}, ", ")
		if want := "corpus: " + said + " left out: quire has made it"; !strings.Contains(o.stderr, want) {
			t.Errorf("%s: want %q: %v", sources, want, o)
		}
	}
	o := l.ok("prep", "--set", "corpus.sources=.", "--out", mine, "--replace", "--json")
	if r := l.parse(prepKeys, o); r["chars"] != 3000+float64(len(l.read(l.config))) {
		t.Errorf("prep reads %v characters, want those of two files", r["chars"])
	}
}

// TestMadeNames: everything in a workdir is among the names that a corpus leaves out.
func TestMadeNames(t *testing.T) {
	l := newLab(t)
	for _, args := range [][]string{{"prep"}, {"train"}, {"run"}, {"retrain", "--once"},
		{"sweep", "--set", "sweep.train.lr=0.005,0.01"}} {
		l.ok(args...)
	}
	r, err := configs.Load(configs.Options{Config: l.config})
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Join(made.Made(&r.Config), "\n") + "\n"
	entries, err := os.ReadDir(l.work)
	if err != nil || len(entries) < 8 {
		t.Fatal(len(entries), err)
	}
	for _, e := range entries {
		if !strings.Contains(names, filepath.Join(l.work, e.Name())+"\n") {
			t.Errorf("the workdir has %s, which a corpus does not leave out", e.Name())
		}
	}
}

// TestPrepKilledBeside kills prep at its file operations on shards, in a folder where
// other files are then put: prep starts again, and these stay.
func TestPrepKilledBeside(t *testing.T) {
	l := newLab(t)
	want := l.result(prepKeys, "prep", "--out", filepath.Join(l.dir, "whole"))["manifest_sha256"]
	killed := 0
	for nth := 1; nth < 8; nth++ {
		out := filepath.Join(l.dir, "killed"+strconv.Itoa(nth))
		c := l.child("prep", "--out", out, "--quiet")
		c.Env = append(c.Env, killVariable+"="+strconv.Itoa(nth))
		if l.finish(c).code == -1 {
			killed++
		}
		other := filepath.Join(out, "train-00000-of-00007.tfrecord")
		l.write(other, "of another tool")
		if r := l.result(prepKeys, "prep", "--out", out); r["manifest_sha256"] != want {
			t.Errorf("after a kill at operation %d: %v", nth, r)
		}
		if l.read(other) != "of another tool" {
			t.Errorf("after a kill at operation %d: the other's file is gone", nth)
		}
	}
	if killed < 3 {
		t.Errorf("%d preps were killed", killed)
	}
	l.ok("prep")
	l.fails(1, []string{"holds killed1, and no sign that quire has made it", "use another prep.out or train.out"}, "prep", "--out", l.dir, "--replace")
	l.fails(1, []string{"holds killed1, and no sign that quire has made it"}, "train", "--out", l.dir, "--fresh")
}

// TestCutOff: a file that is cut off stays so: a round does not try it again.
func TestCutOff(t *testing.T) {
	l := newLab(t)
	zipped := zip(text(3000))
	for name, c := range map[string]struct{ data, records, want string }{
		"a.txt.gz": {zipped[:len(zipped)-20], "file", "a.txt.gz: damaged or cut off"},
		"a.jsonl":  {`{"text": "that is"}` + "\n" + `{"text": "th`, "jsonl:text", "a.jsonl: line 2: it is not JSON"},
	} {
		l.write(filepath.Join(l.dir, name), c.data)
		// An attempt more would be a line more.
		l.fails(1, []string{c.want}, "run", "--set", "corpus.sources="+filepath.Join(l.dir, name), "--set", "corpus.records="+c.records)
	}
}

// watching is a stderr that calls do before the first line that begins with at.
type watching struct {
	bytes.Buffer
	at string
	do func()
}

func (w *watching) Write(p []byte) (int, error) {
	if w.do != nil && bytes.HasPrefix(p, []byte(w.at)) {
		do := w.do
		w.do = nil
		do()
	}
	return w.Buffer.Write(p)
}

// during runs a round, and does something when a stage begins.
func (l *lab) during(stage string, do func(), args ...string) outcome {
	l.t.Helper()
	args = append(append([]string{"run"}, args...), "--config", l.config)
	var stdout bytes.Buffer
	stderr := &watching{at: stage, do: do}
	code := command.Execute(l.t.Context(), command.Quire(), args, &stdout, stderr)
	if stderr.do != nil {
		l.t.Fatalf("%s has not begun: %s", stage, stderr.String())
	}
	return outcome{args, code, stdout.String(), stderr.String()}
}

// TestGrowing: a round works on the text that it found, whatever becomes of the file
// meanwhile; what is appended is for the next round. A file that is cut off or rewritten
// before it was read is an error.
func TestGrowing(t *testing.T) {
	for _, c := range []struct{ stage, text string }{
		{"prep ", text(3000) + "and more, é"},
		{"train ", text(3000) + "and more"},
		{"train ", text(2000)},
		{"gate ", strings.Repeat("another text. ", 300)},
		{"gate ", ""},
	} {
		l := newLab(t)
		o := l.during(c.stage, func() {
			// As most editors and git do: another file takes the name.
			other := l.corpus + ".new"
			l.write(other, c.text)
			if err := os.Rename(other, l.corpus); err != nil {
				t.Fatal(err)
			}
		}, "--json")
		if o.code != 0 {
			t.Fatalf("changed in %s: %v", c.stage, o)
		}
		r := l.parse(runKeys, o)
		if chars := r["stages"].(map[string]any)["prep"].(map[string]any)["chars"]; chars != 3000.0 {
			t.Errorf("changed in %s: the set has %v characters", c.stage, chars)
		}
		if c.text == "" {
			continue
		}
		if again := l.planned()["prep"]; len(again) != 1 || !strings.HasPrefix(again[0], "corpus: text.txt: sha256 ") {
			t.Errorf("changed in %s: the next plan says %q of prep", c.stage, again)
		}
	}
	for text, want := range map[string]string{text(2999): "has 2999 bytes, but had 3000 when the corpus was listed: the text has changed: it was cut off",
		strings.Repeat("x", 3000): "the text has changed while the set was made; make the set again"} {
		l := newLab(t)
		if o := l.during("prep ", func() { l.write(l.corpus, text) }); o.code != 1 || !strings.Contains(lastLine(o), want) {
			t.Errorf("want %q: %v", want, o)
		}
	}
}
