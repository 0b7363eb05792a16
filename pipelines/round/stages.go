package round

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
)

// What the shipped stages make, for the inputs of one's own. Paths in the values
// are below the workdir.
const (
	CorpusArtifact     workflow.Artifact[text.CorpusFacts]    = "corpus"
	SetArtifact        workflow.Artifact[stages.PrepResult]   = "set"
	StartArtifact      workflow.Artifact[string]              = "start" // path of the checkpoint at train.from
	ModelArtifact      workflow.Artifact[stages.TrainResult]  = "model"
	EvaluationArtifact workflow.Artifact[text.EvaluateResult] = "evaluation"
	DriftArtifact      workflow.Artifact[DriftResult]         = "drift"
	BaselineArtifact   workflow.Artifact[promotion.Incumbent] = "baseline"
	DecisionArtifact   workflow.Artifact[gate.Result]         = "decision"
	PromotionArtifact  workflow.Artifact[promotion.Promoted]  = "promotion"
	SampleArtifact     workflow.Artifact[SampleResult]        = "sample"
)

// NewStages returns the stages of one round or plan.
func NewStages(c *configs.Config, o Options) *Stages { return &Stages{c: c, o: o} }

// Shipped returns the stages of Round, to be put together with one's own by
// workflow.New. They are for one round or plan.
func Shipped(c *configs.Config, o Options) []workflow.Node {
	r := NewStages(c, o)
	return []workflow.Node{r.Corpus(), r.Prep(), r.Drift(), r.Start(), r.Train(), r.Evaluate(), r.Incumbent(), r.Gate(), r.Promote(), r.Sample()}
}

// Stages are the shipped stages of one round. They share what they have read.
type Stages struct {
	c      *configs.Config
	o      Options
	corpus *text.Corpus // as it was found
	model  *text.Model  // the one that was opened last
}

// Stage is a shipped one: its config is all of it, of which Keys says the part.
type stage[T any] = workflow.Stage[*configs.Config, T]

// limit is a stage's time, from minutes; 0: none.
func limit(minutes float64) time.Duration { return time.Duration(minutes * float64(time.Minute)) }

// SampleResult is the text that a round ends with.
type SampleResult struct {
	Text string `json:"text"`
	Seed int64  `json:"seed"`
}

func (r *Stages) Corpus() workflow.Node {
	return stage[text.CorpusFacts]{Name: "corpus", Version: 1, Config: r.c, Keys: []string{}, Artifact: CorpusArtifact, Live: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
			if r.corpus, err = text.FindCorpus(ctx, c.Corpus, task.Verify); err != nil {
				return out, err
			}
			out.Value = r.corpus.Facts()
			out.Digest, err = r.corpus.Digest()
			return out, err
		}}
}

func (r *Stages) Prep() workflow.Node {
	return stage[stages.PrepResult]{Name: "prep", Version: 2, Limit: limit(r.c.Round.LimitMinutes.Prep), Config: r.c, Keys: r.c.KeysOf(configs.Data),
		Inputs: []workflow.Input{CorpusArtifact}, Artifact: SetArtifact,
		Estimate: func(context.Context, *configs.Config, *workflow.Task) (workflow.Cost, error) {
			return workflow.Cost{Bytes: corpus.Bytes(r.corpus.Documents)}, nil
		},
		Run: r.runPrep}
}

func (r *Stages) runPrep(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[stages.PrepResult], err error) {
	name := "sets/" + task.Key
	if task.Forced {
		if err := task.Store.Delete(ctx, name+"/"+dataset.ManifestName, ""); err != nil {
			return out, err
		}
	}
	res, err := stages.Prep(ctx, c, r.corpus, stages.PrepOptions{Out: store.Locate(c.Workdir, name), Runner: r.o.Runner, Verbose: r.o.Verbose, Console: r.o.Console})
	if err != nil {
		return out, err
	}
	res.Set = store.Path(name)
	out.Value, out.Digest = *res, res.ManifestSHA256
	out.Files, err = setFiles(ctx, task.Store, name)
	return out, err
}

// setFiles are the files of the set below st called name, the manifest first.
func setFiles(ctx context.Context, st *store.Store, name string) ([]workflow.File, error) {
	m, err := text.ReadManifest(ctx, st, name)
	if err != nil {
		return nil, err
	}
	files := []workflow.File{{Name: name + "/" + dataset.ManifestName}, {Name: name + "/" + dataset.VocabName, SHA256: m.Vocab.SHA256}}
	for _, split := range m.Splits {
		for _, shard := range split.Shards {
			files = append(files, workflow.File{Name: name + "/" + shard.Name, SHA256: shard.SHA256})
		}
	}
	return files, nil
}

// Start looks up the content of train.from, on which the training depends.
func (r *Stages) Start() workflow.Node {
	return stage[string]{Name: "start", Version: 1, Config: r.c, Keys: []string{}, Artifact: StartArtifact, Live: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[string], err error) {
			if out.Digest = "none"; c.Train.From == "" {
				return out, nil
			}
			m, at, err := run.Open(ctx, store.Locate(c.Workdir, c.Train.From), run.Best)
			if err != nil {
				return out, fmt.Errorf("round: train.from: %w", err)
			}
			return workflow.Product[string]{Value: at, Digest: m.Digest}, nil
		}}
}

