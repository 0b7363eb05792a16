// Package stages holds the acts Prep and Train, on any folder or gs:// URL: a
// corpus becomes a set, a set becomes the checkpoints of a run. What is there
// already and came from the same inputs is not made again.
package stages

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
	"github.com/quire-ml/quire/transforms/vocab"
)

// PrepOptions are the inputs of Prep beside the config.
type PrepOptions struct {
	Out     string // the set's directory
	Runner  string // direct, prism, flink or dataflow
	Way     string // files or engine, see package tfrecordio; empty: what suits the runner
	Replace bool   // deletes a finished set that came from other inputs
	Verbose bool   // Beam's log goes to stderr
	Console *report.Console
}

// Sequences counts the sequences of each part.
type Sequences struct {
	Train      int64 `json:"train"`
	Validation int64 `json:"validation"`
	Test       int64 `json:"test"`
}

// PrepResult is the outcome of Prep. Entropies are in nats a character.
type PrepResult struct {
	Set            store.Path `json:"set"`
	ManifestSHA256 string     `json:"manifest_sha256"`
	Chars          int64      `json:"chars"`
	Vocab          int        `json:"vocab"`
	Sequences      Sequences  `json:"sequences"`
	DroppedChars   int64      `json:"dropped_chars"`
	UnigramNats    float64    `json:"unigram_nats"`
	BigramNats     float64    `json:"bigram_nats"`
	TrigramNats    *float64   `json:"trigram_nats,omitempty"` // nil: not known
	Seconds        float64    `json:"seconds"`
	Skipped        bool       `json:"skipped"` // the set was there already

	Submitted *engine.Job `json:"submitted,omitempty"` // not waited for: all but Set is zero
}

// Prep makes a set of a corpus, unless it is there already. In a mode of the
// engine that does not wait, the set is not there yet when Prep returns.
func Prep(ctx context.Context, c *configs.Config, found *text.Corpus, o PrepOptions) (*PrepResult, error) {
	began := time.Now()
	if err := engine.Check(o.Runner); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, o.Out)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if mode := engine.ModeOf(o.Runner); mode == engine.DryRun || mode == engine.Template {
		return runPrep(ctx, st, c, found, o, began) // what is there now does not matter
	}
	diffs, err := setDifferences(ctx, st, c, found)
	none := errors.Is(err, store.ErrNotExist)
	if err == nil && len(diffs) == 0 {
		err = intact(ctx, o.Out, o.Replace)
	}
	switch {
	case none:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && len(diffs) == 0:
		if err := prepare.Clean(ctx, st); err != nil { // after a job that was not waited for
			return nil, err
		}
		res, err := describeSet(ctx, o.Out, began)
		if err == nil {
			res.Skipped = true
		}
		return res, err
	case err != nil && !o.Replace:
		return nil, err
	case !o.Replace:
		return nil, fmt.Errorf("stages: %s holds a set from other inputs (%s); use another prep.out, or --replace to make it anew", o.Out, strings.Join(diffs, "; "))
	default:
		if err != nil {
			diffs = []string{err.Error()}
		}
		o.Console.Line("prep: replacing %s: %s", o.Out, strings.Join(diffs, "; "))
	}
	o.Console.Line("prep: %s, %d bytes, on %s", report.Count(len(found.Documents), "document"), corpus.Bytes(found.Documents), o.Runner)
	return soleRun(ctx, st, c, found, o, began, !none)
}

// leaseName is the lease of who makes a set. It is there as long as prep runs.
const leaseName = ".prep.json"

