package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/workflow"
)

// one runs a pipeline of one stage.
func one(t *testing.T, ctx context.Context, limit time.Duration, o workflow.Options, run func(context.Context) error) (*workflow.Record, error) {
	t.Helper()
	p, err := workflow.New(workflow.Stage[any, int]{Name: "one", Version: 1, Artifact: number, Limit: limit,
		Run: func(ctx context.Context, _ any, _ *workflow.Task) (workflow.Product[int], error) {
			return workflow.Product[int]{Value: 1}, run(ctx)
		}})
	if err != nil {
		t.Fatal(err)
	}
	return p.Run(ctx, open(t), o)
}

// TestLimitOrStop: a stage that ends because the round is stopped, or by an error of its
// own, has not exceeded its limit.
func TestLimitOrStop(t *testing.T) {
	broken := errors.New("broken")
	for what, c := range map[string]struct {
		limit time.Duration
		run   func(ctx context.Context, stop func()) error
		want  error
		exit  string
	}{
		"stopped":         {time.Hour, func(ctx context.Context, stop func()) error { stop(); <-ctx.Done(); return ctx.Err() }, context.Canceled, ""},
		"broken":          {time.Hour, func(context.Context, func()) error { return broken }, broken, workflow.Failed},
		"late":            {time.Millisecond, func(ctx context.Context, _ func()) error { <-ctx.Done(); return ctx.Err() }, nil, workflow.Timeout},
		"late and broken": {time.Millisecond, func(ctx context.Context, _ func()) error { <-ctx.Done(); return broken }, nil, workflow.Timeout},
	} {
		ctx, stop := context.WithCancel(ctx)
		r, err := one(t, ctx, c.limit, workflow.Options{}, func(ctx context.Context) error { return c.run(ctx, stop) })
		stop()
		var limit *workflow.LimitError
		if errors.As(err, &limit) != (c.want == nil) || c.want != nil && !errors.Is(err, c.want) || c.exit != "" && (r == nil || r.Exit != c.exit) {
			t.Errorf("%s: %+v, %v", what, r, err)
		}
	}
}

