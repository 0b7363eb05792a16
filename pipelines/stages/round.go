package stages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// ErrRefused is returned by Round when the gate did not let the model pass.
var ErrRefused = errors.New("the gate refused the model")

// RoundOptions are the inputs of Round beside the config.
type RoundOptions struct {
	Runner  string // of prep
	Verbose bool   // Beam's log goes to stderr
	Config  []byte // the resolved config, for the run's config.yaml
	Console *report.Console
}

// GateResult is the gate's decision: the loss must be finite and below the
// unigram entropy, both in nats a character. The loss is the validation loss,
// or the last epoch's training loss where there is no validation part.
type GateResult struct {
	Passed      bool    `json:"passed"`
	Nats        float64 `json:"nats"`
	UnigramNats float64 `json:"unigram_nats"`
	Reason      string  `json:"reason"`
}

// SampleResult is the text that a round ends with.
type SampleResult struct {
	Text string `json:"text"`
	Seed int64  `json:"seed"`
}

// RoundResult is the outcome of Round.
type RoundResult struct {
	Round    string                     `json:"round"`
	Stages   map[string]json.RawMessage `json:"stages"`
	Promoted string                     `json:"promoted"` // path of the promoted checkpoint; empty when the gate refused
	Sample   string                     `json:"sample"`
	Record   string                     `json:"record"`
	Set      string                     `json:"set"`
	Run      string                     `json:"run"`
}

// Versions of what the stages do: a change that alters an outcome raises one,
// and then old artifacts are not met.
const (
	prepVersion  = 1
	trainVersion = 1
	roundVersion = 1
)

// round is one call of Round. A stage leaves its outcome here for the next.
type round struct {
	c      *configs.Config
	o      RoundOptions
	st     *store.Store
	corpus *Corpus
	set    string // names below the workdir: sets/<key>
	run    string // runs/<key>
	key    string // of the round
	model  *Model // the run's best checkpoint, once trained

	prep   *PrepResult
	train  *TrainResult
	eval   *EvaluateResult
	gate   *GateResult
	sample *SampleResult
}

// Round takes a corpus all the way to a sample: prep, train, evaluate, gate,
// promote, sample. What is there already is not made again. Artifacts lie below
// the workdir: sets/<key>, runs/<key>, rounds/<key>.json, promoted.json.
//
// When the gate refuses the model, the error is ErrRefused and the result says
// why; when ctx is cancelled in training, it is train.ErrInterrupted.
func Round(ctx context.Context, c *configs.Config, o RoundOptions) (*RoundResult, error) {
	st, err := store.Open(ctx, c.Workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	r := &round{c: c, o: o, st: st}
	if r.corpus, err = FindCorpus(ctx, c.Corpus); err != nil {
		return nil, err
	}
	stages, err := r.plan()
	if err != nil {
		return nil, err
	}
	record, err := workflow.Run(ctx, st, r.key, stages, func(stage string, skip bool, why string) {
		if skip {
			o.Console.Line("%-9s nothing to do: %s", stage, why)
		} else {
			o.Console.Line("%-9s runs: %s", stage, why)
		}
	})
	if err != nil {
		return nil, err
	}
	res := &RoundResult{Round: record.Round, Stages: map[string]json.RawMessage{}, Sample: r.sample.Text,
		Record: st.Join(workflow.RecordName(r.key)), Set: r.setDir(), Run: r.runDir()}
	for _, s := range record.Stages {
		res.Stages[s.Name] = s.Result
	}
	if !r.gate.Passed {
		return res, fmt.Errorf("stages: %w: %s", ErrRefused, r.gate.Reason)
	}
	res.Promoted = r.model.Path
	return res, nil
}

func (r *round) setDir() string { return Locate(r.c.Workdir, r.set) }
func (r *round) runDir() string { return Locate(r.c.Workdir, r.run) }

// plan builds the stages and all keys. A key follows from the inputs of the
// round alone, since an outcome is a function of them.
func (r *round) plan() ([]workflow.Stage, error) {
	type document struct {
		Name, SHA256 string
		Bytes        int64
	}
	var docs []document
	for i, d := range r.corpus.Documents {
		docs = append(docs, document{d.Name, r.corpus.Digests[i], d.Bytes})
	}
	prepKey, err := workflow.Key("prep", prepVersion, docs, prepareOptions(r.c, ""))
	if err != nil {
		return nil, err
	}
	config, err := identityConfig(r.c)
	if err != nil {
		return nil, err
	}
	trainKey, err := workflow.Key("train", trainVersion, prepKey, config, r.c.Train.MaxSteps, r.c.Train.Checkpoint.KeepBest)
	if err != nil {
		return nil, err
	}
	if r.key, err = workflow.Key("round", roundVersion, trainKey, r.c.Generate); err != nil {
		return nil, err
	}
	r.set, r.run = "sets/"+prepKey, "runs/"+trainKey
	return []workflow.Stage{
		{Name: "prep", Find: r.findPrep, Run: r.runPrep},
		{Name: "train", Find: r.findTrain, Run: r.runTrain},
		{Name: "evaluate", Find: r.findEvaluate, Run: r.runEvaluate},
		{Name: "gate", Find: r.findGate, Run: r.runGate},
		{Name: "promote", Find: r.findPromote, Run: r.runPromote},
		{Name: "sample", Find: r.findSample, Run: r.runSample},
	}, nil
}
