package prepare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/opaque"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

func init() {
	opaque.Register[plan]()
	beam.RegisterDoFn(&planFn{})
	beam.RegisterDoFn(&targetFn{})
	beam.RegisterDoFn(&finishFn{})
}

// planFn emits the plan of the corpus' statistics. The side input is the pages of all
// documents, with digests.
//
// When a document cannot be read, an engine may go on for a while with the digests
// of the others. Then planFn emits no plan and returns no error, which would hide the
// first one. cutFn does nothing without a plan.
//
// Order: one element. Dropped: nothing. Retry: output, and the bytes of the file with the
// rows, depend on the input alone. Memory: the counts of the ranges, and 8 bytes a document.
type planFn struct {
	Options   Options `json:"options"`
	Documents int64   `json:"documents"`
}

func (f *planFn) ProcessElement(ctx context.Context, st corpus.Statistics, each func(*corpus.Page) bool, emit func(plan)) (err error) {
	var pages []corpus.Page
	var p corpus.Page
	for each(&p) {
		pages = append(pages, p)
		p = corpus.Page{}
	}
	slices.SortFunc(pages, func(a, b corpus.Page) int { return cmp.Compare(a.First, b.First) })
	next := int64(0)
	for _, p := range pages {
		if p.First != next {
			return nil
		}
		next += p.Documents
	}
	if next != f.Documents {
		return nil
	}
	w, err := f.Options.rows(ctx, "plan")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	made, err := newPlan(ctx, f.Options, st, pages, w)
	if err != nil {
		return err
	}
	emit(made)
	return nil
}

// targetFn emits the shards to be written.
//
// Order: none. Dropped: nothing; a shard without records counts. Retry:
// output depends on the plan alone. Memory: the plan.
type targetFn struct{}

func (*targetFn) ProcessElement(p plan, emit func(tfrecordio.Target)) {
	for _, t := range p.targets() {
		emit(t)
	}
}

// finishFn writes vocab.json and, last, manifest.json, and returns the sha256 of
// manifest.json. Its element is all shards written, under one key. The side input is
// the plan.
//
// Order: one element. Dropped: nothing; a shard that was not written is an
// error. Retry: both files depend on the input alone and may be there already.
// Memory: the plan, a page and 200 bytes a shard.
type finishFn struct {
	Options Options `json:"options"`
}

func (f *finishFn) ProcessElement(ctx context.Context, _ int, each func(*dataset.Shard) bool,
	plans func(*plan) bool) (sum string, err error) {
	var p plan
	if !plans(&p) {
		return "", errors.New("prepare: shards were written, but there is no plan")
	}
	var shards []dataset.Shard
	var s dataset.Shard
	for each(&s) {
		shards = append(shards, s)
	}
	v := new(vocab.Vocab)
	if err := v.UnmarshalJSON(p.Vocab); err != nil {
		return "", fmt.Errorf("prepare: plan: %w", err)
	}
	m, err := p.manifest(f.Options, v, digest(p.Vocab), shards)
	if err != nil {
		return "", err
	}
	st, err := store.Open(ctx, f.Options.Dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if _, err := st.Put(ctx, dataset.VocabName, p.Vocab); err != nil {
		return "", err
	}
	return f.write(ctx, st, &p, m)
}

// write writes the manifest, a document after the other, and returns its sha256.
func (f *finishFn) write(ctx context.Context, st *store.Store, p *plan, m *dataset.Manifest) (sum string, err error) {
	source, err := p.Rows.open(ctx, st)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	w, err := st.Create(ctx, dataset.ManifestName)
	if err != nil {
		return "", err
	}
	defer w.Abort()
	h := sha256.New()
	if err := m.Write(io.MultiWriter(h, w), p.documents(ctx, f.Options, source)); err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	if _, err := w.Commit(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
