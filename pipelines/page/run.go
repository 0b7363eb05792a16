package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// runFacts are what the files of a training's directory say.
type runFacts struct {
	Name   string // of the directory
	Label  string // among others
	Class  string // its colour among others
	Values []setting

	Nats     *float64 // the lowest loss; nil: none is known
	Split    string   // of Nats
	Train    *float64 // loss of the last epoch, or of the last steps
	Step     int64
	Epoch    int
	Speed    *float64 // characters a second, at the end
	Diverged string   // why it ended without a model
	Config   map[string]string
	Corpus   string // digest of the documents; "" where only a round knows it
	Set      string // sha256 of the set's manifest; "": not known
	path     string // of the directory

	curves    report.Curves
	epochs    epochs
	baselines []report.Baseline
}

// An epochRow is the end of an epoch.
type epochRow struct {
	Epoch      int
	Step       int64
	Train      *float64
	Validation *float64
	Sample     string
}

// epochs are the ends of epochs. Of many, every second, fourth, … is kept, and the last.
type epochs struct {
	kept []epochRow
	last *epochRow
	n    int
	skip int
}

// mostEpochs is the number of epochs from which on every second is left out.
const mostEpochs = 512

func (e *epochs) add(r epochRow) {
	if e.n%(1<<e.skip) == 0 {
		e.kept = append(e.kept, r)
	}
	e.last = &r
	e.n++
	if len(e.kept) < mostEpochs {
		return
	}
	for i := range mostEpochs / 2 {
		e.kept[i] = e.kept[2*i]
	}
	e.kept = e.kept[:mostEpochs/2]
	e.skip++
}

// all returns the epochs that are kept, the last included.
func (e *epochs) all() []epochRow {
	if e.n == 0 || e.kept[len(e.kept)-1].Epoch == e.last.Epoch {
		return e.kept
	}
	return append(e.kept[:len(e.kept):len(e.kept)], *e.last)
}

// pick returns n of a list, evenly, with the first and the last.
func pick[T any](list []T, n int) []T {
	if len(list) <= n {
		return list
	}
	var out []T
	for i := range n {
		out = append(out, list[i*(len(list)-1)/(n-1)])
	}
	return out
}

// A NoRunError says that a directory has nothing of a training.
type NoRunError struct{ Path string }

func (e *NoRunError) Error() string { return fmt.Sprintf("page: %s: there is no run", e.Path) }

// readRun reads the directory of a training. tell is told of a file that cannot be read, and
// that the page does without.
func readRun(ctx context.Context, st *store.Store, tell func(error)) (*runFacts, error) {
	r := &runFacts{Name: path.Base(strings.TrimRight(st.URL(), "/")), path: st.URL()}
	found := false
	err := report.ReadMetrics(ctx, st, func(l report.Line) error { found = true; r.add(l); return nil })
	if err := passOver(ctx, err, tell); err != nil {
		return nil, err
	}
	found = found || err != nil
	switch p, err := run.Find(ctx, st, run.Best); {
	case err == nil && p.Loss != nil:
		found, r.Nats, r.Split = true, p.Loss, "validation"
		r.Step = max(r.Step, p.Step)
	case err == nil:
		found = true
		r.Step = max(r.Step, p.Step)
	case !errors.Is(err, store.ErrNotExist):
		if err := passOver(ctx, err, tell); err != nil {
			return nil, err
		}
		found = true
	}
	if err := r.readDivergence(ctx, st); err != nil {
		return nil, err
	}
	ours, err := run.IsRun(ctx, st)
	if err := passOver(ctx, err, tell); err != nil {
		return nil, err
	}
	if !found && !ours && r.Diverged == "" {
		return nil, &NoRunError{st.URL()}
	}
	return r, passOver(ctx, r.readConfig(ctx, st), tell)
}

// passOver tells of an error that the page does without, and returns others: those that may
// pass, and that of ctx.
func passOver(ctx context.Context, err error, tell func(error)) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || store.Transient(err):
		return err
	}
	tell(err)
	return nil
}

// add counts a line of metrics in.
func (r *runFacts) add(l report.Line) {
	r.curves.Add(l)
	r.Step, r.Epoch = max(r.Step, l.Step), max(r.Epoch, l.Epoch)
	if l.PerSecond != nil {
		r.Speed = l.PerSecond
	}
	if l.Train != nil {
		r.Train = l.Train
	}
	if l.EpochTrain != nil {
		r.Train = l.EpochTrain
	}
	if l.Validation != nil && !math.IsNaN(*l.Validation) && (r.Nats == nil || *l.Validation < *r.Nats) {
		r.Nats, r.Split = l.Validation, "validation"
	}
	if l.EpochTrain != nil || l.Validation != nil || l.Sample != "" {
		r.epochs.add(epochRow{l.Epoch, l.Step, l.EpochTrain, l.Validation, l.Sample})
	}
}

// readSet reads from the checkpoint of a run which set it was trained on.
func (r *runFacts) readSet(ctx context.Context) error {
	c, _, err := run.Open(ctx, r.path, run.Best)
	if err != nil {
		return passOver(ctx, err, func(error) {})
	}
	r.Set = c.Set
	return nil
}

// loss sets the loss of a run without a validation part.
func (r *runFacts) loss() {
	if r.Nats == nil && r.Diverged == "" && r.Train != nil {
		r.Nats, r.Split = r.Train, "training"
	}
}

// readDivergence reads why a training of a sweep has ended without a model.
func (r *runFacts) readDivergence(ctx context.Context, st *store.Store) error {
	data, _, err := st.ReadUpTo(ctx, run.DivergedName, 1<<20)
	var d struct{ Reason string }
	switch {
	case err == nil && json.Unmarshal(data, &d) == nil:
		r.Diverged = d.Reason
		if d.Reason == "" {
			r.Diverged = "it diverged"
		}
	case err != nil && (ctx.Err() != nil || store.Transient(err)):
		return err
	}
	return nil
}

// readConfig reads the settings that a run was made with, of whatever version of the config.
func (r *runFacts) readConfig(ctx context.Context, st *store.Store) error {
	data, _, err := st.ReadUpTo(ctx, "config.yaml", 1<<20)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var all map[string]any
	if err := yaml.Unmarshal(data, &all); err != nil {
		return fmt.Errorf("page: %s: %w", st.Join("config.yaml"), err)
	}
	flat, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("page: %s: %w", st.Join("config.yaml"), err)
	}
	r.Config = settings(flat)
	return nil
}

// settings returns the values of a config by dotted key, as texts.
func settings(config json.RawMessage) map[string]string {
	out := map[string]string{}
	for key, value := range workflow.Flatten(config) {
		out[key] = textOf(value)
	}
	return out
}

// textOf writes a value of a setting: a text without its quotation marks.
func textOf(value json.RawMessage) string {
	var v any
	if json.Unmarshal(value, &v) != nil {
		return string(value)
	}
	return shown(v)
}

// shown writes a value that was decoded from JSON.
func shown(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = shown(v[i])
		}
		return strings.Join(parts, ", ")
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// findBaselines sets the n-gram entropies of the text that a run was trained on, where its
// set lies in one of these directories, or in their folders of sets.
func (r *runFacts) findBaselines(ctx context.Context, dirs ...string) error {
	if err := r.readSet(ctx); err != nil || r.Set == "" {
		return err
	}
	set, done, err := text.FindSet(ctx, r.Set, dirs)
	if err != nil || set == nil {
		return passOver(ctx, err, func(error) {})
	}
	defer done()
	r.baselines = text.Baselines(set)[1:]
	return nil
}
