package round

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Listing is the rounds of a workdir, the oldest first.
type Listing struct {
	Rounds  []Summary `json:"rounds"`
	Damaged []error   `json:"-"` // of the records that cannot be read
}

// Summary is a round in one line.
type Summary struct {
	Round       string    `json:"round"`
	Began       time.Time `json:"began"`
	Seconds     float64   `json:"seconds"`
	Exit        string    `json:"exit"`
	Ran         []string  `json:"ran"` // stages; the others were skipped, or not come to
	NatsPerChar *float64  `json:"nats_per_char"`
	Promoted    bool      `json:"promoted"` // by this round
}

// List reads the records of a workdir.
func List(ctx context.Context, workdir string) (*Listing, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	list := &Listing{Rounds: []Summary{}}
	records, err := workflow.Records(ctx, st, func(err error) { list.Damaged = append(list.Damaged, err) })
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		s := Summary{Round: r.Round, Began: r.Began, Seconds: r.Ended.Sub(r.Began).Seconds(), Exit: r.Exit, Ran: []string{}}
		for _, stage := range r.Stages {
			if stage.Action == workflow.ActionRun && !stage.Live {
				s.Ran = append(s.Ran, stage.Name)
			}
		}
		if e, stage, err := EvaluationArtifact.Recorded(r); stage != nil && err == nil {
			s.NatsPerChar = &e.NatsPerChar
		}
		if p, stage, err := PromotionArtifact.Recorded(r); stage != nil && err == nil {
			s.Promoted = stage.Action == workflow.ActionRun && p.Checkpoint != ""
		}
		list.Rounds = append(list.Rounds, s)
	}
	return list, nil
}

// Shown is a record and where its sample comes from.
type Shown struct {
	*workflow.Record
	Lineage []Ancestor `json:"lineage"` // the sample first, the source files last
	Damaged []error    `json:"-"`       // of files that cannot be read, and are not needed
}

// Ancestor is something that a sample comes from.
type Ancestor struct {
	What   string `json:"what"` // sample, checkpoint, set or source
	Name   string `json:"name"` // a path below the workdir, or a document's name
	SHA256 string `json:"sha256"`
}

// Show reads the record of a round, the newest one for an empty id.
func Show(ctx context.Context, workdir, id string) (*Shown, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	shown := &Shown{}
	damaged := func(err error) { shown.Damaged = append(shown.Damaged, err) }
	if shown.Record, err = readRound(ctx, st, id, damaged); err != nil {
		return nil, err
	}
	shown.Lineage, err = lineage(ctx, st, shown.Record, damaged)
	return shown, err
}

// Newest is the ID of the newest round, as is an empty one.
const Newest = "latest"

// readRound reads the record of a round.
func readRound(ctx context.Context, st *store.Store, id string, damaged func(error)) (r *workflow.Record, err error) {
	if id == "" || id == Newest {
		r, err = workflow.Latest(ctx, st, damaged)
		if r == nil && err == nil {
			err = fmt.Errorf("round: %s has no rounds yet; run one", st.URL())
		}
		return r, err
	}
	r, err = workflow.ReadRecord(ctx, st, id)
	if errors.Is(err, store.ErrNotExist) {
		err = fmt.Errorf("%w; `runs list` lists the rounds that there are", err)
	}
	return r, err
}

// lineage goes back from a round's sample to the sources, as far as the round came and
// its files can be read.
func lineage(ctx context.Context, st *store.Store, r *workflow.Record, damaged func(error)) ([]Ancestor, error) {
	list := []Ancestor{}
	_, sample, err1 := SampleArtifact.Recorded(r)
	run, trained, err2 := ModelArtifact.Recorded(r)
	set, prepared, err3 := SetArtifact.Recorded(r)
	sources, found, err4 := SourcesArtifact.Recorded(r)
	if found == nil { // the corpus is the sources
		sources, found, err4 = CorpusArtifact.Recorded(r)
	}
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	if sample != nil {
		list = append(list, Ancestor{"sample", workflow.OutcomeName(sample.Name, sample.Key), sample.Digest})
	}
	if trained != nil {
		list = append(list, Ancestor{"checkpoint", string(run.Best), trained.Digest})
	}
	if prepared == nil {
		return list, nil
	}
	list = append(list, Ancestor{"set", string(set.Set), prepared.Digest})
	if found != nil && len(sources.Listed) == sources.Documents {
		for _, d := range sources.Listed {
			list = append(list, Ancestor{"source", d.Name, d.SHA256})
		}
		return list, nil
	}
	m, err := text.ReadManifest(ctx, st, string(set.Set)) // it has more documents than a record lists
	switch {
	case errors.Is(err, store.ErrNotExist):
		return list, nil
	case err != nil:
		damaged(err)
		return list, nil
	}
	for _, d := range m.Documents {
		list = append(list, Ancestor{"source", d.Name, d.SHA256})
	}
	return list, nil
}

// Figure is a number of a stage's result.
type Figure struct {
	Key   string
	Value float64
}

// Figures returns the numbers of a stage's result, ordered by key.
func Figures(s workflow.StageRecord) []Figure {
	var list []Figure
	for key, value := range workflow.Flatten(s.Value) {
		var x *float64
		if json.Unmarshal(value, &x) == nil && x != nil {
			list = append(list, Figure{key, *x})
		}
	}
	slices.SortFunc(list, func(a, b Figure) int { return cmp.Compare(a.Key, b.Key) })
	return list
}

// Comparison is two rounds side by side: the keys of the config that differ, and
// all metrics.
type Comparison struct {
	A       string     `json:"a"`
	B       string     `json:"b"`
	Config  []Compared `json:"config"`
	Metrics []Compared `json:"metrics"`
	Damaged []error    `json:"-"` // of the records that cannot be read, and are not needed
}

