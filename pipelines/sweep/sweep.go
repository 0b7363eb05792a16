// Package sweep is the trials of a config's section sweep. It trains the trials as
// elements of a Beam pipeline and ranks them by loss.
package sweep

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/configs/secret"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Options are the inputs of Run beside the config and its trials.
type Options struct {
	Runner  string // of prep and of the trials: direct, prism, flink or dataflow
	Verbose bool   // Beam's log goes to stderr
	Quiet   bool   // a worker writes warnings only to its stderr
	Config  string // path or embedded name of the swept config, which best.yaml extends; empty: quickstart
	Console *report.Console
	Stages  []round.Stage // the program's own, for the sets; a trial has the shipped train and evaluate
}

// Trial is the outcome of a trial.
type Trial struct {
	Trial      int            `json:"trial"`              // number, from 1
	Set        map[string]any `json:"set"`                // values of the varied keys
	Nats       *float64       `json:"nats"`               // loss a character, as evaluate measures it; nil where the training diverged
	Split      string         `json:"split"`              // of Nats: validation, or train in a set without validation
	TestNats   *float64       `json:"test_nats,omitzero"` // loss on the split test: of Result.Best alone, and where its set has the split
	Step       int64          `json:"step"`
	Parameters int            `json:"parameters"`
	Run        string         `json:"run"`
	Checkpoint string         `json:"checkpoint"`        // the best of the run
	Diverged   string         `json:"diverged,omitzero"` // reason; empty where the training did not diverge
}

// nats is the loss; NaN where the training diverged.
func (t *Trial) nats() float64 {
	if t.Nats == nil {
		return math.NaN()
	}
	return *t.Nats
}

// byLoss orders trials by loss, equal losses by number. Trials that diverged come last.
func byLoss(a, b Trial) int {
	return cmp.Or(cmp.Compare(-b.nats(), -a.nats()), cmp.Compare(a.Trial, b.Trial)) // cmp takes NaN for the least
}

// Result is the outcome of Run. Paths can be opened from here.
type Result struct {
	Trials  []Trial `json:"trials"` // by loss, then by number; trials that diverged come last
	Best    Trial   `json:"best"`   // the first of Trials
	Config  string  `json:"config"` // path of best.yaml, a config that extends the swept one
	Table   string  `json:"table"`
	Picture string  `json:"picture"`
}

// ErrDiverged is the error of a sweep without a loss: the training of each trial
// diverged.
var ErrDiverged = errors.New("it diverged, as did all others")

// Run makes the sets that the trials of a config need, and trains and evaluates the
// trials as elements of a Beam pipeline, or on the node of the config. Workers must reach the
// workdir at the same path or URL. A trial is the stages train and evaluate of a round, in runs/<key>:
// outcomes of earlier trials and rounds are used again, and a sweep that was killed
// goes on. Table, picture and best config go to sweeps/<key> below the workdir.
//
// The best trial is that of the lowest loss on the split that Trial.Split names.
// Where its set has a split test, Run then measures the model on the split, and that
// of no other trial.
//
// A training that diverges is an outcome too; where all of them diverge, the error is
// ErrDiverged. Errors of a trial name its number and values.
func Run(ctx context.Context, r *configs.Resolved, trials []configs.Trial, o Options) (_ *Result, err error) {
	workdir := r.Config.Workdir
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	used := claim.New(st, "sweep") // from the sets to the table
	defer func() { err = errors.Join(err, unclaim(ctx, used, err)) }()
	all, err := withSets(ctx, st, trials, used, o)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if err := t.claim(ctx, st, used); err != nil {
			return nil, err
		}
	}
	if err := runAll(ctx, st, all, o); err != nil {
		return nil, err
	}
	res := &Result{}
	for i, t := range all {
		row, err := t.result(ctx, st)
		if err != nil {
			return nil, err
		}
		row.Set = trials[i].Set
		res.Trials = append(res.Trials, *row)
	}
	slices.SortFunc(res.Trials, byLoss)
	first := res.Trials[0]
	best := all[first.Trial-1]
	if first.Nats == nil {
		return nil, best.named(fmt.Errorf("%w: %s", ErrDiverged, first.Diverged))
	}
	test, err := best.testNats(ctx, first.Checkpoint)
	if err != nil {
		return nil, err
	}
	config := trials[first.Trial-1].Resolved.Over(o.Config)
	if err := res.write(ctx, st, "sweeps/"+sweepKey(all), r.Varied(), config); err != nil {
		return nil, err
	}
	for i := range res.Trials {
		t := &res.Trials[i]
		t.Run, t.Checkpoint = store.Locate(workdir, t.Run), store.Locate(workdir, t.Checkpoint)
	}
	res.Best = res.Trials[0]
	res.Best.TestNats = test
	if others := lossKeys(r.Varied()); len(others) > 0 {
		o.Console.Warn("sweep: the trials differ in %s: losses of different texts, or of characters that are counted in different ways,"+
			" do not compare", strings.Join(others, ", "))
	}
	o.Console.Line("sweep: trial %d (%s) is best: %s", best.Number, best.Values, res.Best.losses())
	return res, nil
}

