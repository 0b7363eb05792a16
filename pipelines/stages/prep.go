// Package stages holds the acts Prep and Train, on any folder or gs:// URL: a
// corpus becomes a set, a set becomes the checkpoints of a run. A finished result
// of the same inputs is not made again.
package stages

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
	"github.com/quire-ml/quire/transforms/vocab"
)

// PrepOptions are the inputs of Prep beside the config.
type PrepOptions struct {
	Out     string // the set's directory
	Runner  string // direct, prism, flink or dataflow
	Way     string // files or engine, see package tfrecordio; empty: engine on flink and dataflow, else files
	Replace bool   // deletes a finished set that came from other inputs or is damaged
	Fresh   bool   // deletes a finished set in any case
	Owned   bool   // the directory belongs to this set alone, by its name: a set's file in it is of this set
	Verbose bool   // Beam's log goes to stderr
	Console *report.Console
}

// Sequences are the numbers of sequences of each split.
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
	Records        int64      `json:"records,omitempty"`      // that were joined; 0: documents are as they were found
	Seconds        float64    `json:"seconds"`

	// Drift says how much the validation part is unlike the training part. Repeated is
	// the share of the held-out text that the training part has too. nil: there is no
	// validation part. Repeated is nil for a large corpus, too; the gate then tells.
	Drift    *dataset.Drift `json:"drift,omitempty"`
	Repeated *float64       `json:"repeated,omitempty"`

	Skipped bool `json:"skipped"` // the set was finished before

	documents int  // of the manifest
	byTail    bool // how the validation part is held out

	Submitted *engine.Job `json:"submitted,omitempty"` // a job that Prep did not wait for: all but Set is zero
}

// Preflight checks, before any work, that prep can run on a runner and write the
// set to out. Everything that keeps it from running is in one engine.UsageError.
func Preflight(ctx context.Context, c *configs.Config, runner, out string) error {
	sources, err := c.Corpus.Expanded()
	if err != nil {
		return err
	}
	return engine.Preflight(ctx, runner, out, sources)
}

// Prep makes the set of a corpus, unless the directory holds it. The error is an
// *OtherSetError where the directory holds another one. In a mode of the engine that
// does not wait, Prep returns before the set is made.
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
		return runPrep(ctx, st, c, found, o, began) // no set is made, and a template's list of documents stays
	}
	h, err := look(ctx, st, c, found, o)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil && h.finished():
		return reuseSet(ctx, st, o, began)
	case err == nil && h.exists:
		o.Console.Line("prep: %s is missing: making the set again", st.Join(h.missing))
	case err != nil && !(o.Fresh && h.exists || o.Replace && replaceable(err)):
		return nil, err
	case err != nil:
		o.Console.Line("prep: replacing the set: %v", err)
	}
	if err := CheckText(c, found); err != nil {
		return nil, err
	}
	for _, hint := range prepare.Hints(found.Documents, prepareOptions(c, o.Out).Newlines) {
		o.Console.Warn("prep: %s", hint)
	}
	o.Console.Line("prep: %s, %d bytes, on %s",
		report.Count(len(found.Documents), "document"), corpus.Bytes(found.Documents), o.Runner)
	return withLease(ctx, st, c, found, o, began, h, err != nil)
}

// CheckText returns a *prepare.TextError where Prep refuses a document.
func CheckText(c *configs.Config, found *text.Corpus) error {
	return prepare.CheckText(found.Documents, prepareOptions(c, ""))
}

// leaseName is the object of the lease on making a set. Its value, a mark, says which
// files prep has made in the directory, and stays there.
const leaseName = ".prep.json"

