package prepare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charseq"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/shuffle"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

func init() {
	beam.RegisterType(reflect.TypeFor[plan]())
	register.DoFn2x2[corpus.Statistics, func(*corpus.Digest) bool, plan, error](&planFn{})
	register.DoFn4x1[context.Context, corpus.Block, plan, func(int64, tfrecordio.Ref), error](&cutFn{})
	register.DoFn2x0[plan, func(int64, tfrecordio.Target)](&targetFn{})
	register.DoFn3x2[context.Context, plan, func(*dataset.Shard) bool, string, error](&finishFn{})
	register.Iter1[corpus.Digest]()
	register.Iter1[dataset.Shard]()
	register.Emitter2[int64, tfrecordio.Ref]()
	register.Emitter2[int64, tfrecordio.Target]()
}

// planFn makes the plan of the corpus' statistics; its side input are the
// documents' digests.
//
// Order: one element. Dropped: nothing. Retry: output depends on the input
// alone. Memory: the plan.
type planFn struct {
	Options Options `json:"options"`
}

func (f *planFn) ProcessElement(st corpus.Statistics, each func(*corpus.Digest) bool) (plan, error) {
	var digests []corpus.Digest
	var d corpus.Digest
	for each(&d) {
		digests = append(digests, d)
	}
	slices.SortFunc(digests, func(a, b corpus.Digest) int { return cmp.Compare(a.Doc, b.Doc) })
	return newPlan(f.Options, st, digests)
}

// cutFn cuts the sequences that start in a block, writes them to one part and
// emits where each shard's are. Its side input is the plan.
//
// Order: none. Dropped: the characters of no sequence, counted in the manifest.
// Retry: a part's name is its block's position and its bytes depend on the
// block and the plan alone; a part that is there with these bytes counts as
// written. Memory: the block's bytes and 4 times as much for ids.
type cutFn struct {
	Options Options `json:"options"`

	st     *store.Store
	reader *corpus.Reader
	cutter *charseq.Cutter // of the plan; nil before the first element
	size   int             // of the vocabulary
	orders []*shuffle.Order
	first  []int64 // for each split, the number of its first shard
}

// Setup makes the reader.
func (f *cutFn) Setup() { f.reader = new(corpus.Reader) }

// StartBundle forgets the plan of an earlier bundle.
func (f *cutFn) StartBundle(_ plan, _ func(int64, tfrecordio.Ref)) { f.cutter = nil }

// Teardown closes what is open.
func (f *cutFn) Teardown() error {
	err := f.reader.Close()
	if f.st != nil {
		if e := f.st.Close(); err == nil {
			err = e
		}
		f.st = nil
	}
	return err
}

// start prepares for the blocks of a bundle.
func (f *cutFn) start(ctx context.Context, p *plan) error {
	if f.st == nil {
		st, err := store.Open(ctx, f.Options.Dir)
		if err != nil {
			return err
		}
		f.st = st
	}
	v := new(vocab.Vocab)
	if err := v.UnmarshalJSON(p.Vocab); err != nil {
		return fmt.Errorf("prepare: plan: %w", err)
	}
	f.orders, f.first = nil, nil
	shards := int64(0)
	for i, s := range f.Options.splits() {
		f.orders = append(f.orders, shuffle.Seeded(p.Layout.Totals[i], f.Options.Seed, uint64(i), s.Shards))
		f.first = append(f.first, shards)
		shards += int64(s.Shards)
	}
	f.cutter, f.size = charseq.NewCutter(v), v.Size()
	return nil
}

func (f *cutFn) ProcessElement(ctx context.Context, b corpus.Block, p plan, emit func(int64, tfrecordio.Ref)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.cutter == nil {
		if err := f.start(ctx, &p); err != nil {
			return err
		}
	}
	at, ok := p.block(b.Doc, b.Offset)
	if !ok {
		return fmt.Errorf("prepare: %s: byte %d: block is not in the plan", b.Document.Name, b.Offset)
	}
	runs := p.Layout.Starting(b.Doc, at.First, at.First+at.Chars)
	if len(runs) == 0 {
		return nil
	}
	entries, err := f.cut(ctx, b, at, runs)
	if err != nil {
		return fmt.Errorf("prepare: %s: %w", b.Document.Name, err)
	}
	return tfrecordio.WritePart(ctx, f.st, partName(b), entries, f.size, emit)
}

// cut returns the sequences of runs, which start in block b.
func (f *cutFn) cut(ctx context.Context, b corpus.Block, at blockPlan, runs []charseq.Run) ([]tfrecordio.Entry, error) {
	n := int64(f.Options.SeqLength) + 1
	text, err := f.reader.Block(ctx, b, f.Options.Unit, 4*n)
	if err != nil {
		return nil, err
	}
	if text.CRC != at.CRC {
		return nil, changed(b.Offset)
	}
	ids, owned, err := f.cutter.IDs(text, n)
	if err != nil {
		return nil, err
	}
	if int64(owned) != at.Chars {
		return nil, changed(b.Offset)
	}
	var entries []tfrecordio.Entry
	for _, r := range runs {
		from := r.Char - at.First
		if from+r.Count*n > int64(len(ids)) {
			return nil, changed(b.End())
		}
		for i := range r.Count {
			rank, shard := f.orders[r.Split].Place(r.Index + i)
			entries = append(entries, tfrecordio.Entry{Shard: f.first[r.Split] + int64(shard), Rank: rank, IDs: ids[from+i*n : from+(i+1)*n]})
		}
	}
	return entries, nil
}

// partName returns the name of a block's part: its position in the corpus.
func partName(b corpus.Block) string {
	return fmt.Sprintf("%s%08d-%014d", partsPrefix, b.Doc, b.Offset)
}

// targetFn emits what the shards are, keyed by their number.
//
// Order: none. Dropped: nothing; a shard without records is one too. Retry:
// output depends on the plan alone. Memory: the plan.
type targetFn struct{}

func (*targetFn) ProcessElement(p plan, emit func(int64, tfrecordio.Target)) {
	for i, s := range p.Shards {
		emit(int64(i), tfrecordio.Target{Name: s.Name, Lo: s.Lo, Hi: s.Hi, RecordBytes: p.RecordBytes})
	}
}

// finishFn writes vocab.json and, last, manifest.json, and returns the latter's
// sha256. Its side input are the shards written.
//
// Order: one element. Dropped: nothing; a shard that was not written is an
// error. Retry: both files depend on the input alone and may be there already.
// Memory: the plan.
type finishFn struct {
	Options Options `json:"options"`
}

func (f *finishFn) ProcessElement(ctx context.Context, p plan, each func(*dataset.Shard) bool) (sum string, err error) {
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
