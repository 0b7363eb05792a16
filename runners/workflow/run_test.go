package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// plain is a stage without config that makes a string of its name.
func plain(name, output string, inputs ...string) workflow.Stage[any, string] {
	s := workflow.Stage[any, string]{Name: name, Version: 1, Artifact: workflow.Artifact[string](output),
		Run: func(context.Context, any, *workflow.Task) (workflow.Product[string], error) {
			return workflow.Product[string]{Value: name}, nil
		}}
	for _, in := range inputs {
		s.Inputs = append(s.Inputs, workflow.Artifact[string](in))
	}
	return s
}

// TestNew builds pipelines that are wrong: the error names the stages.
func TestNew(t *testing.T) {
	a := plain("a", "x")
	with := func(f func(*workflow.Stage[any, string])) workflow.Node {
		s := a
		f(&s)
		return s
	}
	config := workflow.Stage[settings, string]{Name: "a", Version: 1, Artifact: "x", Keys: []string{"factor"},
		Run: func(context.Context, settings, *workflow.Task) (out workflow.Product[string], err error) {
			return out, nil
		}}
	misspelt, list := config, workflow.Stage[[]int, string]{Name: "a", Version: 1, Artifact: "x", Config: []int{1},
		Run: func(context.Context, []int, *workflow.Task) (out workflow.Product[string], err error) {
			return out, nil
		}}
	misspelt.Keys = []string{"factor", "style.uper"}
	for _, c := range []struct {
		want   string
		stages []workflow.Node
	}{
		{"a pipeline has at least one stage", nil},
		{"two stages are called a", []workflow.Node{a, plain("a", "y")}},
		{"stages a and b both make x", []workflow.Node{a, plain("b", "x")}},
		{"stage b needs z, which no stage makes", []workflow.Node{a, plain("b", "y", "x", "z")}},
		{"stage b has the input x twice", []workflow.Node{a, plain("b", "y", "x", "x")}},
		{"stages wait for each other: b waits for c waits for b", []workflow.Node{a, plain("b", "y", "x", "z"), plain("c", "z", "y")}},
		{"stages wait for each other: b waits for b", []workflow.Node{plain("b", "y", "y")}},
		{`a stage is called ""`, []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Name = "" })}},
		{`a stage is called "../a"`, []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Name = "../a" })}},
		{"stage a has version 0", []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Version = 0 })}},
		{"stage a has no artifact", []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Artifact = "" })}},
		{"stage a has no function Run", []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Run = nil })}},
		{"stage a has the limit -1s", []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Limit = -time.Second })}},
		{"stage a: config: json: unsupported type", []workflow.Node{with(func(s *workflow.Stage[any, string]) { s.Config = func() {} })}},
		{"stage a: config: workflow_test.settings has no key style.uper", []workflow.Node{misspelt}},
		{"stage a: config: []int is not a JSON object", []workflow.Node{list}},
	} {
		p, err := workflow.New(c.stages...)
		if err == nil || p != nil || !strings.Contains(err.Error(), "workflow: "+c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	_, err := workflow.New(plain("a", "x", "p"), plain("b", "x", "q"))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes give %v", err)
	}
	p, err := workflow.New(plain("c", "z", "y"), config, plain("b", "y", "x"))
	if err != nil || !slices.Equal(p.Stages(), []string{"a", "b", "c"}) {
		t.Errorf("the order is %v, %v", p.Stages(), err)
	}
}

// TestUndeclared reads an artifact that is not among the inputs.
func TestUndeclared(t *testing.T) {
	b := plain("b", "y")
	b.Run = func(_ context.Context, _ any, task *workflow.Task) (out workflow.Product[string], err error) {
		out.Value, err = workflow.Artifact[string]("x").Of(task)
		return out, err
	}
	p, err := workflow.New(plain("a", "x"), b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Run(ctx, open(t), workflow.Options{})
	if err == nil || !strings.Contains(err.Error(), "stage b reads x, which is not among its inputs; add it") {
		t.Errorf("the error is %v", err)
	}
}

// TestFailed: a round goes on at the stage that failed, and each has a record.
func TestFailed(t *testing.T) {
	l := newLab(t)
	l.fail["say"] = errors.New("it failed")
	r, err := l.round(t)
	if err == nil || r.Exit != workflow.Failed || r.Error.Stage != "say" || r.Error.Message != "it failed" ||
		r.Stage("multiply").Digest == "" || r.Stage("say").Digest != "" {
		t.Fatalf("the record is %+v, %v", r, err)
	}
	l.plan(t, mulSkip, "run say: no earlier result")
	next := l.run(t, "say")
	if next.Round == r.Round || next.Exit != workflow.Done {
		t.Errorf("the record of the next round is %+v", next)
	}
	all, err := workflow.Records(ctx, l.st, func(err error) { t.Error(err) })
	if err != nil || len(all) != 2 || all[0].Round != r.Round || all[1].Round != next.Round {
		t.Errorf("the records are %v, %v", all, err)
	}
}

// TestIDs: a record is written once, under the round's own id or the next.
func TestIDs(t *testing.T) {
	l := newLab(t)
	l.o.ID = "slot-1"
	if r := l.run(t, "multiply", "say"); r.Round != "slot-1" {
		t.Errorf("the round is %s", r.Round)
	}
	l.o.ID = "slot-2"
	if r := l.run(t); r.Round != "slot-2" { // it has nothing to do, and says so
		t.Errorf("the round is %s", r.Round)
	}
	if _, err := l.round(t); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same id again: %v", err)
	}
	l.o.ID = ""
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		for i, want := range []string{"20000101T000000Z", "20000101T000000Z-2", "20000101T000000Z-3"} {
			l.config.Style.Mark = fmt.Sprint(i)
			if r := l.run(t, "say"); r.Round != want {
				t.Errorf("round %d is %s, want %s", i, r.Round, want)
			}
		}
	})
}

