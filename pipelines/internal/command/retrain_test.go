package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/command"
	"github.com/quire-ml/quire/runners/store"
)

const slotKeys = "slot status exit reason round"

// slot runs retrain --once for a night of November 2025 at 3.
func (l *lab) slot(day string, code int, args ...string) map[string]any {
	l.t.Helper()
	o := l.run(append([]string{"retrain", "--once", "--slot", "2025-11-" + day + "T03:00:00Z", "--json"}, args...)...)
	if o.code != code {
		l.t.Fatalf("want exit code %d: %v", code, o)
	}
	return l.parse(slotKeys, o)
}

func TestRetrainOnce(t *testing.T) {
	l := newLab(t)
	want := func(r map[string]any, status, exit, reason, round string) {
		t.Helper()
		if got := r["reason"].(string); r["status"] != status || r["exit"] != exit || !strings.HasPrefix(got, reason) || (reason == "") != (got == "") || r["round"] != round {
			t.Errorf("got %v, want %s, %s, %q, round %q", r, status, exit, reason, round)
		}
	}
	want(l.slot("01", 0), "ran", "done", "", "20251101T030000Z")
	if _, err := os.Stat(filepath.Join(l.work, "rounds", "20251101T030000Z.json")); err != nil {
		t.Error(err)
	}
	want(l.slot("01", 0), "skipped", "done", "it ran before", "20251101T030000Z")
	want(l.slot("02", 0), "ran", "done", "nothing new", "20251102T030000Z")
	l.write(l.corpus, text(3300))
	want(l.slot("04", 3, "--set", "train.epochs=0"), "ran", "refused", "round: the gate refused the model", "20251104T030000Z")
	want(l.slot("04", 3), "skipped", "refused", "it ran before: round: the gate refused the model", "20251104T030000Z")
	want(l.slot("03", 0), "skipped", "", "it was skipped before: missed", "")
	gone := []string{"--set", "corpus.sources=" + l.corpus + ".gone"}
	want(l.slot("05", 1, gone...), "ran", "failed", "failed: ", "20251105T030000Z")
	want(l.slot("05", 1), "skipped", "failed", "it ran before: failed", "20251105T030000Z")
	want(l.slot("05", 1, append(gone, "--again")...), "ran", "failed", "failed: ", "20251105T030000Z-2")
	want(l.slot("05", 0, "--again"), "ran", "done", "", "20251105T030000Z-3")
	want(l.slot("05", 0), "skipped", "done", "it ran before", "20251105T030000Z-3")
	want(l.slot("03", 0, "--again"), "ran", "done", "nothing new", "20251103T030000Z")

	stopped, stop := context.WithCancel(context.Background())
	stop()
	var stdout, stderr bytes.Buffer
	for _, args := range [][]string{{"retrain", "--once", "--slot", "20251106T030000Z"}, {"retrain"}} {
		if code := command.Execute(stopped, command.Quire(), append(args, "--config", l.config), &stdout, &stderr); code != 75 {
			t.Errorf("%v: exit code %d, want 75: %s", args, code, stderr.String())
		}
	}
	if r := l.slot("06", 0); r["status"] != "ran" || r["exit"] != "done" {
		t.Errorf("after an interruption: %v", r)
	}
}

// TestFutureSlot: a slot that has not come is wrong usage, and leaves no trace.
func TestFutureSlot(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	before := l.contents()
	l.fails(2, []string{"slot 20991101T030000Z has not come: it is ", "the last slot was ", "without --slot the last one runs"}, "retrain", "--once", "--slot", "2099-11-01T03:00:00Z")
	if after := l.contents(); !maps.Equal(after, before) {
		t.Errorf("it has left %v", after)
	}
	l.ok("retrain", "--once") // the last that came
	r := l.result("slots running holder next", "retrain", "--list")
	if list := r["slots"].([]any); list[0].(map[string]any)["slot"] != "20251101T030000Z" || r["running"] != "" {
		t.Errorf("the slots are %v", r)
	}
}

