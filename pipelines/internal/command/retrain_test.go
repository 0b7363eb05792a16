package command_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
)

const slotKeys = "slot status reason round"

// slot runs retrain --once for a night of November 2026 at 3.
func (l *lab) slot(day string, code int, args ...string) map[string]any {
	l.t.Helper()
	o := l.run(append([]string{"retrain", "--once", "--slot", "2026-11-" + day + "T03:00:00Z", "--json"}, args...)...)
	if o.code != code {
		l.t.Fatalf("want exit code %d: %v", code, o)
	}
	return l.parse(slotKeys, o)
}

func TestRetrainOnce(t *testing.T) {
	l := newLab(t)
	want := func(r map[string]any, status, reason, round string) {
		t.Helper()
		if got := r["reason"].(string); r["status"] != status || !strings.HasPrefix(got, reason) || (reason == "") != (got == "") || r["round"] != round {
			t.Errorf("got %v, want %s, %q, round %q", r, status, reason, round)
		}
	}
	want(l.slot("01", 0), "ran", "", "20261101T030000Z")
	if _, err := os.Stat(filepath.Join(l.work, "rounds", "20261101T030000Z.json")); err != nil {
		t.Error(err)
	}
	want(l.slot("01", 0), "skipped", "it ran before", "20261101T030000Z")
	want(l.slot("02", 0), "ran", "nothing new", "20261102T030000Z")
	l.write(l.corpus, text(3300))
	want(l.slot("04", 3, "--set", "train.epochs=0"), "ran", "round: the gate refused the model", "20261104T030000Z")
	want(l.slot("03", 0), "skipped", "it was skipped before: missed", "")
	want(l.slot("05", 1, "--set", "corpus.sources="+l.corpus+".gone"), "ran", "failed: ", "20261105T030000Z")
	want(l.slot("05", 0), "skipped", "it ran before: failed", "20261105T030000Z")

	stopped, stop := context.WithCancel(context.Background())
	stop()
	var stdout, stderr bytes.Buffer
	for _, args := range [][]string{{"retrain", "--once", "--slot", "20261106T030000Z"}, {"retrain"}} {
		if code := command.Execute(stopped, command.Quire(), append(args, "--config", l.config), &stdout, &stderr); code != 75 {
			t.Errorf("%v: exit code %d, want 75: %s", args, code, stderr.String())
		}
	}
	if r := l.slot("06", 0); r["status"] != "ran" || r["reason"] != "" {
		t.Errorf("after an interruption: %v", r)
	}
}

func TestRetrainUsage(t *testing.T) {
	l := newLab(t)
	l.fails(2, []string{"--slot is for --once"}, "retrain", "--slot", "20261101T030000Z")
	l.fails(2, []string{"is not a time"}, "retrain", "--once", "--slot", "tonight")
	l.fails(2, []string{"is no slot: the one before is 20261101T030000Z, the next is 20261102T030000Z"}, "retrain", "--once", "--slot", "20261101T040000Z")
	l.fails(2, []string{"schedule.cron"}, "retrain", "--set", "schedule.cron=never")
}

func TestPromoteCommand(t *testing.T) {
	l := newLab(t)
	first := l.result(runKeys, "run")["promoted"].(string)
	better := l.result(runKeys, "run", "--set", "train.seed=2")
	second := better["promoted"].(string)
	r := l.result("promoted previous", "promote", "--rollback")
	if r["promoted"] != first || r["previous"] != second {
		t.Errorf("rollback gives %v, want %s for %s", r, first, second)
	}
	o := l.run("run", "--set", "train.seed=2", "--json")
	if o.code != 3 || !strings.Contains(o.stderr, "it was withdrawn by rollback, promotion 3") {
		t.Errorf("a round brings back what was withdrawn: %v", o)
	}
	r = l.result("promoted previous", "promote", better["run"].(string))
	if r["promoted"] != second || r["previous"] != first {
		t.Errorf("promote gives %v, want %s for %s", r, second, first)
	}
	l.ok("run", "--set", "train.seed=2")
	if all := l.result("promotions", "promote", "--history")["promotions"].([]any); len(all) != 4 {
		t.Errorf("history is %v, want 4 promotions", all)
	}
	if o := l.ok("promote", "--history"); !strings.HasPrefix(o.stdout, "   4  runs/") || !strings.Contains(o.stdout, "by rollback at ") {
		t.Errorf("history: %v", o)
	}
	l.fails(2, []string{"exclude each other"}, "promote", "--rollback", "--history")
	l.fails(2, []string{"accepts 1 arg"}, "promote")
	l.fails(1, []string{""}, "promote", filepath.Join(l.work, "nothing"))
}