// TestRetries counts the attempts and the time between them.
func TestRetries(t *testing.T) {
	passing := fmt.Errorf("503: %w", store.ErrTransient)
	for _, c := range []struct {
		errs     []error
		attempts int
		class    string
	}{
		{nil, 1, workflow.Done},
		{[]error{passing}, 2, workflow.Done},
		{[]error{passing, passing}, 3, workflow.Done},
		{[]error{passing, passing, passing}, 3, workflow.Transient},
		{[]error{errors.New("your mistake")}, 1, workflow.Failed},
		{[]error{passing, errors.New("your mistake")}, 2, workflow.Failed},
		{[]error{store.ErrConflict}, 1, workflow.Conflict},
	} {
		synctest.Test(t, func(t *testing.T) {
			errs, began := c.errs, time.Now()
			a := plain("a", "x")
			a.Run = func(context.Context, any, *workflow.Task) (out workflow.Product[string], err error) {
				if len(errs) > 0 {
					err, errs = errs[0], errs[1:]
				}
				return out, err
			}
			p, err := workflow.New(a)
			if err != nil {
				t.Fatal(err)
			}
			var said []workflow.Event
			r, err := p.Run(ctx, open(t), workflow.Options{Attempts: 3, Pause: 10 * time.Second,
				Observe: func(e workflow.Event) { said = append(said, e) }})
			if r == nil || r.Exit != c.class || r.Stage("a").Attempts != c.attempts || (err == nil) != (c.class == workflow.Done) ||
				len(said) != c.attempts {
				t.Errorf("%v: %+v, %v, %v", c.errs, r, err, said)
			}
			// The pauses are 10 and 20 seconds, each times ½ to 1½.
			least := []time.Duration{0, 5 * time.Second, 15 * time.Second}[c.attempts-1]
			if took := time.Since(began); took < least || took > 3*least+1 {
				t.Errorf("%v: took %v, want %v to %v", c.errs, took, least, 3*least)
			}
		})
	}
}

// TestLimit ends a stage that takes too long; it is not tried again.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, tries := plain("a", "x"), 0
		a.Limit = time.Minute
		a.Run = func(ctx context.Context, _ any, _ *workflow.Task) (out workflow.Product[string], err error) {
			tries++
			<-ctx.Done()
			return out, fmt.Errorf("saved: %w", ctx.Err())
		}
		p, err := workflow.New(a)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r, err := p.Run(ctx, open(t), workflow.Options{Attempts: 3})
		var limit *workflow.LimitError
		if !errors.As(err, &limit) || errors.Is(err, context.DeadlineExceeded) || r.Exit != workflow.Timeout ||
			tries != 1 || time.Since(began) != time.Minute {
			t.Errorf("after %v and %d tries: %+v, %v", time.Since(began), tries, r, err)
		}
	})
}

func TestCancelled(t *testing.T) {
	cancelled, stop := context.WithCancel(ctx)
	l := newLab(t)
	l.o.Observe = nil
	stop()
	if r, err := l.pipeline(t).Run(cancelled, l.st, l.o); !errors.Is(err, context.Canceled) || len(l.ran) != 0 {
		t.Errorf("cancelled before: %+v, %v", r, err)
	}
	if list, err := l.st.List(ctx, ""); err != nil || len(list) != 0 {
		t.Errorf("it left %v, %v", list, err)
	}
}

// TestCancelledInPause: a round that is cancelled between two attempts ends at once.
func TestCancelledInPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, tries := plain("a", "x"), 0
		a.Run = func(context.Context, any, *workflow.Task) (out workflow.Product[string], err error) {
			tries++
			return out, store.ErrTransient
		}
		p, err := workflow.New(a)
		if err != nil {
			t.Fatal(err)
		}
		cancelled, stop := context.WithCancel(ctx)
		time.AfterFunc(time.Second, stop)
		began := time.Now()
		r, err := p.Run(cancelled, open(t), workflow.Options{Attempts: 3, Pause: time.Hour})
		if !errors.Is(err, context.Canceled) || r.Exit != workflow.Interrupted || tries != 1 || time.Since(began) != time.Second {
			t.Errorf("after %v and %d tries: %+v, %v", time.Since(began), tries, r, err)
		}
	})
}

