package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

var ctx = context.Background()

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// Artifacts of the lab's pipeline: a number that is looked at, its multiple in a
// file, and a text about that.
const (
	number  workflow.Artifact[int]    = "number"
	product workflow.Artifact[result] = "product"
	words   workflow.Artifact[string] = "words"
)

type result struct{ N int }

type settings struct {
	Factor int    `json:"factor"`
	Log    string `json:"log"`
	Style  style  `json:"style"`
}

type style struct {
	Upper bool   `json:"upper"`
	Mark  string `json:"mark"`
}

// lab is a pipeline of three stages that can be told to fail.
type lab struct {
	st      *store.Store
	number  int
	config  settings
	version int
	fail    map[string]error // of stages, until they are tried again
	stale   string           // what say's Check answers
	o       workflow.Options
	said    []string // what the observer was told
	ran     []string // the stages that ran
}

func newLab(t *testing.T) *lab {
	return &lab{st: open(t), number: 3, config: settings{Factor: 2, Style: style{Mark: "!"}}, version: 1, fail: map[string]error{}}
}

func (l *lab) try(stage string) error {
	l.ran = append(l.ran, stage)
	err := l.fail[stage]
	delete(l.fail, stage)
	return err
}

func (l *lab) stages() []workflow.Node {
	look := workflow.Stage[any, int]{Name: "look", Version: 1, Artifact: number, Live: true,
		Run: func(context.Context, any, *workflow.Task) (workflow.Product[int], error) {
			return workflow.Product[int]{Value: l.number}, nil
		}}
	multiply := workflow.Stage[settings, result]{Name: "multiply", Version: l.version, Config: l.config, Keys: []string{"factor"},
		Inputs: []workflow.Input{number}, Artifact: product,
		Estimate: func(_ context.Context, c settings, task *workflow.Task) (workflow.Cost, error) {
			n, err := number.Of(task)
			return workflow.Cost{Steps: int64(n * c.Factor)}, err
		},
		Run: func(ctx context.Context, c settings, task *workflow.Task) (out workflow.Product[result], err error) {
			n, err := number.Of(task)
			if err == nil {
				err = l.try("multiply")
			}
			if err != nil {
				return out, err
			}
			out.Value = result{n * c.Factor}
			out.Files = []workflow.File{{Name: task.Key + "/end"}, {Name: task.Key + "/data"}}
			for i, f := range out.Files {
				if _, err := task.Store.Put(ctx, f.Name, fmt.Appendf(nil, "%d of %d", i, out.Value.N)); err != nil {
					return out, err
				}
			}
			return out, nil
		}}
	say := workflow.Stage[settings, string]{Name: "say", Version: 1, Config: l.config, Keys: []string{"style"},
		Inputs: []workflow.Input{product}, Artifact: words,
		Check: func(context.Context, settings, *workflow.Task, string) (string, error) { return l.stale, nil },
		Run: func(_ context.Context, c settings, task *workflow.Task) (out workflow.Product[string], err error) {
			p, err := product.Of(task)
			if err == nil {
				err = l.try("say")
			}
			out.Value = fmt.Sprint(p.N, c.Style.Mark)
			return out, err
		}}
	return []workflow.Node{look, multiply, say}
}

func (l *lab) pipeline(t *testing.T) *workflow.Pipeline {
	t.Helper()
	p, err := workflow.New(l.stages()...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) round(t *testing.T) (*workflow.Record, error) {
	t.Helper()
	l.said, l.ran = nil, nil
	l.o.Config = l.config
	l.o.Observe = func(e workflow.Event) {
		l.said = append(l.said, fmt.Sprintf("%s %s: %s", e.Stage, e.Kind, strings.Join(e.Why, "; ")))
	}
	return l.pipeline(t).Run(ctx, l.st, l.o)
}

// run wants a round that succeeds, and that ran these stages.
func (l *lab) run(t *testing.T, want ...string) *workflow.Record {
	t.Helper()
	r, err := l.round(t)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.ran, want) {
		t.Errorf("%v ran, want %v: %q", l.ran, want, l.said)
	}
	return r
}

