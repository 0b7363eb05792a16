// Package sweep trains the trials of a config's section, as elements of a Beam
// pipeline, and ranks them by their loss.
package sweep

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Options are the inputs of Sweep beside the trials.
type Options struct {
	Runner  string // of prep and of the trials
	Verbose bool   // Beam's log goes to stderr
	Quiet   bool   // the trials write warnings only to their process's stderr
	Config  string // path or embedded name of the config that is swept, which best.yaml extends; empty is quickstart
	Console *report.Console
	Stages  []round.Stage // the program's own; of these the trials' sets are made, train and evaluate are the shipped ones
}

// Trial is the outcome of a trial.
type Trial struct {
	Trial      int            `json:"trial"`
	Set        map[string]any `json:"set"`   // values of the varied keys
	Nats       *float64       `json:"nats"`  // a character, as evaluate measures them; nil where the training diverged
	Split      string         `json:"split"` // of the loss: validation; train where nothing is held out
	Step       int64          `json:"step"`
	Parameters int            `json:"parameters"`
	Run        string         `json:"run"`
	Checkpoint string         `json:"checkpoint"`        // the best of the run
	Diverged   string         `json:"diverged,omitzero"` // the reason; empty of a trial with a loss
}

// Result is the outcome of Run.
type Result struct {
	Trials  []Trial `json:"trials"` // by loss, then by number; trials that diverged come last
	Best    Trial   `json:"best"`
	Config  string  `json:"config"` // path of best.yaml, a config that extends the swept one
	Table   string  `json:"table"`
	Picture string  `json:"picture"`
}

// Run makes the sets that the trials of a config need. It trains and evaluates the
// trials as elements of a Beam pipeline. Table, picture and best config go to
// sweeps/<key> below the workdir. A trial is the stages train and evaluate of a
// round, in runs/<key>: results of earlier trials and rounds are used again. A
// training that diverges is a result too; an error where all of them diverge.
// Workers must reach the workdir at the same path or URL.
func Run(ctx context.Context, r *configs.Resolved, trials []configs.Trial, o Options) (*Result, error) {
	workdir := r.Config.Workdir
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	all, err := withSets(ctx, st, trials, o)
	if err != nil {
		return nil, err
	}
	var items [][]byte
	seen := map[string]bool{}
	for _, t := range all {
		done, err := t.look(ctx, st)
		if err != nil {
			return nil, err
		}
		if done || seen[t.Key] { // the same model in other words
			o.Console.Line("sweep: trial %d (%s): nothing to do, %s has it", t.Number, t.Says, st.Join("runs/"+t.Key))
			continue
		}
		seen[t.Key] = true
		var b bytes.Buffer
		if err := gob.NewEncoder(&b).Encode(t); err != nil {
			return nil, fmt.Errorf("sweep: trial %d: %w", t.Number, err)
		}
		items = append(items, b.Bytes())
	}
	if len(items) > 0 {
		o.Console.Line("sweep: %d of %d trials to run, on %s", len(items), len(all), o.Runner)
		if err := engine.Each(ctx, o.Runner, trialFunction, items, engine.Options{Verbose: o.Verbose}); err != nil {
			return nil, err
		}
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
	slices.SortFunc(res.Trials, func(a, b Trial) int {
		return cmp.Or(cmp.Compare(-b.nats(), -a.nats()), cmp.Compare(a.Trial, b.Trial)) // cmp takes NaN for the least: -NaN comes last
	})
	if res.Best = res.Trials[0]; res.Best.Nats == nil {
		return nil, all[res.Best.Trial-1].named(fmt.Errorf("it diverged, as did all others: %s; use a smaller train.lr, or train.clip_norm: 1", res.Best.Diverged))
	}
	if err := writeSweep(ctx, st, "sweeps/"+sweepKey(all), r.Varied(), trials[res.Best.Trial-1].Resolved.Over(o.Config), res); err != nil {
		return nil, err
	}
	for i := range res.Trials {
		t := &res.Trials[i]
		t.Run, t.Checkpoint = store.Locate(workdir, t.Run), store.Locate(workdir, t.Checkpoint)
	}
	res.Best = res.Trials[0]
	return res, nil
}

// sweepKey is a digest of the trials' keys and settings, in order.
func sweepKey(all []*trial) string {
	var b strings.Builder
	for _, t := range all {
		fmt.Fprintf(&b, "%s %s\n", t.Key, t.Says)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(b.String())))[:20]
}

// withSets returns the trials with their sets. Stages of a round make each set once.
func withSets(ctx context.Context, st *store.Store, trials []configs.Trial, o Options) ([]*trial, error) {
	sets := map[configs.Prep]stages.PrepResult{}
	var all []*trial
	for _, t := range trials {
		c := t.Resolved.Config
		if _, ok := sets[c.Prep]; !ok {
			ro := round.Options{Runner: o.Runner, Verbose: o.Verbose, Console: o.Console, To: "prep", Stages: o.Stages}
			p, err := round.Pipeline(&c, ro)
			if err != nil {
				return nil, err
			}
			options := ro.Workflow(&c)
			options.NoRecord = true
			options.Observe = func(e workflow.Event) { round.Announce(o.Console, e) }
			record, err := p.Run(ctx, st, options)
			if err != nil {
				return nil, err
			}
			var set stages.PrepResult
			if err := json.Unmarshal(record.Stage("prep").Value, &set); err != nil {
				return nil, fmt.Errorf("sweep: result of prep: %w", err)
			}
			sets[c.Prep] = set
		}
		c.Notify = configs.Notify{} // secrets stay here
		var err error
		if c.Workdir, err = store.Absolute(c.Workdir); err != nil {
			return nil, err
		}
		all = append(all, &trial{Number: t.Number, Says: t.String(), Config: c, YAML: t.Resolved.YAML(), Set: sets[c.Prep], Quiet: o.Quiet})
	}
	return all, nil
}
