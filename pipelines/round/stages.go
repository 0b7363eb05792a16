package round

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/remote"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
	"github.com/quire-ml/quire/transforms/dataset"
)

// Artifacts of the shipped stages. A program's stage that makes the same artifact
// takes the place of the shipped one. Paths in the values are below the workdir.
const (
	SourcesArtifact    workflow.Artifact[text.CorpusFacts]    = "sources" // documents at corpus.sources
	CorpusArtifact     workflow.Artifact[text.CorpusFacts]    = "corpus"  // documents for prep; shipped: the sources
	SetArtifact        workflow.Artifact[stages.PrepResult]   = "set"
	StartArtifact      workflow.Artifact[string]              = "start" // path of the checkpoint at train.from
	ModelArtifact      workflow.Artifact[stages.TrainResult]  = "model"
	EvaluationArtifact workflow.Artifact[text.EvaluateResult] = "evaluation"
	DriftArtifact      workflow.Artifact[DriftResult]         = "drift"
	BaselineArtifact   workflow.Artifact[promotion.Incumbent] = "baseline"
	DecisionArtifact   workflow.Artifact[gate.Result]         = "decision"
	PromotionArtifact  workflow.Artifact[promotion.Promoted]  = "promotion"
	PromptArtifact     workflow.Artifact[PromptResult]        = "prompt"
	SampleArtifact     workflow.Artifact[SampleResult]        = "sample"
)

// A Stage makes a workflow stage for one round or plan. The methods of Stages are
// the shipped ones: (*Stages).Prep is a Stage.
type Stage func(r *Stages) workflow.Node

// NewStages returns the shipped stages for one round or plan.
func NewStages(c *configs.Config, o Options) *Stages { return &Stages{Config: c, Options: o} }

// Pipeline returns the pipeline of a round or plan: the shipped stages with those of
// o.Stages.
func Pipeline(c *configs.Config, o Options) (*workflow.Pipeline, error) {
	r := NewStages(c, o)
	base := []workflow.Node{r.Sources(), r.Corpus(), r.Prep(), r.Prompt(), r.Drift(), r.Start(), r.Train(), r.Evaluate(),
		r.Incumbent(), r.Gate(), r.Promote(), r.Sample()}
	var own []workflow.Node
	for _, s := range o.Stages {
		own = append(own, s(r))
	}
	return workflow.New(workflow.Compose(base, own...)...)
}

// Stages are the stages of one round. They share the config, the options, and
// artifacts that they have read.
type Stages struct {
	Config  *configs.Config
	Options Options

	sources *text.Corpus
	corpus  *text.Corpus
	folder  store.Path  // of corpus; empty: it is the sources
	model   *text.Model // the one that was opened last
	few     bool        // it was said that a training has few steps
	fresh   *bool       // whether a node is still to train from zero; nil: it was not asked
}

// stage is a shipped stage. Its config is the whole config, its key takes Keys.
type stage[T any] = workflow.Stage[*configs.Config, T]

// limit is the time of a stage, from minutes; 0: none.
func limit(minutes float64) time.Duration { return time.Duration(minutes * float64(time.Minute)) }

// Sources is the live stage that finds the documents at corpus.sources, for stages
// that make a corpus of them.
func (r *Stages) Sources() workflow.Node {
	return stage[text.CorpusFacts]{Name: "sources", Version: 1, Config: r.Config, Keys: []string{},
		Artifact: SourcesArtifact, Live: true, OnDemand: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
			apart := c.Prep
			apart.Pack = "" // the documents that are made of these are packed
			if r.sources, err = text.FindPacked(ctx, c.Corpus, apart, task.Verify, text.Made(c)...); err != nil {
				return out, err
			}
			r.sources.Describe(r.Options.Console)
			return facts(r.sources)
		}}
}

// Corpus is the live stage that makes the sources the corpus.
func (r *Stages) Corpus() workflow.Node {
	return stage[text.CorpusFacts]{Name: "corpus", Version: 1, Config: r.Config, Keys: []string{},
		Artifact: CorpusArtifact, Live: true,
		Run: func(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[text.CorpusFacts], err error) {
			if r.corpus, err = text.FindPacked(ctx, c.Corpus, c.Prep, task.Verify, text.Made(c)...); err != nil {
				return out, err
			}
			r.corpus.Describe(r.Options.Console)
			return facts(r.corpus)
		}}
}