// plan wants these lines, one a stage, and that nothing changes.
func (l *lab) plan(t *testing.T, want ...string) *workflow.Plan {
	t.Helper()
	before, err := l.st.List(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.pipeline(t).Plan(ctx, l.st, l.o)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range p.Stages {
		lines = append(lines, fmt.Sprintf("%s %s: %s", s.Action, s.Name, strings.ReplaceAll(strings.Join(s.Reasons, "; "), l.st.URL(), "ST")))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the plan is\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if after, err := l.st.List(ctx, ""); err != nil || !slices.Equal(after, before) {
		t.Errorf("the plan has changed %v to %v, %v", before, after, err)
	}
	return p
}

const (
	mulKey   = "dbf9416de895f25239d5" // of factor 2 and number 3
	mulSkip  = "skip multiply: inputs, settings and code are as before, and ST/" + mulKey + "/end is intact"
	saySkip  = "skip say: inputs, settings and code are as before"
	sayAfter = "run say: product comes from multiply, which runs"
)

func TestReasons(t *testing.T) {
	l := newLab(t)
	l.plan(t, "run multiply: no earlier result", sayAfter)
	r := l.run(t, "multiply", "say")
	if s := r.Stage("say"); string(s.Value) != `"6!"` || r.Exit != workflow.Done || r.Stage("multiply").Key != mulKey {
		t.Fatalf("the record is %+v", r)
	}
	l.plan(t, mulSkip, saySkip)
	if again := l.run(t); again.Round != r.Round {
		t.Errorf("a round without anything to do is %s, want the last, %s", again.Round, r.Round)
	}

	l.config.Log, l.config.Style.Mark = "often", "?"
	l.plan(t, mulSkip, `run say: style.mark: "!" → "?"`)
	l.config.Style.Upper, l.version, l.config.Factor = true, 2, 3
	l.plan(t, "run multiply: version of its code: 1 → 2; factor: 2 → 3",
		`run say: style.mark: "!" → "?"; style.upper: false → true; product comes from multiply, which runs`)

	l.config, l.version, l.number = settings{Factor: 3, Style: style{Mark: "!"}}, 1, 2 // another way to 6
	l.plan(t, "run multiply: factor: 2 → 3; number: 4e07408562be → d4735e3a265e", sayAfter)
	l.run(t, "multiply")

	l.config.Factor, l.number = 2, 3
	l.plan(t, "skip multiply: inputs, settings and code are those of an earlier round, and ST/"+mulKey+"/end is intact", saySkip)
	if third := l.run(t); third.Round == r.Round {
		t.Error("a round that is not like the last has no record")
	}
	l.stale = "nobody hears it"
	l.plan(t, mulSkip, "run say: nobody hears it")
	l.stale = ""
	l.o.Force = []string{"multiply"}
	l.plan(t, "run multiply: forced", saySkip) // its product is known
	l.run(t, "multiply")
}

func TestMissingAndDamaged(t *testing.T) {
	l := newLab(t)
	l.run(t, "multiply", "say")
	remove := func(name string) {
		t.Helper()
		if err := l.st.Delete(ctx, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	remove("stages/say/" + l.run(t).Stage("say").Key + ".json")
	l.plan(t, mulSkip, "run say: ST/stages/say/70c6b1427cd6c7a0d452.json is missing")
	l.run(t, "say")
	remove(mulKey + "/end")
	l.plan(t, "run multiply: ST/"+mulKey+"/end is missing", saySkip)
	l.run(t, "multiply")
	remove(mulKey + "/data")
	l.plan(t, "run multiply: ST/"+mulKey+"/data is missing", saySkip)
	l.run(t, "multiply")

	remove(mulKey + "/data")
	remove(mulKey + "/end")
	if _, err := l.st.Put(ctx, mulKey+"/data", []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	_, planErr := l.pipeline(t).Plan(ctx, l.st, l.o)
	_, err := l.round(t)
	if fmt.Sprint(planErr) != fmt.Sprint(err) {
		t.Errorf("the plan ends with %v, the round with %v", planErr, err)
	}
	var damage *workflow.DamageError
	if !errors.As(err, &damage) || damage.Stage != "multiply" || len(l.ran) != 0 {
		t.Fatalf("with a file damaged and another missing, %v ran: %v", l.ran, err)
	}
	r, err := workflow.Latest(ctx, l.st, func(err error) { t.Error(err) })
	if err != nil || r.Exit != workflow.Damaged || r.Error.Stage != "multiply" {
		t.Errorf("the record is %+v, %v", r, err)
	}
	remove(mulKey + "/data") // as its error advises
	l.run(t, "multiply")
	remove(mulKey + "/data")
	if _, err := l.st.Put(ctx, mulKey+"/data", []byte("1 of 7")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.round(t); !errors.As(err, &damage) || !strings.Contains(err.Error(), "its sha256 is") {
		t.Errorf("with another file: %v", err)
	}
}
