package prepare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
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

// planFn emits the plan of the corpus' statistics. The side input is the documents'
// digests.
//
// When a document cannot be read, an engine may go on for a while with the digests
// of the others. Then planFn emits no plan and returns no error, which would hide the
// first one. cutFn does nothing without a plan.
//
// Order: one element. Dropped: nothing. Retry: output depends on the input
// alone. Memory: the plan.
type planFn struct {
	Options Options `json:"options"`
}

func (f *planFn) ProcessElement(st corpus.Statistics, each func(*corpus.Digest) bool, emit func(plan)) error {
	var digests []corpus.Digest
	var d corpus.Digest
	for each(&d) {
		digests = append(digests, d)
		d = corpus.Digest{}
	}
	slices.SortFunc(digests, func(a, b corpus.Digest) int { return cmp.Compare(a.Doc, b.Doc) })
	for i, d := range digests {
		if d.Doc != int64(i) {
			return nil
		}
	}
	if n := len(st.Ranges); n == 0 || st.Ranges[n-1].Doc >= int64(len(digests)) {
		return nil
	}
	p, err := newPlan(f.Options, st, digests)
	if err != nil {
		return err
	}
	emit(p)
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
// Memory: the plan, and 200 bytes a shard.
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
	data, err := m.Encode()
	if err != nil {
		return "", fmt.Errorf("prepare: %w", err)
	}
	st, err := store.Open(ctx, f.Options.Dir)
	if err != nil {
		return "", err
	}
	defer func() {
		if e := st.Close(); err == nil {
			err = e
		}
	}()
	if _, err := st.Put(ctx, dataset.VocabName, p.Vocab); err != nil {
		return "", err
	}
	if _, err := st.Put(ctx, dataset.ManifestName, data); err != nil {
		return "", err
	}
	return digest(data), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