// Prep is the stage that makes a set of the corpus, in sets/<key>.
func (r *Stages) Prep() workflow.Node {
	return stage[stages.PrepResult]{Name: "prep", Version: 2, Limit: limit(r.Config.Round.LimitMinutes.Prep),
		Config: r.Config, Keys: r.Config.KeysOf(configs.Data),
		Inputs: []workflow.Input{CorpusArtifact}, Artifact: SetArtifact,
		Estimate: r.estimatePrep, Run: r.runPrep}
}

// estimatePrep returns the error of a prep that refuses the text, too.
func (r *Stages) estimatePrep(ctx context.Context, c *configs.Config, task *workflow.Task) (workflow.Cost, error) {
	facts, err := CorpusArtifact.Of(task)
	if err != nil {
		return workflow.Cost{}, err
	}
	found, err := r.documents(ctx, task)
	if err == nil {
		err = stages.CheckText(c, found)
	}
	if err == nil {
		r.warnOf(facts)
	}
	return workflow.Cost{Bytes: facts.Bytes}, err
}

func (r *Stages) runPrep(ctx context.Context, c *configs.Config, task *workflow.Task) (out workflow.Product[stages.PrepResult], err error) {
	found, err := r.documents(ctx, task)
	if err != nil {
		return out, err
	}
	if facts, err := CorpusArtifact.Of(task); err == nil {
		r.warnOf(facts)
	}
	name := "sets/" + task.Key
	res, err := stages.Prep(ctx, c, found, stages.PrepOptions{Out: store.Locate(c.Workdir, name), Owned: true, Fresh: task.Forced,
		Runner: r.Options.Runner, Verbose: r.Options.Verbose, Console: r.Options.Console})
	if err != nil {
		return out, err
	}
	res.Set = store.Path(name)
	out.Value, out.Digest = *res, res.ManifestSHA256
	out.Files, err = setFiles(ctx, task.Store, name)
	return out, err
}

// setFiles returns the files of a set below st, the manifest first.
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