// TestRecordAfterStop: a round that is stopped when all of its stages are done has its
// record, and the pointer to it.
func TestRecordAfterStop(t *testing.T) {
	for _, failed := range []error{nil, errors.New("judged")} {
		ctx, stop := context.WithCancel(ctx)
		st := open(t)
		p, err := workflow.New(workflow.Stage[any, int]{Name: "one", Version: 1, Artifact: number,
			Run: func(context.Context, any, *workflow.Task) (workflow.Product[int], error) {
				return workflow.Product[int]{Value: 1}, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Run(ctx, st, workflow.Options{Judge: func(*workflow.Record) error { stop(); return failed }})
		if !errors.Is(err, failed) || r == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		last, err := workflow.Latest(t.Context(), st, func(err error) { t.Error(err) })
		if err != nil || last == nil || last.Round != r.Round || (last.Exit == workflow.Done) != (failed == nil) {
			t.Errorf("the newest record is %+v, %v, want %+v", last, err, r)
		}
	}
}

// TestPlanWaits: an error of a plan's look ahead counts only where it is not the work of a
// stage that makes its files again.
func TestPlanWaits(t *testing.T) {
	st := open(t)
	reads := func(ctx context.Context, task *workflow.Task) error {
		_, _, err := st.Read(ctx, "made")
		if err != nil {
			return fmt.Errorf("%s reads: %w", task.Stage, err)
		}
		return nil
	}
	failing := map[string]error{}
	p, err := workflow.New(
		workflow.Stage[any, int]{Name: "make", Version: 1, Artifact: number,
			Run: func(ctx context.Context, _ any, _ *workflow.Task) (out workflow.Product[int], err error) {
				_, err = st.Put(ctx, "made", []byte("x"))
				return workflow.Product[int]{Value: 1, Files: []workflow.File{{Name: "made"}}}, err
			}},
		workflow.Stage[any, int]{Name: "look", Version: 1, Artifact: "looked", Live: true, Inputs: []workflow.Input{number},
			Run: func(ctx context.Context, _ any, task *workflow.Task) (workflow.Product[int], error) {
				return workflow.Product[int]{Value: 1}, errors.Join(reads(ctx, task), failing["look"])
			}},
		workflow.Stage[any, int]{Name: "count", Version: 1, Artifact: "counted", Inputs: []workflow.Input{number},
			Estimate: func(ctx context.Context, _ any, task *workflow.Task) (workflow.Cost, error) {
				return workflow.Cost{Steps: 3}, errors.Join(reads(ctx, task), failing["count"])
			},
			Run: func(context.Context, any, *workflow.Task) (workflow.Product[int], error) {
				return workflow.Product[int]{Value: 2}, nil
			}},
		workflow.Stage[any, int]{Name: "say", Version: 1, Artifact: "said", Inputs: []workflow.Input{workflow.Artifact[int]("looked")},
			Run: func(context.Context, any, *workflow.Task) (workflow.Product[int], error) {
				return workflow.Product[int]{Value: 3}, nil
			}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(t.Context(), st, workflow.Options{}); err != nil {
		t.Fatal(err)
	}
	force := workflow.Options{Force: []string{"count"}}
	if plan, err := p.Plan(t.Context(), st, force); err != nil || plan.Stages[1].Cost == nil || plan.Stages[1].Cost.Steps != 3 || plan.Stages[2].Action != workflow.ActionSkip {
		t.Errorf("before: %+v, %v", plan, err)
	}
	for _, stage := range []string{"look", "count"} {
		failing[stage] = errors.New("broken " + stage)
		if plan, err := p.Plan(t.Context(), st, force); !errors.Is(err, failing[stage]) {
			t.Errorf("%s fails, and nothing is to be made again: %+v, %v", stage, plan, err)
		}
		delete(failing, stage)
	}
	if err := st.Delete(t.Context(), "made", ""); err != nil {
		t.Fatal(err)
	}
	plan, err := p.Plan(t.Context(), st, force)
	if err != nil || len(plan.Stages) != 3 || plan.Stages[1].Cost != nil {
		t.Fatalf("while make is to run: %+v, %v", plan, err)
	}
	if why := fmt.Sprint(plan.Stages[2].Action, plan.Stages[2].Reasons); why != "run[looked depends on make, which runs]" {
		t.Errorf("say: %s", why)
	}
	stopped, stop := context.WithCancel(t.Context())
	failing["look"] = errors.New("stopped")
	p2, err := workflow.New(workflow.Stage[any, int]{Name: "make", Version: 1, Artifact: number,
		Run: func(ctx context.Context, _ any, _ *workflow.Task) (out workflow.Product[int], err error) {
			return out, errors.New("not run")
		}},
		workflow.Stage[any, int]{Name: "look", Version: 1, Artifact: "looked", Live: true, Inputs: []workflow.Input{number},
			Run: func(ctx context.Context, _ any, task *workflow.Task) (out workflow.Product[int], err error) {
				stop()
				return out, ctx.Err()
			}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p2.Plan(stopped, st, workflow.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while it looks: %v", err)
	}
}

// TestPlanJudge: a plan asks Judge about the artifacts that stay, and ends with its error,
// beside all decisions.
func TestPlanJudge(t *testing.T) {
	l := newLab(t)
	p, err := workflow.New(l.stages()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx, l.st, workflow.Options{}); err != nil {
		t.Fatal(err)
	}
	for force, want := range map[string]string{"": "look live 3, multiply 6, say 6!", "say": "look live 3, multiply 6", "multiply": "look live 3, say 6!"} {
		said, wrong := "", errors.New("wrong")
		o := workflow.Options{Judge: func(r *workflow.Record) error {
			for i, s := range r.Stages {
				live := map[bool]string{true: " live"}[s.Live]
				said += fmt.Sprint([]string{"", ", "}[min(i, 1)], s.Name, live, " ", digits(s.Value))
			}
			return wrong
		}}
		if force != "" {
			o.Force = []string{force}
		}
		plan, err := p.Plan(ctx, l.st, o)
		if !errors.Is(err, wrong) || plan == nil || len(plan.Stages) != 2 || said != want {
			t.Errorf("forced %q: judged %q, want %q; %+v, %v", force, said, want, plan, err)
		}
	}
}

// digits is a value of the lab without its quotes and braces.
func digits(value json.RawMessage) string {
	return strings.Trim(strings.TrimPrefix(strings.Join(strings.Fields(string(value)), ""), `{"N":`), `"}`)
}

// TestMessage: the record has the message that the options give an error.
func TestMessage(t *testing.T) {
	broken := errors.New("broken")
	for want, message := range map[string]func(error) string{"broken": nil, "broken; mend it": func(err error) string { return err.Error() + "; mend it" }} {
		r, err := one(t, ctx, 0, workflow.Options{Message: message}, func(context.Context) error { return broken })
		if !errors.Is(err, broken) || r == nil || r.Error == nil || r.Error.Message != want {
			t.Errorf("want %q: %+v, %v", want, r, err)
		}
	}
}

// TestNoNews: a round that ends as the last one did is that round; one without news that
// ends in another way has no record.
func TestNoNews(t *testing.T) {
	l := newLab(t)
	p, err := workflow.New(l.stages()...)
	if err != nil {
		t.Fatal(err)
	}
	wrong := errors.New("wrong")
	judge := workflow.Options{Judge: func(*workflow.Record) error { return wrong }}
	first, err := p.Run(ctx, l.st, judge)
	if !errors.Is(err, wrong) || first == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := p.Run(ctx, l.st, judge); !errors.Is(err, wrong) || again == nil || again.Round != first.Round {
		t.Errorf("again: %+v, %v, want round %s", again, err, first.Round)
	}
	judge.Class = func(error) string { return "other" }
	if other, err := p.Run(ctx, l.st, judge); !errors.Is(err, wrong) || other != nil {
		t.Errorf("in another way: %+v, %v", other, err)
	}
	all, err := workflow.Records(ctx, l.st, func(err error) { t.Error(err) })
	if err != nil || len(all) != 1 {
		t.Errorf("%d records, %v", len(all), err)
	}
}

// TestSizeOfFile: a file that is shorter or longer is damaged, and the reason says both sizes.
func TestSizeOfFile(t *testing.T) {
	for text, want := range map[string]string{"0 of": "it has 4 bytes, not 6", "0 of 6, and more": "it has 16 bytes, not 6"} {
		l := newLab(t)
		p, err := workflow.New(l.stages()...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Run(ctx, l.st, workflow.Options{}); err != nil {
			t.Fatal(err)
		}
		plan, err := p.Plan(ctx, l.st, workflow.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.st.Replace(ctx, plan.Stages[0].Key+"/end", []byte(text)); err != nil {
			t.Fatal(err)
		}
		var damage *workflow.DamageError
		if _, err := p.Run(ctx, l.st, workflow.Options{}); !errors.As(err, &damage) || damage.Reason != want {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