func (r *Stages) Train() workflow.Node {
	return stage[stages.TrainResult]{Name: "train", Version: 1, Limit: limit(r.c.Round.LimitMinutes.Train), Config: r.c, Keys: r.c.KeysOf(configs.Weights, configs.Course, configs.Kept),
		Inputs: []workflow.Input{SetArtifact, StartArtifact}, Artifact: ModelArtifact,
		Estimate: r.estimateTrain, Run: r.runTrain}
}

// estimateTrain counts the steps, and those of a training that was cut off.
func (r *Stages) estimateTrain(ctx context.Context, c *configs.Config, task *workflow.Task) (cost workflow.Cost, err error) {
	set, err := SetArtifact.Of(task)
	if err != nil {
		return cost, err
	}
	opened, done, err := text.OpenSet(ctx, set.Set.In(c.Workdir))
	if err != nil {
		return cost, err
	}
	defer done()
	data, _, err := text.TrainData(opened, c)
	if err != nil {
		return cost, err
	}
	if cost.Steps, _, err = train.Steps(data, stages.Course(&c.Train, opened.Manifest().SeqLength)); err != nil {
		return cost, err
	}
	st, err := task.Store.Sub("runs/" + task.Key)
	if err != nil || task.Forced {
		return cost, err
	}
	p, err := run.Find(ctx, st, run.Latest)
	if errors.Is(err, store.ErrNotExist) {
		return cost, nil
	}
	cost.Done = p.Step
	return cost, err
}

func (r *Stages) runTrain(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[stages.TrainResult], err error) {
	set, err := SetArtifact.Of(task)
	if err != nil {
		return out, err
	}
	name := "runs/" + task.Key
	st, err := task.Store.Sub(name)
	if err != nil {
		return out, err
	}
	res, err := stages.Train(ctx, c, stages.TrainOptions{Set: set.Set.In(c.Workdir), Out: store.Locate(c.Workdir, name), Fresh: task.Forced, Config: r.o.Config, Console: r.o.Console})
	if err != nil {
		return out, err
	}
	latest, err := run.Find(ctx, st, run.Latest)
	if err != nil {
		return out, err
	}
	best, err := run.Find(ctx, st, run.Best)
	if err != nil {
		return out, err
	}
	files, err := run.Files(ctx, st)
	for _, f := range files {
		out.Files = append(out.Files, workflow.File{Name: name + "/" + f.Name, SHA256: f.SHA256})
	}
	run := store.Path(name)
	res.Run, res.Checkpoint, res.Best = run, run+"/"+store.Path(latest.Name), run+"/"+store.Path(best.Name)
	out.Value, out.Digest = *res, best.SHA256
	return out, err
}

// open reads the checkpoint of a trained model, once for several stages.
func (r *Stages) open(ctx context.Context, task *workflow.Task) (*text.Model, error) {
	run, err := ModelArtifact.Of(task)
	if err != nil {
		return nil, err
	}
	path := run.Best.In(r.c.Workdir)
	if r.model == nil || r.model.Path != path {
		r.model, err = text.OpenModel(ctx, path, "best")
	}
	return r.model, err
}

func (r *Stages) Evaluate() workflow.Node {
	return stage[text.EvaluateResult]{Name: "evaluate", Version: 2, Limit: limit(r.c.Round.LimitMinutes.Evaluate), Config: r.c, Keys: []string{}, Inputs: []workflow.Input{SetArtifact, ModelArtifact}, Artifact: EvaluationArtifact,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[text.EvaluateResult], err error) {
			set, err := SetArtifact.Of(task)
			if err != nil {
				return out, err
			}
			run, err := ModelArtifact.Of(task)
			if err != nil {
				return out, err
			}
			m, err := r.open(ctx, task)
			if err != nil {
				return out, err
			}
			res, err := text.Evaluate(ctx, m, set.Set.In(c.Workdir), "")
			if err != nil {
				return out, err
			}
			r.o.Console.Line("evaluate: %v", res)
			res.Checkpoint = run.Best
			out.Value = *res
			return out, nil
		}}
}

func (r *Stages) Sample() workflow.Node {
	return stage[SampleResult]{Name: "sample", Version: 1, Limit: limit(r.c.Round.LimitMinutes.Sample), Config: r.c, Keys: r.c.KeysOf(configs.Text), Inputs: []workflow.Input{ModelArtifact}, Artifact: SampleArtifact,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[SampleResult], err error) {
			m, err := r.open(ctx, task)
			if err != nil {
				return out, err
			}
			g, err := text.Generate(ctx, m, c.Generate, io.Discard)
			if err != nil {
				return out, err
			}
			out.Value = SampleResult{Text: strings.ToValidUTF8(g.Texts[0], "\uFFFD"), Seed: g.Seed}
			return out, nil
		}}
}
