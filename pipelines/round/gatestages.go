package round

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Evaluate is the stage that measures the loss of the model.
func (r *Stages) Evaluate() workflow.Node {
	return stage[text.EvaluateResult]{Name: "evaluate", Version: 2, Limit: limit(r.Config.Round.LimitMinutes.Evaluate),
		Config: r.Config, Keys: []string{},
		Inputs: []workflow.Input{SetArtifact, ModelArtifact}, Artifact: EvaluationArtifact, On: r.on(remote.Evaluate),
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[text.EvaluateResult], err error) {
			set, run, err := trained(task)
			if err != nil {
				return out, err
			}
			res, err := r.evaluated(ctx, c, task, set.Set, run.Best)
			if err != nil {
				return out, err
			}
			r.Options.Console.Line("evaluate: %v", res)
			res.Checkpoint = run.Best
			out.Value = *res
			return out, nil
		}}
}

// trained returns the set and the run of the model that a stage judges.
func trained(task *workflow.Task) (set stages.PrepResult, run stages.TrainResult, err error) {
	if set, err = SetArtifact.Of(task); err == nil {
		run, err = ModelArtifact.Of(task)
	}
	return set, run, err
}

// evaluated measures the model here or on the node.
func (r *Stages) evaluated(ctx context.Context, c *configs.Config, task *workflow.Task, set, best store.Path) (*text.EvaluateResult, error) {
	node, err := r.node(task, remote.Evaluate)
	if err != nil {
		return nil, err
	}
	if node != nil {
		file, _ := ModelArtifact.File(task, string(best))
		return node.Evaluate(ctx, remote.Measure{Key: task.Key, Set: string(set), Checkpoint: string(best), SHA256: file.SHA256})
	}
	m, err := r.open(ctx, task)
	if err != nil {
		return nil, err
	}
	return text.Evaluate(ctx, m, set.In(c.Workdir), "")
}

// Drift is the live stage that compares the set with the last round's. Its figures are
// for the record: nothing depends on them.
func (r *Stages) Drift() workflow.Node {
	return stage[DriftResult]{Name: "drift", Version: 1, Config: r.Config, Keys: []string{},
		Inputs: []workflow.Input{SetArtifact}, Artifact: DriftArtifact, Live: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[DriftResult], err error) {
			set, err := SetArtifact.Of(task)
			if err != nil {
				return out, err
			}
			out.Digest = set.ManifestSHA256                               // whatever it is compared with
			last, err := workflow.Latest(ctx, task.Store, func(error) {}) // the round has told of damage
			if err != nil {
				return out, err
			}
			before, s, err := SetArtifact.Recorded(last)
			if s == nil || err != nil {
				return out, err
			}
			if before.Set == set.Set { // read nothing
				out.Value = DriftResult{Against: before.Set, Chars: set.Chars, CharsBefore: set.Chars, UnigramNats: new(float64)}
				return out, nil
			}
			out.Value, err = r.drift(ctx, before.Set, set.Set)
			return out, err
		}}
}

// drift compares two sets below the workdir. Where the older one cannot be opened, it
// warns and compares nothing.
func (r *Stages) drift(ctx context.Context, before, now store.Path) (d DriftResult, err error) {
	old, done, err := text.OpenSet(ctx, before.In(r.Config.Workdir))
	if err != nil {
		if ctx.Err() == nil {
			r.Options.Console.Warn("drift: the corpus is not compared with the last round's: %v", err)
			err = nil
		}
		return d, err
	}
	defer done()
	set, done2, err := text.OpenSet(ctx, now.In(r.Config.Workdir))
	if err != nil {
		return d, err
	}
	defer done2()
	d = *Drift(old, set)
	d.Against = before
	if d.UnigramNats != nil {
		r.Options.Console.Line("drift: %d characters after %d, %d new ones, divergence %.4f nats from the last round's text",
			d.Chars, d.CharsBefore, d.NewChars, *d.UnigramNats)
	}
	return d, nil
}

// Incumbent is the live stage that finds the model to beat.
func (r *Stages) Incumbent() workflow.Node {
	return stage[promotion.Incumbent]{Name: "baseline", Version: 1, Config: r.Config, Keys: []string{},
		Inputs: []workflow.Input{ModelArtifact}, Artifact: BaselineArtifact, Live: true, OnDemand: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[promotion.Incumbent], err error) {
			run, err := ModelArtifact.Of(task)
			if err != nil {
				return out, err
			}
			sum, err := r.identity(ctx, task, run)
			if err != nil {
				return out, err
			}
			if out.Value, err = promotion.FindIncumbent(ctx, task.Store, sum, string(run.Best)); err == nil {
				out.Digest, err = out.Value.Digest()
			}
			return out, err
		}}
}

