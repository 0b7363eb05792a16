package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// trial is the message to a worker about a trial, encoded by gob.
type trial struct {
	Number int
	Values string // of the varied keys: model.hidden=128 train.lr=0.001
	Config configs.Config
	YAML   []byte            // the resolved config, for the run's config.yaml
	Set    stages.PrepResult // its path is below the workdir
	Key    string            // of the training; set by plan
	Quiet  bool              // the worker writes warnings only

	end *run.Divergence // set by plan; nil where the training did not diverge
}

// run is the directory of the trial's training, below the workdir.
func (t *trial) run() string { return "runs/" + t.Key }

// named adds the trial to an error.
func (t *trial) named(err error) error {
	return fmt.Errorf("sweep: trial %d (%s): %w", t.Number, t.Values, err)
}

// pipeline returns the stages of a trial: those of a round from the set to the loss.
func (t *trial) pipeline(console *report.Console) (*workflow.Pipeline, workflow.Options, error) {
	o := round.Options{Config: t.YAML, Console: console}
	r := round.NewStages(&t.Config, o)
	set := workflow.Stage[*configs.Config, stages.PrepResult]{Name: "set", Version: 1, Config: &t.Config, Keys: []string{},
		Artifact: round.SetArtifact, Live: true,
		Run: func(context.Context, *configs.Config, *workflow.Task) (workflow.Product[stages.PrepResult], error) {
			return workflow.Product[stages.PrepResult]{Value: t.Set, Digest: t.Set.ManifestSHA256}, nil
		}}
	p, err := workflow.New(set, r.Start(), r.Train(), r.Evaluate())
	options := o.Workflow(&t.Config)
	options.NoRecord = true
	return p, options, err
}

// plan sets t.Key and t.end, and reports whether the trial is done: it has a loss, or
// its training diverged.
func (t *trial) plan(ctx context.Context, st *store.Store) (done bool, err error) {
	p, options, err := t.pipeline(report.NewConsole(io.Discard, true))
	if err != nil {
		return false, t.named(err)
	}
	plan, err := p.Plan(ctx, st, options)
	if err != nil {
		return false, t.named(err)
	}
	t.Key = plan.Stages[0].Key
	dir, err := st.Sub(t.run())
	if err == nil {
		t.end, err = run.ReadDivergence(ctx, dir)
	}
	if err != nil {
		return false, t.named(err)
	}
	runs := func(s workflow.PlanStage) bool { return s.Action == workflow.ActionRun }
	return t.end != nil || !slices.ContainsFunc(plan.Stages, runs), nil
}

// claim takes the key of the trial, so that its training stays until the table names it.
func (t *trial) claim(ctx context.Context, st *store.Store, used *claim.Claim) error {
	for {
		if _, err := t.plan(ctx, st); err != nil {
			return err
		}
		// A claim that was gone is taken again: what went meanwhile is made again.
		again, err := used.Take(ctx, t.Key)
		if err != nil {
			return t.named(err)
		}
		if !again {
			return nil
		}
	}
}

// unclaim ends the claim of a sweep. The keys of one that is to be started again go on to
// be claimed.
func unclaim(ctx context.Context, used *claim.Claim, err error) error {
	if err != nil {
		return used.Leave(ctx)
	}
	return used.Release(ctx)
}

// work trains and evaluates the trial, or notes that its training diverged. It writes
// progress to w.
func (t *trial) work(ctx context.Context, w io.Writer) error {
	st, err := store.Open(ctx, t.Config.Workdir)
	if err != nil {
		return t.named(err)
	}
	defer st.Close()
	console := report.NewConsole(w, t.Quiet)
	console.Line("sweep: trial %d (%s) begins, in %s", t.Number, t.Values, st.Join(t.run()))
	p, options, err := t.pipeline(report.NewPart(w, t.Quiet, fmt.Sprintf("sweep: trial %d", t.Number)))
	if err != nil {
		return t.named(err)
	}
	var d *train.DivergedError
	switch _, err = p.Run(ctx, st, options); {
	case errors.As(err, &d):
		console.Line("sweep: trial %d diverged: %v", t.Number, d)
		var dir *store.Store
		if dir, err = st.Sub(t.run()); err == nil {
			err = run.WriteDivergence(ctx, dir, run.Divergence{Step: d.Step, Reason: d.Error()})
		}
	case err == nil:
		console.Line("sweep: trial %d is done", t.Number)
	}
	if err != nil {
		return t.named(err)
	}
	return nil
}

// result reads the outcome of a trial that is done. Paths are below the workdir.
func (t *trial) result(ctx context.Context, st *store.Store) (*Trial, error) {
	done, err := t.plan(ctx, st)
	if err != nil {
		return nil, err
	}
	if !done {
		return nil, t.named(fmt.Errorf("the workers are done, but %s has no result of theirs: "+
			"they must reach the workdir at the same path; use a shared folder, or gs://", st.URL()))
	}
	if t.end != nil {
		return &Trial{Trial: t.Number, Step: t.end.Step, Run: t.run(), Diverged: t.end.Reason}, nil
	}
	p, options, err := t.pipeline(report.NewConsole(io.Discard, true))
	if err != nil {
		return nil, t.named(err)
	}
	record, err := p.Run(ctx, st, options)
	if err != nil {
		return nil, t.named(err)
	}
	var trained stages.TrainResult
	var loss text.EvaluateResult
	for name, to := range map[string]any{"train": &trained, "evaluate": &loss} {
		if err := json.Unmarshal(record.Stage(name).Value, to); err != nil {
			return nil, t.named(fmt.Errorf("result of %s: %w", name, err))
		}
	}
	return &Trial{Trial: t.Number, Nats: &loss.NatsPerChar, Split: loss.Split, Step: trained.Step, Parameters: trained.Parameters,
		Run: string(trained.Run), Checkpoint: string(trained.Best)}, nil
}

// testNats measures a checkpoint, a path below the workdir, on the split test of the
// trial's set. It returns nil for a set without the split.
func (t *trial) testNats(ctx context.Context, checkpoint string) (*float64, error) {
	if t.Set.Sequences.Test == 0 {
		return nil, nil
	}
	m, err := text.OpenModel(ctx, store.Locate(t.Config.Workdir, checkpoint), "best")
	if err != nil {
		return nil, t.named(err)
	}
	loss, err := text.Evaluate(ctx, m, t.Set.Set.In(t.Config.Workdir), "test")
	if err != nil {
		return nil, t.named(err)
	}
	return &loss.NatsPerChar, nil
}