// Compared is a value of two rounds; nil: one does not have it.
type Compared struct {
	Key string `json:"key"`
	A   any    `json:"a"`
	B   any    `json:"b"`
}

// Diff compares two rounds of a workdir.
func Diff(ctx context.Context, workdir, a, b string) (*Comparison, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var config, metrics [2]map[string]any
	var rounds [2]string
	d := &Comparison{Config: []Compared{}}
	for i, id := range []string{a, b} {
		r, err := readRound(ctx, st, id, func(err error) { d.Damaged = append(d.Damaged, err) })
		if err != nil {
			return nil, err
		}
		rounds[i] = r.Round
		config[i], metrics[i] = map[string]any{}, map[string]any{}
		if err := json.Unmarshal(r.Config, &config[i]); err != nil {
			return nil, fmt.Errorf("round: round %s: config: %w", id, err)
		}
		for _, s := range r.Stages {
			for _, m := range Figures(s) {
				if !s.Live {
					metrics[i][s.Name+"."+m.Key] = m.Value
				}
			}
		}
	}
	for _, c := range sideBySide(config) {
		if fmt.Sprint(c.A) != fmt.Sprint(c.B) {
			d.Config = append(d.Config, c)
		}
	}
	d.A, d.B, d.Metrics = rounds[0], rounds[1], sideBySide(metrics)
	return d, nil
}

func sideBySide(m [2]map[string]any) []Compared {
	all := maps.Clone(m[0])
	maps.Copy(all, m[1])
	list := []Compared{}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		list = append(list, Compared{key, m[0][key], m[1][key]})
	}
	return list
}

// Made is what a round has made, for commands that go on with it.
type Made struct {
	Round string // its id
	Exit  string // how it ended, as in its record
	Set   string // path or URL
	Run   string // path or URL of its model; empty: it came to none
	Same  bool   // the round had the settings that are asked for
}

// How near a round is to what is asked for.
const (
	unfit = iota
	anySettings
	sameSettings
	exact
)

// FindSet returns the newest round whose set has a manifest of this sha256; else, and where
// manifest is empty, the newest with a set of the settings of c; else the newest with any
// set; else nil. damaged is told of records that cannot be read.
func FindSet(ctx context.Context, c *configs.Config, manifest string, damaged func(error)) (*Made, error) {
	top := sameSettings
	if manifest != "" {
		top = exact
	}
	return find(ctx, c, top, damaged, func(r *workflow.Record) int {
		set, s, err := SetArtifact.Recorded(r)
		switch {
		case s == nil || err != nil:
			return unfit
		case manifest != "" && set.ManifestSHA256 == manifest:
			return exact
		case same(c, r, configs.Data):
			return sameSettings
		}
		return anySettings
	})
}

// FindModel returns the newest round with a model of the settings of c, else the newest
// with any model, else nil. damaged is told of records that cannot be read.
func FindModel(ctx context.Context, c *configs.Config, damaged func(error)) (*Made, error) {
	return find(ctx, c, sameSettings, damaged, func(r *workflow.Record) int {
		_, s, err := ModelArtifact.Recorded(r)
		switch {
		case s == nil || err != nil:
			return unfit
		case same(c, r, configs.Data, configs.Weights, configs.Course, configs.Kept):
			return sameSettings
		}
		return anySettings
	})
}

// FindAny returns the newest round of a workdir that came to a set; nil: none did.
func FindAny(ctx context.Context, workdir string) (*Made, error) {
	return find(ctx, &configs.Config{Workdir: workdir}, anySettings, func(error) {}, func(r *workflow.Record) int {
		if _, s, err := SetArtifact.Recorded(r); s == nil || err != nil {
			return unfit
		}
		return anySettings
	})
}

// find returns the newest of the nearest rounds. It reads no record but the newest where
// that is as near as top.
func find(ctx context.Context, c *configs.Config, top int, damaged func(error), near func(*workflow.Record) int) (*Made, error) {
	st, err := store.Open(ctx, c.Workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	told := map[string]bool{} // Latest and Records may speak of the same file
	tell := func(err error) {
		if !told[err.Error()] {
			told[err.Error()] = true
			damaged(err)
		}
	}
	best, err := workflow.Latest(ctx, st, tell)
	if err != nil {
		return nil, err
	}
	fit := unfit
	if best != nil {
		fit = near(best)
	}
	if fit < top {
		records, err := workflow.Records(ctx, st, tell)
		if err != nil {
			return nil, err
		}
		fit = unfit
		for _, r := range slices.Backward(records) {
			if n := near(r); n > fit {
				best, fit = r, n
			}
		}
	}
	if fit == unfit {
		return nil, nil
	}
	set, _, err1 := SetArtifact.Recorded(best)
	run, _, err2 := ModelArtifact.Recorded(best)
	return &Made{Round: best.Round, Exit: best.Exit, Set: set.Set.In(c.Workdir), Run: run.Run.In(c.Workdir), Same: fit >= sameSettings},
		errors.Join(err1, err2)
}

// same reports whether the config of a round has the values of c for all keys with these
// effects. An older record lacks younger keys: it had their defaults.
func same(c *configs.Config, r *workflow.Record, effects ...configs.Effect) bool {
	data, err := json.Marshal(c)
	if err != nil {
		return false
	}
	now, old, given := workflow.Flatten(data), workflow.Flatten(r.Config), c.KeysOf(effects...)
	for key, effect := range configs.Effects() {
		was, ok := old[key]
		switch {
		case !slices.Contains(effects, effect):
		case !ok && slices.Contains(given, key), ok && compact(was) != compact(now[key]):
			return false
		}
	}
	return true
}

// compact returns a value on one line: a record holds it on several.
func compact(value json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value)
	}
	return b.String()
}
