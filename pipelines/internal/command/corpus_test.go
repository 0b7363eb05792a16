package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
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
		said := strings.Join([]string{mine, l.work + "/rounds", l.work + "/sets", l.work + "/stages"}, ", ")
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