// withLease makes the set while no other process does so in the same directory.
// replace deletes the manifest of the set before it.
func withLease(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions, began time.Time,
	h holding, replace bool,
) (res *PrepResult, err error) {
	lease, err := store.Acquire(ctx, st, leaseName, nil)
	var held *store.HeldError
	switch {
	case errors.As(err, &held):
		return nil, fmt.Errorf("stages: prep: the set is being made by another: %w", err)
	case err != nil:
		return nil, fmt.Errorf("stages: prep: %w", err)
	}
	defer func() { err = errors.Join(err, lease.Release(context.WithoutCancel(ctx))) }()
	if !replace { // another process may have made the set before the lease was free
		if h, err := look(ctx, st, c, found, o); err == nil && h.finished() {
			return reuseSet(ctx, st, o, began)
		}
	}
	now := mark{Sets: []map[string]int{prepareOptions(c, o.Out).ShardCounts(corpus.Bytes(found.Documents))}}
	if err := lease.Commit(ctx, mark{append(h.made.Sets, now.Sets...)}); err != nil {
		return nil, fmt.Errorf("stages: prep: %w", err)
	}
	if replace {
		if err := st.Delete(ctx, dataset.ManifestName, ""); err != nil {
			return nil, err
		}
	}
	mine := func(name string) bool { return h.made.has(name) || now.has(name) }
	if err := prepare.Clean(ctx, st, mine); err != nil {
		return nil, err
	}
	if res, err = runPrep(ctx, st, c, found, o, began); err != nil {
		return nil, errors.Join(err, prepare.Clean(context.WithoutCancel(ctx), st, mine))
	}
	if res.Submitted == nil && len(h.made.Sets) > 0 {
		if err := lease.Commit(ctx, now); err != nil {
			return nil, fmt.Errorf("stages: prep: %w", err)
		}
	}
	return res, lease.Err()
}

// manyDocuments are so many that their descriptions are most of the memory of prep.
const manyDocuments = 20_000

// runPrep runs the pipeline in a clean directory, and removes its temporary files.
func runPrep(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions, began time.Time,
) (*PrepResult, error) {
	p, s := beam.NewPipelineWithRoot()
	dir, err := store.Absolute(o.Out)
	if err != nil {
		return nil, err
	}
	options := prepareOptions(c, dir)
	options.Way = o.Way
	if o.Way == "" && (o.Runner == "flink" || o.Runner == "dataflow") {
		options.Way = "engine" // workers need no common disk, and the engine groups on disk
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
	if engine.ModeOf(o.Runner) != engine.DryRun {
		if err := prepare.PutList(ctx, st, docs, options); err != nil {
			return nil, err
		}
	}
	prepare.Set(s, docs, options)
	if len(docs) > manyDocuments {
		defer debug.SetGCPercent(debug.SetGCPercent(50)) // their descriptions are garbage soon, and small
	}
	stop, err := showProgress(ctx, o.Console, o.Runner, found.Documents, options)
	if err != nil {
		return nil, err
	}
	job, err := engine.Start(ctx, o.Runner, p, engine.Options{Verbose: o.Verbose})
	stop()
	if err == nil && job.Mode != engine.Wait {
		return &PrepResult{Set: store.Path(o.Out), Submitted: job, Seconds: time.Since(began).Seconds()}, nil
	}
	if err != nil && ctx.Err() != nil && o.Runner == "dataflow" {
		o.Console.Warn("prep: %v", err) // names the job, which may still run
	}
	if mode := engine.ModeOf(o.Runner); mode == engine.Wait || mode == engine.Async {
		err = errors.Join(err, prepare.Clean(context.WithoutCancel(ctx), st, noFile))
	}
	if err != nil {
		return nil, err
	}
	res, err := describeSet(ctx, o.Out, began)
	if err == nil {
		summarizePrep(o.Console, res, corpus.Bytes(found.Documents))
		warnOfSet(o.Console, res)
	}
	return res, err
}

// prepareOptions turns the prep section into the options of the transform.
func prepareOptions(c *configs.Config, dir string) prepare.Options {
	p := c.Prep
	o := prepare.Options{Dir: dir, SeqLength: p.SeqLength, Stride: p.Stride, Unit: vocab.Unit(p.Unit), Normalize: p.Normalize,
		InvalidUTF8: p.InvalidUTF8, MinCount: p.MinCount, ValidationFraction: p.Validation.Fraction, ValidationBy: p.Validation.By,
		TestFraction: p.Test.Fraction, Records: c.Corpus.Records, Pack: p.Pack, Seed: p.Seed, Batch: c.Train.Batch, Shards: p.Shards}
	if c.Corpus.Encoding != charset.UTF8 {
		o.Encoding = c.Corpus.Encoding
	}
	if c.Corpus.Newlines != charset.Keep {
		o.Newlines = c.Corpus.Newlines
	}
	return o
}
