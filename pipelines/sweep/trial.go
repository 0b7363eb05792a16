package sweep

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// trialFunction is the name of runTrial among the engine's functions.
const trialFunction = "quire.trial"

func init() { engine.Register(trialFunction, runTrial) }

// trial is the message to a worker about a trial.
type trial struct {
	Number int
	Says   string // the varied keys with their values
	Config configs.Config
	YAML   []byte
	Set    stages.PrepResult // its path is below the workdir
	Key    string            // of its training
	Quiet  bool

	end *trialEnd // found by look; nil where the training did not diverge
}

// pipeline returns the stages of a trial: those of a round after prep.
func (t *trial) pipeline(console *report.Console) (*workflow.Pipeline, workflow.Options, error) {
	o := round.Options{Config: t.YAML, Console: console}
	r := round.NewStages(&t.Config, o)
	set := workflow.Stage[*configs.Config, stages.PrepResult]{Name: "set", Version: 1, Config: &t.Config, Keys: []string{}, Artifact: round.SetArtifact, Live: true,
		Run: func(context.Context, *configs.Config, *workflow.Task) (workflow.Product[stages.PrepResult], error) {
			return workflow.Product[stages.PrepResult]{Value: t.Set, Digest: t.Set.ManifestSHA256}, nil
		}}
	p, err := workflow.New(set, r.Start(), r.Train(), r.Evaluate())
	options := o.Workflow(&t.Config)
	options.NoRecord = true
	return p, options, err
}

// look sets the key of a trial's training, and reports whether the trial is done.
func (t *trial) look(ctx context.Context, st *store.Store) (done bool, err error) {
	p, options, err := t.pipeline(report.NewConsole(io.Discard, true))
	if err != nil {
		return false, err
	}
	plan, err := p.Plan(ctx, st, options)
	if err != nil {
		return false, t.named(err)
	}
	t.Key = plan.Stages[0].Key
	if t.end, err = t.diverged(ctx, st); t.end != nil || err != nil {
		return t.end != nil, err
	}
	return !slices.ContainsFunc(plan.Stages, func(s workflow.PlanStage) bool { return s.Action == workflow.ActionRun }), nil
}

func (t *trial) named(err error) error {
	return fmt.Errorf("sweep: trial %d (%s): %w", t.Number, t.Says, err)
}

// result reads the outcome of a trial that is done. Paths are below the workdir.
func (t *trial) result(ctx context.Context, st *store.Store) (*Trial, error) {
	done, err := t.look(ctx, st)
	if err != nil {
		return nil, err
	}
	if !done {
		return nil, t.named(fmt.Errorf("the workers are done, but %s has no result of theirs: they must reach the workdir at the same path; use a shared folder, or gs://", st.URL()))
	}
	if t.end != nil {
		return &Trial{Trial: t.Number, Step: t.end.Step, Run: "runs/" + t.Key, Diverged: t.end.Reason}, nil
	}
	p, options, err := t.pipeline(report.NewConsole(io.Discard, true))
	if err != nil {
		return nil, err
	}
	record, err := p.Run(ctx, st, options)
	if err != nil {
		return nil, t.named(err)
	}
	var run stages.TrainResult
	var loss text.EvaluateResult
	for name, to := range map[string]any{"train": &run, "evaluate": &loss} {
		if err := json.Unmarshal(record.Stage(name).Value, to); err != nil {
			return nil, t.named(fmt.Errorf("result of %s: %w", name, err))
		}
	}
	return &Trial{Trial: t.Number, Nats: &loss.NatsPerChar, Split: loss.Split, Step: run.Step, Parameters: run.Parameters, Run: string(run.Run), Checkpoint: string(run.Best)}, nil
}

// runTrial trains and evaluates a trial, on a worker.
func runTrial(ctx context.Context, item []byte) error {
	var t trial
	if err := gob.NewDecoder(bytes.NewReader(item)).Decode(&t); err != nil {
		return fmt.Errorf("sweep: a trial of %d bytes: %w", len(item), err)
	}
	st, err := store.Open(ctx, t.Config.Workdir)
	if err != nil {
		return t.named(err)
	}
	defer st.Close()
	console := report.NewConsole(os.Stderr, t.Quiet)
	console.Line("sweep: trial %d (%s) begins, in %s", t.Number, t.Says, st.Join("runs/"+t.Key))
	p, options, err := t.pipeline(report.NewPart(os.Stderr, t.Quiet, fmt.Sprintf("sweep: trial %d", t.Number)))
	if err != nil {
		return t.named(err)
	}
	var d *train.DivergedError
	switch _, err = p.Run(ctx, st, options); {
	case errors.As(err, &d):
		console.Line("sweep: trial %d diverged: %v", t.Number, d)
		err = t.note(ctx, st, d)
	case err == nil:
		console.Line("sweep: trial %d is done", t.Number)
	}
	if err != nil {
		return t.named(err)
	}
	return nil
}

// trialEnd is the note on a training that diverged.
type trialEnd struct {
	Step   int64  `json:"step"`
	Reason string `json:"reason"`
}

// divergedName is the note in the directory of a run that diverged: it would
// diverge again, at the same step.
const divergedName = "diverged.json"

func (t *trial) note(ctx context.Context, st *store.Store, d *train.DivergedError) error {
	data, err := store.MarshalSealed(trialEnd{d.Step, d.Error()})
	if err != nil {
		return err
	}
	_, err = st.Put(ctx, "runs/"+t.Key+"/"+divergedName, data)
	return err
}

// diverged reads the note on a training that diverged; nil without a note.
func (t *trial) diverged(ctx context.Context, st *store.Store) (*trialEnd, error) {
	name := "runs/" + t.Key + "/" + divergedName
	data, _, err := st.Read(ctx, name)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	d := new(trialEnd)
	if err == nil {
		err = store.UnmarshalSealed(st.Join(name), data, d)
	}
	if err != nil {
		return nil, t.named(err)
	}
	return d, nil
}