// Start is the live stage that finds the checkpoint at train.from.
func (r *Stages) Start() workflow.Node {
	return stage[string]{Name: "start", Version: 1, Config: r.Config, Keys: []string{},
		Artifact: StartArtifact, Live: true, OnDemand: true,
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

// Train is the stage that trains a model on the set, in runs/<key>.
func (r *Stages) Train() workflow.Node {
	return stage[stages.TrainResult]{Name: "train", Version: 1, Limit: limit(r.Config.Round.LimitMinutes.Train),
		Config: r.Config, Keys: r.Config.KeysOf(configs.Weights, configs.Course, configs.Kept),
		Inputs: []workflow.Input{SetArtifact, StartArtifact}, Artifact: ModelArtifact,
		Estimate: r.estimateTrain, Run: r.runTrain, Follow: r.followTrain, On: r.on(remote.Train)}
}

// followTrain shows how another process trains the run of the stage.
func (r *Stages) followTrain(ctx context.Context, _ *configs.Config, task *workflow.Task) error {
	st, err := task.Store.Sub("runs/" + task.Key)
	if err != nil {
		return err
	}
	return remote.Follow(ctx, st, r.Options.Console)
}

// on names the node on which a stage runs; empty: it runs here.
func (r *Stages) on(stage string) string {
	if n, err := remote.Open(&r.Config.Node); err == nil && n != nil && r.Config.Node.Runs(stage) {
		return n.String()
	}
	return ""
}

// node returns the client of the node on which a stage runs, nil where it runs here.
func (r *Stages) node(task *workflow.Task, stage string) (*remote.Client, error) {
	if !r.Config.Node.Runs(stage) {
		return nil, nil
	}
	return r.client(task.Store)
}

// client returns the client of the node, for the workdir in st.
func (r *Stages) client(st *store.Store) (*remote.Client, error) {
	n, err := remote.Open(&r.Config.Node)
	if err != nil {
		return nil, err
	}
	return &remote.Client{Node: n, Store: st, Workdir: r.Config.Workdir, Config: r.Options.Config, Console: r.Options.Console}, nil
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
	if !c.Node.Runs(remote.Train) { // a node looks for itself
		err = stages.CheckMemory(c, opened.Vocab().Size(), opened.Manifest().SeqLength)
	}
	if err != nil {
		return cost, err
	}
	if cost.Steps, err = r.steps(c, opened); err != nil {
		return cost, err
	}
	st, err := task.Store.Sub("runs/" + task.Key)
	if err != nil || task.Forced {
		return cost, err
	}
	cost.Done, err = run.Resumable(ctx, st)
	return cost, err
}

// steps returns the steps of a training on a set, and warns where they are few.
func (r *Stages) steps(c *configs.Config, set *dataset.Set) (int64, error) {
	data, _, err := text.TrainData(set, c)
	if err != nil {
		return 0, err
	}
	n, perEpoch, err := train.Steps(data, stages.Course(&c.Train, set.Manifest().SeqLength))
	if err == nil {
		r.warnFew(n, perEpoch)
	}
	return n, err
}

func (r *Stages) runTrain(ctx context.Context, c *configs.Config, task *workflow.Task) (
	out workflow.Product[stages.TrainResult], err error,
) {
	set, err := SetArtifact.Of(task)
	if err != nil {
		return out, err
	}
	if opened, done, err := text.OpenSet(ctx, set.Set.In(c.Workdir)); err == nil {
		_, _ = r.steps(c, opened) // for its warning; the training has its errors, and those of OpenSet
		done()
	}
	name := "runs/" + task.Key
	st, err := task.Store.Sub(name)
	if err != nil {
		return out, err
	}
	res, err := r.trained(ctx, c, task, set.Set, name)
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

// trained trains here or on the node.
func (r *Stages) trained(ctx context.Context, c *configs.Config, task *workflow.Task, set store.Path, name string) (*stages.TrainResult, error) {
	node, err := r.node(task, remote.Train)
	switch {
	case err != nil:
		return nil, err
	case node == nil:
		return stages.Train(ctx, c, stages.TrainOptions{Set: set.In(c.Workdir), Out: store.Locate(c.Workdir, name),
			Owned: true, Fresh: task.Forced, Config: r.Options.Config, Console: r.Options.Console})
	}
	if r.fresh == nil {
		r.fresh = &task.Forced
	}
	return node.Train(ctx, remote.Training{Key: task.Key, Set: string(set), Run: name, Fresh: r.fresh})
}

// open reads the checkpoint of a trained model, once for several stages. The error wraps
// store.ErrDamaged where another process has replaced the file.
func (r *Stages) open(ctx context.Context, task *workflow.Task) (*text.Model, error) {
	run, err := ModelArtifact.Of(task)
	if err != nil {
		return nil, err
	}
	path := run.Best.In(r.Config.Workdir)
	if r.model == nil || r.model.Path != path {
		if r.model, err = text.OpenModel(ctx, path, "best"); err != nil {
			return nil, err
		}
	}
	if f, ok := ModelArtifact.File(task, string(run.Best)); ok && f.SHA256 != r.model.SHA256 { // else the gate has judged another
		return nil, fmt.Errorf("round: %s: %w: its sha256 is %s, and was %s when the round began", path, store.ErrDamaged, r.model.SHA256, f.SHA256)
	}
	return r.model, nil
}

// Of a training with fewer steps, at the shipped learning rate, the loss stays above the
// unigram entropy, and the gate refuses the model. Measured: English of 2 to 10 KB.
const (
	fewSteps    = 20
	enoughSteps = 60
)

// warnOf is warnFew before the set is made, by the most steps that the bytes of a corpus may
// give. A round that ends with the set, such as that of a sweep, trains nothing.
func (r *Stages) warnOf(c text.CorpusFacts) {
	p, t := &r.Config.Prep, &r.Config.Train
	for _, d := range c.Listed {
		if strings.HasSuffix(d.Name, ".gz") {
			return // its bytes are not those of the text
		}
	}
	if r.Options.To == "prep" || len(c.Listed) == 0 || p.Stride > 0 || t.Curriculum.SeqLength > 0 {
		return
	}
	perEpoch := int64(float64(c.Bytes)*(1-p.Validation.Fraction-p.Test.Fraction)) / int64(p.SeqLength+1) / int64(t.Batch)
	if perEpoch > 0 { // prep and train have an error for none
		r.warnFew(perEpoch*int64(t.Epochs), perEpoch)
	}
}

// warnFew says that a training with so few steps, and so many of them an epoch, ends before
// it has learned much. It says so once.
func (r *Stages) warnFew(steps, perEpoch int64) {
	t := &r.Config.Train
	if r.few || t.From != "" || t.Epochs == 0 || perEpoch == 0 || steps >= fewSteps || t.MaxSteps > 0 && t.MaxSteps < fewSteps {
		return
	}
	r.few = true
	r.Options.Console.Warn("train: %s in all are few: with less than %d, at the default train.lr, the loss hardly falls below the unigram entropy,"+
		" and the gate refuses such a model; use train.epochs=%d, a smaller train.batch, or more text",
		report.Count(int(steps), "step"), fewSteps, (enoughSteps+perEpoch-1)/perEpoch)
}
