// Package round is one pass of the pipeline, from a corpus to a sample: the
// shipped stages, their plan, their records, notices, and rounds on a schedule.
package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Options are the inputs of Run and Plan beside the config.
type Options struct {
	ID      string // of the round; empty: its start time
	Runner  string // of the stages on Beam: direct, prism, flink or dataflow
	Verbose bool   // Beam's log goes to stderr
	Config  []byte // the resolved config, for the run's config.yaml
	Console *report.Console

	// AnyPrompt says that nobody has set the prompt of the config. Where the text lacks
	// its characters, the sample then begins as the text does; else that is an error.
	AnyPrompt bool

	From, To string   // the first and the last stage of the round; empty: all
	Force    []string // stages that run although they are done
	Verify   bool     // reads everything again, not only what seems changed

	// Remedy returns what to do about an error, for its message in records, notices and on
	// the console; nil: nothing is added.
	Remedy func(error) string

	// Final reports whether this process can make no other round after an error of one;
	// nil: it always can.
	Final func(error) bool

	// Report writes the page of a round that has its record; nil: none does.
	Report Reporter

	// Watch is told what Retrain does; nil: nobody is.
	Watch Watch

	// Clock is the wall clock of schedules; nil is time.Now.
	Clock func() time.Time

	// Stages are the program's own. A stage takes the place of the shipped stage that
	// makes the same artifact; the others run beside the shipped ones, before the
	// stages that need their artifacts.
	Stages []Stage
}

// A Reporter writes the page of a round of a workdir, once, and returns its path; empty: the
// round has no record. Its error is a warning: no round fails for its page.
type Reporter func(ctx context.Context, workdir, id string) (path string, err error)

// Result describes a round that is done.
type Result struct {
	Round    string                     `json:"round"`
	Stages   map[string]json.RawMessage `json:"stages"`
	Promoted string                     `json:"promoted"` // path of the promoted checkpoint; empty when the gate refused
	Sample   string                     `json:"sample"`
	Record   string                     `json:"record"`
	Report   string                     `json:"report,omitempty"` // its page
	Set      string                     `json:"set"`
	Run      string                     `json:"run"`
}

// Run takes a corpus all the way to a sample: prep, train, evaluate, gate,
// promote, sample, and o.Stages. A stage that is done is skipped. Artifacts lie below
// the workdir, in sets/<key>, runs/<key> and those of package promotion, beside the
// files of package workflow.
//
// When the gate refuses the model, the error is gate.ErrRefused, and the result has
// the reason. When ctx is cancelled in training, the error is train.ErrInterrupted.
func Run(ctx context.Context, c *configs.Config, o Options) (*Result, error) {
	st, err := text.OpenWorkdir(ctx, c)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	p, record, err := attempt(ctx, c, o, st)
	if p == nil {
		return nil, err
	}
	at := o.report(ctx, c.Workdir, record)
	tell(ctx, c, o, record, err)
	if record == nil || err != nil && !errors.Is(err, gate.ErrRefused) {
		return nil, err
	}
	res, rerr := result(p, c.Workdir, st, record)
	if rerr != nil {
		return nil, rerr
	}
	res.Report = at
	return res, err
}

// reportTime bounds the writing of a round's page, which a round that is told to stop writes
// too.
const reportTime = 30 * time.Second

// report writes the page of a round, and returns its path; empty: there is none.
func (o Options) report(ctx context.Context, workdir string, r *workflow.Record) string {
	if o.Report == nil || r == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime)
	defer cancel()
	at, err := o.Report(ctx, workdir, r.Round)
	if err != nil {
		o.Console.Warn("the report of round %s is not written: %v", r.Round, err)
		return ""
	}
	return at
}

// attempt runs a round in st. The pipeline is nil where its stages do not fit together.
func attempt(ctx context.Context, c *configs.Config, o Options, st *store.Store) (*workflow.Pipeline, *workflow.Record, error) {
	p, err := Pipeline(c, o)
	if err != nil {
		return nil, nil, err
	}
	if err := promotion.Adopt(ctx, st); err != nil && !errors.Is(err, store.ErrDamaged) && ctx.Err() == nil {
		o.Console.Warn("%v", err) // of a damaged promoted.json the stages speak
	}
	options := o.Workflow(c)
	if err := before(ctx, st, c, o, true); err != nil {
		return p, nil, err
	}
	options.Observe = func(e workflow.Event) { Announce(o.Console, e) }
	r, err := p.Run(ctx, st, options)
	return p, r, err
}

// before returns, before any work, the error of a round that would run a stage which
// cannot run: on this machine a network that is too large for it, whatever the vocabulary;
// with ask on a node what the node lacks.
func before(ctx context.Context, st *store.Store, c *configs.Config, o Options, ask bool) error {
	var large error
	if !c.Node.Runs(remote.Train) {
		large = stages.CheckMemory(c, stages.SmallestVocabulary, c.Prep.SeqLength)
	}
	ask = ask && c.Node.Kind != configs.NoNode && len(c.Node.Stages) > 0
	if large == nil && !ask {
		return nil
	}
	quiet, w := o, o.Workflow(c)
	quiet.Console, w.Judge = report.NewConsole(io.Discard, true), nil // the round itself tells of the corpus
	p, err := Pipeline(c, quiet)
	if err != nil {
		return err
	}
	plan, err := p.Plan(ctx, st, w)
	if err != nil && large == nil {
		return ctx.Err() // the round comes to the same error, and has a record of it
	}
	if err != nil {
		return err
	}
	runs := func(s workflow.PlanStage) bool { return s.Action == workflow.ActionRun }
	if large != nil && slices.ContainsFunc(plan.Stages, func(s workflow.PlanStage) bool { return s.Name == remote.Train && runs(s) }) {
		return large
	}
	if !ask || !slices.ContainsFunc(plan.Stages, func(s workflow.PlanStage) bool { return s.On != "" && runs(s) }) {
		return nil
	}
	node, err := NewStages(c, o).client(st)
	if err != nil {
		return err
	}
	return node.Check(ctx)
}