// Gate is the stage that decides whether the model is fit for service.
func (r *Stages) Gate() workflow.Node {
	return stage[gate.Result]{Name: "gate", Version: gate.Version, Limit: limit(r.Config.Round.LimitMinutes.Gate),
		Config: r.Config, Keys: r.Config.KeysOf(configs.Verdict),
		Inputs:   []workflow.Input{SetArtifact, ModelArtifact, BaselineArtifact},
		Uses:     []workflow.Input{CorpusArtifact}, // its documents are those of the set
		Artifact: DecisionArtifact,
		Estimate: func(ctx context.Context, _ *configs.Config, task *workflow.Task) (cost workflow.Cost, err error) {
			base, err := BaselineArtifact.Of(task)
			if err == nil {
				err = unusable(base.Check(ctx, task.Store))
			}
			return cost, err
		},
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[gate.Result], err error) {
			set, run, err := trained(task)
			if err != nil {
				return out, err
			}
			base, err := BaselineArtifact.Of(task)
			if err != nil {
				return out, err
			}
			found, err := r.documents(ctx, task)
			if err != nil {
				return out, err
			}
			o := gate.Options{Set: set.Set.In(c.Workdir), Corpus: found, Withdrawn: base.Withdrawn, TrainNats: run.TrainNats,
				Console: r.Options.Console}
			if base.Checkpoint != "" {
				o.Promoted = store.Locate(c.Workdir, base.Checkpoint)
			}
			res, err := gate.Judge(ctx, c.Gate, run.Best.In(c.Workdir), o)
			if err != nil {
				return out, err
			}
			res.Candidate, res.Against = run.Best, store.Path(base.Checkpoint)
			out.Value = *res
			return out, nil
		}}
}

// unusable is the error of the gate where the model to beat cannot be read, as a plan knows
// before the gate runs.
func unusable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || store.Transient(err) {
		return err
	}
	return fmt.Errorf("round: %w, because it could not run: %w", gate.ErrRefused, err)
}

// identity returns the sha256 of the model's checkpoint. It reads the checkpoint where
// the stage that made it does not list it among its files.
func (r *Stages) identity(ctx context.Context, task *workflow.Task, run stages.TrainResult) (string, error) {
	if f, ok := ModelArtifact.File(task, string(run.Best)); ok {
		return f.SHA256, nil
	}
	m, err := r.open(ctx, task)
	if err != nil {
		return "", err
	}
	return m.SHA256, nil
}

// Promote is the stage that puts a model into service that has passed the gate, in
// place of the one that was in service when the gate compared them. Where another was
// promoted since, the round goes back to the incumbent and the gate.
func (r *Stages) Promote() workflow.Node {
	return stage[promotion.Promoted]{Name: "promote", Version: 2, Config: r.Config, Keys: []string{},
		Inputs: []workflow.Input{ModelArtifact, DecisionArtifact}, Artifact: PromotionArtifact,
		Uses: []workflow.Input{BaselineArtifact}, // its generation differs when nothing else does
		Run:  r.runPromote,
		Check: func(ctx context.Context, c *configs.Config, task *workflow.Task, made promotion.Promoted) (string, error) {
			p, _, err := promotion.Read(ctx, task.Store)
			switch {
			case errors.Is(err, store.ErrNotExist) && made.Checkpoint != "":
				return "no model is promoted any more", nil
			case err != nil && !errors.Is(err, store.ErrNotExist):
				return "", err
			case made.Checkpoint != "" && made.SHA256 == "":
				return "an earlier program promoted the model, without its digest", nil
			case made.Checkpoint != "" && p.SHA256 != made.SHA256:
				return "another model is the promoted one: " + cmp.Or(p.From, p.Checkpoint), nil
			}
			return "", nil
		}}
}

func (r *Stages) runPromote(ctx context.Context, c *configs.Config, task *workflow.Task) (
	out workflow.Product[promotion.Promoted], err error,
) {
	decision, err := DecisionArtifact.Of(task)
	if err != nil || !decision.Passed {
		return out, err
	}
	base, err := BaselineArtifact.Of(task)
	if err != nil {
		return out, err
	}
	m, err := r.open(ctx, task)
	if err != nil {
		return out, err
	}
	next := promotion.Promoted{By: promotion.ByRound, Round: task.Key, Decision: DecisionArtifact.Digest(task),
		SHA256: decision.SHA256}
	if decision.Nats != nil {
		next.Nats = *decision.Nats
	}
	now, _, err := promotion.Install(ctx, task.Store, m, next, base.Generation)
	if errors.Is(err, store.ErrConflict) {
		return out, &workflow.StaleError{Artifact: BaselineArtifact, Err: err}
	}
	if err != nil {
		return out, err
	}
	return workflow.Product[promotion.Promoted]{Value: *now, Files: []workflow.File{{Name: now.Checkpoint, SHA256: now.SHA256}}}, nil
}
