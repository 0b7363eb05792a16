package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// otherDisk is a folder, on another file system where this machine has one.
func otherDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "command-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// workFolders are the folders of a workdir.
var workFolders = []string{"promoted", "promotions", "rounds", "run", "runs", "schedule", "set", "sets", "stages", "sweeps"}

// TestLinkedWorkdir: a workdir that is a link, or whose folders are links, to another
// disk holds whatever a command makes, from the first stage to the last.
func TestLinkedWorkdir(t *testing.T) {
	for _, whole := range []bool{false, true} {
		l := newLab(t)
		disk := otherDisk(t)
		if whole {
			if err := os.Symlink(disk, l.work); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Mkdir(l.work, 0o777); err != nil {
			t.Fatal(err)
		}
		for _, name := range workFolders {
			if whole {
				continue
			}
			if err := os.Mkdir(filepath.Join(disk, name), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(disk, name), filepath.Join(l.work, name)); err != nil {
				t.Fatal(err)
			}
		}
		wantStages(t, l.ok("run"), "runs")
		wantStages(t, l.ok("run", "--verify"), "nothing to do")
		if o := l.ok("plan"); strings.Contains(o.stdout, " run ") {
			t.Errorf("plan: %v", o)
		}
		for _, args := range [][]string{{"prep"}, {"train"}, {"evaluate"}, {"generate"}, {"retrain", "--once"}, {"runs", "list"}, {"runs", "show"},
			{"promote", "--history"}, {"sweep", "--set", "sweep.train.lr=0.005,0.01"}, {"inspect"}, {"run", "--force", "prep", "--force", "train"}} {
			l.ok(args...)
		}
		for _, name := range workFolders {
			if len(l.files(filepath.Join(disk, name))) == 0 && name != "promoted" {
				t.Errorf("%s has no files on the other disk", name)
			}
		}
	}
	// A disk that is not there stops a round before its first stage.
	l := newLab(t)
	if err := os.Mkdir(l.work, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nothing/here", filepath.Join(l.work, "runs")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"run", "plan"} {
		l.fails(1, []string{filepath.Join(l.work, "runs") + " is a link to /nothing/here, and there is none"}, command)
	}
	if made := l.files(l.work); len(made) != 1 {
		t.Errorf("the round has made %q", made)
	}
}

// TestBrokenLinks puts a link to nothing in the place of each file of a workdir. The round
// does what the plan says: it goes on with a warning where the file only serves reports,
// and else stops in the same words, which say what to do.
func TestBrokenLinks(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	l.ok("run", "--set", "generate.seed=2")
	for _, kind := range []string{"rounds", "promotions", "runs", "sets", "stages", "promoted", "schedule"} {
		for _, name := range l.files(filepath.Join(l.work, kind)) {
			path := filepath.Join(l.work, kind, name)
			if err := os.Rename(path, path+".kept"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/nothing/here", path); err != nil {
				t.Fatal(err)
			}
			p, o := l.run("plan", "--set", "generate.seed=2"), l.run("run", "--set", "generate.seed=2")
			stopped := kind == "promoted" || kind == "sets" || kind == "stages" || kind == "runs" && p.code != 0
			if p.code != o.code || lastLine(p) != lastLine(o) || stopped && (p.code != 1 && strings.Contains(o.stderr+p.stderr, path) || p.code == 1 && !strings.Contains(lastLine(p), path)) {
				t.Errorf("%s: %v\n%v", path, p, o)
			}
			if !stopped && p.code != 0 {
				t.Errorf("%s stops the round: %v", path, o)
			}
			if p.code != 0 && !strings.Contains(lastLine(p), "or delete the link") {
				t.Errorf("%s: no advice: %v", path, p)
			}
			if kind == "rounds" && strings.Contains(o.stderr, "WARNING") && !strings.Contains(o.stderr, "store: "+path) {
				t.Errorf("%s: the warning names another file: %v", path, o)
			}
			if kind == "rounds" {
				list := l.ok("runs", "list")
				record := strings.HasSuffix(name, ".json") && name != "latest.json"
				if record != strings.Contains(list.stderr, "WARNING: store: "+path+": ") {
					t.Errorf("%s: %v", path, list)
				}
			}
			if kind == "schedule" {
				l.ok("retrain", "--list")
			}
			if err := os.Rename(path+".kept", path); err != nil {
				t.Fatal(err)
			}
		}
	}
}