// Plan returns the decisions of Run with the same options, and an error where Run would
// end with it: gate.ErrRefused comes with all decisions.
func Plan(ctx context.Context, c *configs.Config, o Options) (*workflow.Plan, error) {
	p, err := Pipeline(c, o)
	if err != nil {
		return nil, err
	}
	st, err := text.OpenWorkdir(ctx, c)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	options := o.Workflow(c)
	if err := before(ctx, st, c, o, false); err != nil {
		return nil, err
	}
	options.Observe = func(e workflow.Event) { Announce(o.Console, e) } // of a plan's events there are only warnings
	plan, err := p.Plan(ctx, st, options)
	gated := func(s workflow.PlanStage) bool {
		return s.Name == "gate" && s.Action == workflow.ActionRun && s.Key == ""
	}
	if err == nil && slices.ContainsFunc(plan.Stages, gated) { // it will compare a new model with the one in service
		var gone *promotion.ModelError
		if _, failed := promotion.Open(ctx, c.Workdir); errors.As(failed, &gone) {
			err = unusable(gone)
		}
	}
	return plan, err
}

// Workflow returns the options for a pipeline of these stages.
func (o Options) Workflow(c *configs.Config) workflow.Options {
	return workflow.Options{ID: o.ID, Config: c, From: o.From, To: o.To, Force: o.Force, Verify: o.Verify,
		Attempts: c.Round.Attempts, Pause: time.Duration(c.Round.PauseSeconds * float64(time.Second)),
		Versions: versions(), Host: host(), Judge: judge, Class: class, Message: o.message}
}

// message is the text of an error with what to do about it, once.
func (o Options) message(err error) string {
	if o.Remedy == nil || errors.As(err, new(*explained)) {
		return err.Error()
	}
	return err.Error() + o.Remedy(err)
}

// Announce tells the console of an event.
func Announce(console *report.Console, e workflow.Event) {
	why := strings.Join(e.Why, "; ")
	if e.Stage != "" {
		console = console.With("stage", e.Stage)
	}
	switch e.Kind {
	case workflow.Skips:
		console.Line("%-9s nothing to do: %s", e.Stage, why)
	case workflow.Runs:
		console.Line("%-9s runs: %s", e.Stage, why)
	case workflow.Warns:
		console.Warn("%s", why)
	default:
		console.Warn("%s %s: %s", e.Stage, e.Kind, why)
	}
}

// judge counts a round as failed when its gate refused.
func judge(r *workflow.Record) error {
	d, s, err := DecisionArtifact.Recorded(r)
	if s == nil || err != nil || d.Passed {
		return err
	}
	return fmt.Errorf("round: %w", &gate.RefusedError{Result: &d})
}

// Classes of errors beside those of workflow: the gate refused, and a mistake in
// what the user has written.
const (
	refused = "refused"
	users   = "user"
)

// class gives classes to errors of this module that workflow does not know.
func class(err error) string {
	var config *configs.Error
	var usage *engine.UsageError
	var char *vocab.CharError
	var there *node.ExitError
	switch {
	case errors.Is(err, gate.ErrRefused):
		return refused
	case errors.Is(err, train.ErrInterrupted):
		return workflow.Interrupted
	case errors.As(err, &config), errors.As(err, &usage), errors.As(err, &char), errors.As(err, new(*memory.ShortError)),
		errors.As(err, &there) && there.Code == node.WrongUsage:
		return users
	}
	return ""
}

// versions says what program made a round.
func versions() map[string]string {
	v := map[string]string{"go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		v["quire"] = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
				v[s.Key] = s.Value
			}
		}
	}
	return v
}

// host says on what machine a round was made.
func host() map[string]string {
	h := map[string]string{"platform": runtime.GOOS + "/" + runtime.GOARCH, "cpus": fmt.Sprint(runtime.NumCPU())}
	if name, err := os.Hostname(); err == nil {
		h["name"] = name
	}
	if v, err := kernel.Variant(); err == nil {
		h["variant"] = fmt.Sprint(v)
	}
	return h
}

// result returns the result of a round from its record, with paths that can be
// opened from here.
func result(p *workflow.Pipeline, workdir string, st *store.Store, r *workflow.Record) (*Result, error) {
	res := &Result{Round: r.Round, Stages: map[string]json.RawMessage{}, Record: st.Join(workflow.RecordName(r.Round))}
	for i := range r.Stages {
		s := &r.Stages[i]
		if s.Live || s.Digest == "" {
			continue
		}
		var err error
		if res.Stages[s.Name], err = p.Located(s, workdir); err != nil {
			return nil, err
		}
	}
	set, _, err1 := SetArtifact.Recorded(r)
	run, _, err2 := ModelArtifact.Recorded(r)
	decision, _, err3 := DecisionArtifact.Recorded(r)
	promoted, _, err4 := PromotionArtifact.Recorded(r)
	sample, _, err5 := SampleArtifact.Recorded(r)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	res.Set, res.Run, res.Sample = set.Set.In(workdir), run.Run.In(workdir), sample.Text
	if decision.Passed && promoted.Checkpoint != "" {
		res.Promoted = store.Locate(workdir, promoted.Checkpoint)
	}
	return res, nil
}