// TestDamage flips bytes of an outcome, of the newest record and of the pointer to it,
// and cuts them. The outcome is needed, and stops the round; the others are told of, and
// the round compares itself with the record before.
func TestDamage(t *testing.T) {
	l := newLab(t)
	l.config.Style.Mark = "?"
	l.run(t, "multiply", "say")
	l.config.Style.Mark = "!"
	r := l.run(t, "say")
	for _, name := range []string{workflow.OutcomeName("say", r.Stage("say").Key), workflow.RecordName(r.Round), "rounds/latest.json"} {
		path := l.st.Join(name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		check := func(what string, data []byte) {
			t.Helper()
			if err := os.WriteFile(path, data, 0o666); err != nil {
				t.Fatal(err)
			}
			said := ""
			l.o.Observe = func(e workflow.Event) { said += fmt.Sprintf("%s%s: %s", e.Stage, e.Kind, strings.Join(e.Why, "; ")) }
			p, err := l.pipeline(t).Plan(ctx, l.st, l.o)
			needed := strings.HasPrefix(name, "stages/")
			if needed && err != nil {
				said = err.Error()
			}
			if (err != nil) != needed || strings.HasPrefix(said, "warns: ") == needed || strings.Count(said, path) != 1 || !strings.Contains(said, "delete it") ||
				strings.Contains(said, "\n") {
				t.Fatalf("%s of %s: %v, %s", what, name, err, said)
			}
			before := "as before" // compared with this round's record, or else with the first one's
			if name == workflow.RecordName(r.Round) {
				before = "those of an earlier round"
			}
			if !needed && p.Stages[1].Reasons[0] != "inputs, settings and code are "+before {
				t.Fatalf("%s of %s: say is skipped: %q", what, name, p.Stages[1].Reasons)
			}
		}
		for i := 0; i < len(whole); i += 7 {
			flipped := slices.Clone(whole)
			flipped[i] ^= 1
			check(fmt.Sprintf("byte %d", i), flipped)
			check(fmt.Sprintf("what is before byte %d", i), whole[:i])
		}
		if err := os.WriteFile(path, whole, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	l.run(t)
}

// TestFolderAtPointer: a folder in the place of the pointer cannot be replaced. The round
// has its record, and says why the pointer does not name it.
func TestFolderAtPointer(t *testing.T) {
	l := newLab(t)
	if err := os.MkdirAll(l.st.Join("rounds/latest.json"), 0o777); err != nil {
		t.Fatal(err)
	}
	r := l.run(t, "multiply", "say")
	if _, err := workflow.ReadRecord(ctx, l.st, r.Round); err != nil {
		t.Error(err)
	}
	if last := l.said[len(l.said)-1]; !strings.HasPrefix(last, " warns: workflow: round "+r.Round) || !strings.Contains(last, l.st.Join("rounds/latest.json")) {
		t.Errorf("the warning is %q", l.said)
	}
}

// TestNoValue: a product has a value, when it is made and when it is read.
func TestNoValue(t *testing.T) {
	p, err := workflow.New(workflow.Stage[any, *string]{Name: "a", Version: 1, Artifact: "x",
		Run: func(context.Context, any, *workflow.Task) (out workflow.Product[*string], err error) { return out, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx, open(t), workflow.Options{}); err == nil || err.Error() != "workflow: stage a: value of x is null" {
		t.Errorf("a product without a value: %v", err)
	}
	l := newLab(t)
	name := workflow.OutcomeName("say", l.run(t, "multiply", "say").Stage("say").Key)
	var outcome map[string]any
	if _, err := l.st.ReadSealed(ctx, name, &outcome, store.Sealed{}); err != nil {
		t.Fatal(err)
	}
	outcome["output"].(map[string]any)["value"] = nil
	data, err := store.MarshalSealed(outcome)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.st.Replace(ctx, name, data); err != nil {
		t.Fatal(err)
	}
	if _, err := l.round(t); err == nil || !strings.Contains(err.Error(), l.st.Join(name)) || !strings.Contains(err.Error(), "has no value; put back an intact copy, or delete it") {
		t.Errorf("an outcome without a value: %v", err)
	}
}

// TestOthers puts an outcome and a record in the place of others.
func TestOthers(t *testing.T) {
	l := newLab(t)
	r := l.run(t, "multiply", "say")
	copyTo := func(from, to string) {
		t.Helper()
		data, _, err := l.st.Read(ctx, from)
		if err == nil {
			_, err = l.st.Put(ctx, to, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyTo(workflow.RecordName(r.Round), workflow.RecordName("other"))
	if _, err := workflow.ReadRecord(ctx, l.st, "other"); err == nil || !strings.Contains(err.Error(), "want that of \"other\"") {
		t.Errorf("the record of another round: %v", err)
	}
	say := workflow.OutcomeName("say", r.Stage("say").Key)
	l.config.Style.Mark = "?"
	other := workflow.OutcomeName("say", l.run(t, "say").Stage("say").Key)
	if err := l.st.Delete(ctx, other, ""); err != nil {
		t.Fatal(err)
	}
	copyTo(say, other)
	if _, err := l.round(t); err == nil || !strings.Contains(err.Error(), "outcome of stage say with key") {
		t.Errorf("the outcome of another key: %v", err)
	}
}
