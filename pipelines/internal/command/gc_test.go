package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const gcKeys = "deleted at goes stays left foreign goes_bytes stays_bytes foreign_bytes"

// TestGC removes what is left of an older round, and retrain does so by itself after a
// promoted one.
func TestGC(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	sets := func() int {
		list, err := os.ReadDir(filepath.Join(l.work, "sets"))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	l.write(l.corpus, text(3300))
	if o := l.ok("retrain", "--once", "--slot", "2025-11-02T03:00:00Z"); strings.Contains(o.stderr, "gc:") || sets() != 2 {
		t.Errorf("without the section gc there are %d sets: %v", sets(), o)
	}
	l.fails(2, []string{"no policy says which rounds stay", "--keep-last 7", "section gc of the config"}, "gc", "--delete")
	l.fails(2, []string{"--keep-within", "30 days", "such as 30d"}, "gc", "--keep-within", "30 days")
	l.fails(2, []string{`no sweep is called "3c2b7a"`, "there are none"}, "gc", "--keep-last", "1", "--keep-sweep", "3c2b7a")
	l.write(filepath.Join(l.work, "sets", "notes.txt"), "of a person")
	dry := l.ok("gc", "--keep-last", "1", "--keep-promotions", "2")
	for _, want := range []string{"goes   round ", "rounds/20251101T030000Z\n", "stays  round ", "rounds/20251102T030000Z: last 1\n",
		"promotion 2: the model in service",
		"stays  not ours", "sets/notes.txt\n", "nothing is removed yet: add --delete\n"} {
		if !strings.Contains(dry.stdout, want) {
			t.Errorf("gc does not print %q: %v", want, dry)
		}
	}
	if sets() != 3 {
		t.Errorf("a dry run leaves %d sets and notes", sets())
	}
	if all := l.ok("gc", "--keep-last", "1", "--all"); !strings.Contains(all.stdout, "stays  outcome") ||
		!strings.Contains(all.stdout, "of round 20251102T030000Z") {
		t.Errorf("gc --all prints %v", all)
	}
	res := l.result(gcKeys, "gc", "--keep-daily", "1", "--keep-promotions", "2", "--delete")
	if res["deleted"] != true || len(res["goes"].([]any)) == 0 || len(res["foreign"].([]any)) != 1 {
		t.Errorf("the result is %v", res)
	}
	if _, err := os.Stat(filepath.Join(l.work, "rounds", "20251101T030000Z.json")); !os.IsNotExist(err) {
		t.Errorf("the older round stays: %v", err)
	}
	l.ok("promote", "--rollback") // its copy stays

	section := []string{"--set", "gc.keep_last=1", "--set", "gc.keep_promotions=2", "--set", "train.lr=0.02"}
	l.write(l.corpus, text(3700))
	o := l.run(append([]string{"retrain", "--once", "--slot", "2025-11-03T03:00:00Z"}, section...)...)
	if o.code != 0 || !strings.Contains(o.stderr, "\ngc: removed ") {
		t.Errorf("retrain has not removed anything: %v", o)
	}
	if _, err := os.Stat(filepath.Join(l.work, "rounds", "20251102T030000Z.json")); !os.IsNotExist(err) {
		t.Errorf("the round before it stays: %v", err)
	}
	wantStages(t, l.ok(append([]string{"run"}, section...)...), "nothing to do") // the last round is whole

	// A removal that fails is a warning: the round is done.
	l.write(filepath.Join(l.work, "rounds", "20251101T030000Z.json"), "{}")
	l.write(l.corpus, text(4200))
	o = l.run(append([]string{"retrain", "--once", "--slot", "2025-11-04T03:00:00Z"}, append(section, "--set", "train.epochs=3")...)...)
	if o.code != 0 || !strings.Contains(o.stderr, "WARNING: gc: what a round reaches is not known, so nothing goes: ") {
		t.Errorf("a failing removal: %v", o)
	}
}
