package command_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlanRefuses: where the gate is known to refuse the model, a plan ends as the round
// will: with the same exit code, error and decisions.
func TestPlanRefuses(t *testing.T) {
	l, other := newLab(t), newLab(t)
	l.ok("run")
	bad := set("train.epochs=1")
	same := func(reason string, args ...string) {
		t.Helper()
		plan := l.run(append([]string{"plan", "--json"}, args...)...)
		p, o := l.run(append([]string{"plan"}, args...)...), l.run(append([]string{"run"}, args...)...)
		if p.code != 3 || o.code != 3 || lastLine(p) != lastLine(o) || !strings.Contains(lastLine(p), reason) || fmt.Sprint(decisions(p)) != fmt.Sprint(stageLines(t, o)) {
			t.Errorf("want the exit code 3 and %q\n%v\n%v", reason, p, o)
		}
		if stages := l.parse("stages", plan)["stages"].([]any); plan.code != 3 || len(stages) == 0 {
			t.Errorf("as JSON: %v", plan)
		}
	}
	if o := l.run(append([]string{"run"}, bad...)...); o.code != 3 {
		t.Fatal(o)
	}
	same("it must be better by more than 0", bad...)
	if o := l.run(append([]string{"plan", "--force", "gate"}, bad...)...); o.code != 0 {
		t.Errorf("a gate that is to decide again: %v", o)
	}

	// promoted.json of another workdir names a model that is not here.
	other.ok("run", "--set", "train.seed=2")
	pointer := filepath.Join(l.work, "promoted.json")
	l.write(pointer, l.read(filepath.Join(other.work, "promoted.json")))
	const gone = "no such object; put an intact copy there, or promote another model: promote CHECKPOINT"
	same(gone)
	same(gone, bad...)
	p := l.run("plan", "--set", "train.seed=3")
	if p.code != 3 || decisions(p)["sample"] != "runs" || !strings.Contains(lastLine(p), gone) {
		t.Errorf("a plan of a training whose model will be refused: %v", p)
	}
	if o := l.run("run", "--set", "train.seed=3"); o.code != 3 || lastLine(o) != lastLine(p) {
		t.Errorf("the round: %v", o)
	}
	l.fails(1, []string{gone}, "generate")
	l.fails(1, []string{"there is none to roll back to"}, "promote", "--rollback")
	l.ok("promote", other.best("--set", "train.seed=2")) // as the advice says
	l.ok("generate")
}

// TestServiceRemedy: each way out of a model in service that is gone works, and no other is
// advised.
func TestServiceRemedy(t *testing.T) {
	l := newLab(t)
	a, b := l.best(), l.best("--set", "train.seed=2")
	copied := func(path string) string { return filepath.Join(l.work, "promoted", l.digest(path)+".safetensors") }
	remove := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	again, back := "; make the copy again: promote ", "go back: promote --rollback"
	l.ok("promote", a)
	remove(copied(a))
	o := l.run("generate")
	if !strings.HasSuffix(lastLine(o), again+a) { // it is the first
		t.Errorf("the first model: %v", o)
	}
	l.ok("promote", a)
	l.ok("promote", b)
	remove(copied(b))
	if o := l.run("generate"); !strings.HasSuffix(lastLine(o), again+b+", or "+back) {
		t.Errorf("the second model: %v", o)
	}
	kept := l.read(b)
	remove(b)
	if o := l.run("generate"); !strings.HasSuffix(lastLine(o), "; "+back) {
		t.Errorf("the second model without its checkpoint: %v", o)
	}
	l.write(b, l.read(a)) // another model
	if o := l.run("generate"); !strings.HasSuffix(lastLine(o), "; "+back) {
		t.Errorf("the second model with another checkpoint: %v", o)
	}
	l.ok("promote", "--rollback")
	l.ok("generate")
	remove(copied(a))
	if o := l.run("generate"); !strings.HasSuffix(lastLine(o), again+a) { // a was the first, and b is withdrawn
		t.Errorf("the first model, back again: %v", o)
	}
	l.write(b, kept)
	l.ok("promote", a)
	l.ok("promote", b)
	remove(copied(a))
	remove(copied(b))
	if o := l.run("generate"); !strings.HasSuffix(lastLine(o), again+b) {
		t.Errorf("the second model, when the first is gone too: %v", o)
	}
}