// TestAheadState: a clock that was years ahead has decided all slots until then. The
// slots that come run nevertheless, with a warning, and a reset mends the schedule.
func TestAheadState(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	path := filepath.Join(l.work, "schedule", "state.json")
	var state map[string]any
	text := l.read(path)
	if err := json.Unmarshal([]byte(text), &state); err != nil {
		t.Fatal(err)
	}
	delete(state, "digest")
	state["decided"], state["began"], state["ended"] = "2099-01-01T03:00:00Z", "2025-11-01T03:00:00Z", "2099-01-01T03:00:00Z"
	data, err := store.MarshalSealed(state)
	if err != nil {
		t.Fatal(err)
	}
	l.write(path, string(data))
	record, err := store.MarshalSealed(map[string]any{"format": "quire-slot/1", "slot": "20981101T030000Z", "status": "skipped", "reason": "missed: no scheduler was there", "at": "2099-01-01T03:00:00Z"})
	if err != nil {
		t.Fatal(err)
	}
	future := filepath.Join(l.work, "schedule", "slots", "20981101T030000Z.json")
	l.write(future, string(record))

	o := l.run("retrain", "--once", "--quiet", "--json")
	last := l.parse(slotKeys, o)
	if o.code != 0 || last["status"] != "ran" || !strings.Contains(o.stderr, "WARNING: schedule: it is ") || !strings.Contains(o.stderr, "all slots up to 20990101T030000Z are decided") {
		t.Errorf("the last slot: %v", o)
	}
	r := l.result("deleted left next", "retrain", "--reset")
	if fmt.Sprint(r["deleted"]) != "[20981101T030000Z]" {
		t.Errorf("reset has %v", r)
	}
	if _, err := os.Stat(future); !os.IsNotExist(err) {
		t.Errorf("the record of a slot that has not come: %v", err)
	}
	o = l.run("retrain", "--once", "--quiet", "--json")
	if again := l.parse(slotKeys, o); again["slot"] != last["slot"] {
		t.Skip("another slot has come in between")
	} else if o.code != 0 || again["reason"].(string)[:13] != "it ran before" || o.stderr != "" {
		t.Errorf("after the reset: %v", o)
	}

	// Damage of the state stops retrain, but not the list, and reset mends it.
	l.write(path, text[1:])
	l.fails(1, []string{path, "delete it"}, "retrain", "--once", "--slot", "20251103T030000Z")
	if o := l.ok("retrain", "--list"); !strings.Contains(o.stderr, path) || !strings.Contains(o.stdout, "20251101T030000Z  ran      done ") {
		t.Errorf("the list with a damaged state: %v", o)
	}
	l.ok("retrain", "--reset")
	l.write(filepath.Join(l.work, "schedule", "slots", "20251101T030000Z.json"), "{")
	const lines = 3 + 49 // with the slots that were skipped for the last one
	if o := l.ok("retrain", "--list"); !strings.Contains(o.stderr, "20251101T030000Z.json") || strings.Count(o.stdout, "\n") != lines {
		t.Errorf("the list with a damaged record: %v", o)
	}
}

func TestRetrainUsage(t *testing.T) {
	l := newLab(t)
	l.fails(2, []string{"--slot and --again are for --once"}, "retrain", "--slot", "20251101T030000Z")
	l.fails(2, []string{"is not a time"}, "retrain", "--once", "--slot", "tonight")
	l.fails(2, []string{"is no slot: the one before is 20251101T030000Z, the next is 20251102T030000Z"}, "retrain", "--once", "--slot", "20251101T040000Z")
	for _, args := range [][]string{{"--list", "--once"}, {"--reset", "--list"}, {"--once", "--reset"}} {
		l.fails(2, []string{"exclude each other"}, append([]string{"retrain"}, args...)...)
	}
	l.fails(2, []string{"--slot and --again are for --once"}, "retrain", "--again")
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
	l.fails(2, []string{"an argument is missing: `quire promote CHECKPOINT`"}, "promote")
	l.fails(1, []string{""}, "promote", filepath.Join(l.work, "nothing"))
}