// lossKeys returns those of the keys that decide which text a loss is of.
func lossKeys(varied []string) []string {
	return slices.DeleteFunc(slices.Clone(varied), func(key string) bool { return !slices.Contains(text.LossKeys(), key) })
}

// losses says the loss of a trial on each split that has been measured.
func (t *Trial) losses() string {
	text := fmt.Sprintf("%.4f nats a character of the %s part", *t.Nats, t.Split)
	if t.TestNats != nil {
		text += fmt.Sprintf(", %.4f of the test part", *t.TestNats)
	}
	return text
}

// sweepKey is a digest of the trials' keys and values, in order. Finished sweeps are
// found by it.
func sweepKey(all []*trial) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s %s\n", t.Key, t.Values)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))[:20]
}

// withSets returns the trials with their sets. It makes each set once, by the stages
// of a round up to prep.
func withSets(ctx context.Context, st *store.Store, trials []configs.Trial, used *claim.Claim, o Options) ([]*trial, error) {
	sets := map[configs.Prep]stages.PrepResult{}
	var all []*trial
	for _, tried := range trials {
		t := &trial{Number: tried.Number, Values: tried.String(), Config: tried.Resolved.Config, YAML: tried.Resolved.Portable(),
			Quiet: o.Quiet}
		set, ok := sets[t.Config.Prep]
		if !ok {
			var err error
			if set, err = prepare(ctx, st, &t.Config, used, o); err != nil {
				return nil, t.named(err)
			}
			sets[t.Config.Prep] = set
		}
		t.Set = set
		t.hide()
		var err error
		if t.Config.Workdir, err = store.Absolute(t.Config.Workdir); err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// hide leaves out the secrets, which do not leave this process. A trial reads no corpus: it
// has the set.
func (t *trial) hide() {
	t.Config.Notify, t.Config.Corpus.Sources = configs.Notify{}, secret.URLs(t.Config.Corpus.Sources)
}

// prepare makes the set of a config.
func prepare(ctx context.Context, st *store.Store, c *configs.Config, used *claim.Claim, o Options) (set stages.PrepResult, err error) {
	ro := round.Options{Runner: o.Runner, Verbose: o.Verbose, Console: o.Console, To: "prep", Stages: o.Stages, AnyPrompt: true}
	p, err := round.Pipeline(c, ro)
	if err != nil {
		return set, err
	}
	options := ro.Workflow(c)
	options.NoRecord, options.Claim = true, used
	options.Observe = func(e workflow.Event) { round.Announce(o.Console, e) }
	record, err := p.Run(ctx, st, options)
	if err != nil {
		return set, err
	}
	if err := json.Unmarshal(record.Stage("prep").Value, &set); err != nil {
		return set, fmt.Errorf("result of prep: %w", err)
	}
	return set, nil
}

// runAll runs the trials that are not done, on the workers of o.Runner or on the node. Of trials with
// the same key it runs the first: their model is the same.
func runAll(ctx context.Context, st *store.Store, all []*trial, o Options) error {
	var items [][]byte
	var there []*trial
	seen := map[string]bool{}
	for _, t := range all {
		done, err := t.plan(ctx, st)
		if err != nil {
			return err
		}
		if done || seen[t.Key] {
			o.Console.Line("sweep: trial %d (%s): nothing to do, %s has it", t.Number, t.Values, st.Join(t.run()))
			continue
		}
		if t.onNode() {
			seen[t.Key], there = true, append(there, t)
			continue
		}
		if local := o.Runner == "direct" || o.Runner == "prism"; local { // other engines have machines of their own
			if err := stages.CheckMemory(&t.Config, t.Set.Vocab, t.Config.Prep.SeqLength); err != nil {
				return t.named(err)
			}
		}
		seen[t.Key] = true
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(t); err != nil {
			return t.named(err)
		}
		items = append(items, b.Bytes())
	}
	if len(there) > 0 {
		return runOnNode(ctx, st, there, os.Stderr, o.Console)
	}
	if len(items) == 0 {
		return nil
	}
	o.Console.Line("sweep: %d of %d trials to run, on %s", len(items), len(all), o.Runner)
	return engine.Each(ctx, o.Runner, trialFunction, items, engine.Options{Verbose: o.Verbose})
}

// runTrial decodes a trial and runs it, on a worker.
func runTrial(ctx context.Context, item []byte) error {
	var t trial
	if err := gob.NewDecoder(bytes.NewReader(item)).Decode(&t); err != nil {
		return fmt.Errorf("sweep: a trial of %d bytes: %w", len(item), err)
	}
	return t.work(ctx, os.Stderr)
}

// trialFunction is the name of runTrial among the engine's functions.
const trialFunction = "quire.trial"

func init() { engine.Register(trialFunction, runTrial) }