// soleRun makes the set anew in a folder in which no other process does so.
// replace deletes the manifest that is there.
func soleRun(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions, began time.Time, replace bool) (res *PrepResult, err error) {
	lease, err := store.Acquire(ctx, st, leaseName, nil)
	if err != nil {
		return nil, fmt.Errorf("stages: prep: the set is being made by another: %w", err)
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	if replace {
		if err := st.Delete(ctx, dataset.ManifestName, ""); err != nil {
			return nil, err
		}
	}
	if err := prepare.Clean(ctx, st); err != nil {
		return nil, err
	}
	if res, err = runPrep(ctx, st, c, found, o, began); err != nil {
		return nil, err
	}
	return res, lease.Err()
}

// intact opens the set at a path, which verifies all but the shards' bytes;
// with all, those too.
func intact(ctx context.Context, path string, all bool) error {
	set, done, err := text.OpenSet(ctx, path)
	if err != nil {
		return err
	}
	defer done()
	if all {
		return set.Verify(ctx)
	}
	return nil
}

// runPrep runs the pipeline, in a folder that is clean, and cleans up after it.
func runPrep(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions, began time.Time) (*PrepResult, error) {
	p, s := beam.NewPipelineWithRoot()
	dir, err := store.Absolute(o.Out)
	if err != nil {
		return nil, err
	}
	options := prepareOptions(c, dir)
	options.Way = o.Way
	if o.Way == "" && (o.Runner == "flink" || o.Runner == "dataflow") {
		options.Way = "engine" // their workers need share no fast disk, and they group on disk
	}
	if err := options.Validate(); err != nil {
		return nil, err
	}
	docs, err := reachable(ctx, found, o.Runner)
	if err != nil {
		return nil, err
	}
	if err := prepare.CheckSpace(ctx, st, found.Documents, options); err != nil {
		return nil, err
	}
	prepare.Set(s, docs, options)
	stop, err := watchPrep(ctx, o.Console, o.Runner, found.Documents, options)
	if err != nil {
		return nil, err
	}
	job, err := engine.Start(ctx, o.Runner, p, engine.Options{Verbose: o.Verbose})
	stop()
	if err == nil && job.Mode != engine.Wait {
		return &PrepResult{Set: store.Path(o.Out), Submitted: job, Seconds: time.Since(began).Seconds()}, nil
	}
	if err != nil && ctx.Err() != nil && o.Runner == "dataflow" {
		o.Console.Warn("prep: %v", err) // says what became of the job
	}
	if mode := engine.ModeOf(o.Runner); mode == engine.Wait || mode == engine.Async {
		err = errors.Join(err, prepare.Clean(context.WithoutCancel(ctx), st))
	}
	if err != nil {
		return nil, err
	}
	res, err := describeSet(ctx, o.Out, began)
	if err == nil {
		summarizePrep(o.Console, res, corpus.Bytes(found.Documents))
	}
	return res, err
}

// prepareOptions turns the prep section into the options of the transform.
func prepareOptions(c *configs.Config, dir string) prepare.Options {
	p := c.Prep
	return prepare.Options{Dir: dir, SeqLength: p.SeqLength, Stride: p.Stride, TestFraction: p.Test.Fraction, Unit: vocab.Unit(p.Unit), Normalize: p.Normalize, InvalidUTF8: p.InvalidUTF8,
		MinCount: p.MinCount, ValidationFraction: p.Validation.Fraction, ValidationBy: p.Validation.By, Seed: p.Seed, Shards: p.Shards}
}

// setDifferences compares the finished set in st with what Prep would make.
// The error wraps store.ErrNotExist when there is none.
func setDifferences(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus) ([]string, error) {
	data, _, err := st.Read(ctx, dataset.ManifestName)
	if err != nil {
		return nil, err
	}
	m, err := dataset.DecodeManifest(st.Join(dataset.ManifestName), data)
	if err != nil {
		return nil, err
	}
	old, now := *c, *c
	old.Prep = prepOf(m)
	if c.Prep.Stride == c.Prep.SeqLength+1 {
		now.Prep.Stride = 0 // as a manifest has it
	}
	now.Prep.Shards = prepareOptions(c, "").TrainShards(corpus.Bytes(found.Documents))
	var diffs []string
	add := func(what string, has, now any) {
		if has != now {
			diffs = append(diffs, fmt.Sprintf("%s: the set has %v, now %v", what, has, now))
		}
	}
	for _, d := range now.Differences(&old, configs.Data) {
		add(d.Key, d.Was, d.Is)
	}
	add("documents", len(m.Documents), len(found.Documents))
	for i := 0; i < min(len(m.Documents), len(found.Documents)); i++ {
		add("document "+found.Documents[i].Name, m.Documents[i].SHA256, found.Digests[i])
		add("document", m.Documents[i].Name, found.Documents[i].Name)
	}
	return diffs, nil
}

// prepOf returns the config that a set was made with, with the number of shards
// that was chosen. It has a field for each key of the effect data: a key that is
// missing here makes every set one from other inputs.
func prepOf(m *dataset.Manifest) configs.Prep {
	p := configs.Prep{SeqLength: m.SeqLength, Stride: m.Stride, Unit: m.Unit, Normalize: m.Normalize, InvalidUTF8: m.InvalidUTF8, MinCount: m.MinCount,
		Validation: configs.Validation{Fraction: m.Validation.Fraction, By: m.Validation.By}, Seed: m.Seed, Shards: len(m.Splits[0].Shards)}
	if m.Test != nil {
		p.Test.Fraction = m.Test.Fraction
	}
	return p
}

// describeSet reads the set back, every size checked.
func describeSet(ctx context.Context, out string, began time.Time) (*PrepResult, error) {
	set, done, err := text.OpenSet(ctx, out)
	if err != nil {
		return nil, err
	}
	defer done()
	m := set.Manifest()
	res := &PrepResult{Set: store.Path(out), ManifestSHA256: set.SHA256(), Chars: m.Chars, Vocab: set.Vocab().Size(), DroppedChars: m.DroppedChars,
		UnigramNats: m.Entropy.UnigramNats, BigramNats: m.Entropy.BigramNats, TrigramNats: m.Entropy.TrigramNats, Seconds: time.Since(began).Seconds()}
	if s := set.Split("train"); s != nil {
		res.Sequences.Train = s.Len()
	}
	if s := set.Split("validation"); s != nil {
		res.Sequences.Validation = s.Len()
	}
	if s := set.Split("test"); s != nil {
		res.Sequences.Test = s.Len()
	}
	return res, nil
}
