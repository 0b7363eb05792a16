package prepare

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/charseq"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/shuffle"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

func init() {
	register.DoFn4x1[context.Context, corpus.Block, func(*plan) bool, func(int64, tfrecordio.Refs), error](&cutFn{})
	register.Iter1[plan]()
	register.Emitter2[int64, tfrecordio.Refs]()
}

// cutFn cuts the sequences that start in a block, writes them to one part and
// emits where each shard's are. It works on as many blocks at a time as there
// are cores. Its side input is the plan.
//
// Order: none. Dropped: the characters of no sequence, counted in the manifest.
// Retry: a part's name is its block's position and its bytes depend on the
// block and the plan alone; a part that is there with these bytes counts as
// written. Memory, for each core: the block's bytes and 3 times as much for ids,
// and 64 bytes a sequence; besides, maxRefs.
type cutFn struct {
	Options Options `json:"options"`

	st      *store.Store
	group   bundle.Group[[]shardRef]
	cutters bundle.Pool[cutter]
	plan    *plan // nil before the first element
	vocab   *vocab.Vocab
	orders  []*shuffle.Order
	first   []int64            // for each split, the number of its first shard
	refs    [][]tfrecordio.Ref // by shard, not yet emitted
	waiting int                // how many these are
	byBlock bool
	blocks  charseq.Blocks // where byBlock
}

// maxRefs is how many refs wait for the end of a bundle: 4 MB.
const maxRefs = 1 << 16

// A cutter is what one goroutine cuts with.
type cutter struct {
	reader  corpus.Reader
	cutter  *charseq.Cutter
	vocab   *vocab.Vocab // of cutter
	entries []tfrecordio.Entry
}

// A shardRef says where a shard's entries are in a part.
type shardRef struct {
	shard int64
	ref   tfrecordio.Ref
}

// StartBundle forgets the plan of an earlier bundle, and what it may have left.
func (f *cutFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(int64, tfrecordio.Refs)) {
	f.group.Begin(ctx)
	f.plan, f.refs, f.waiting = nil, nil, 0
}

// Teardown closes what is open.
func (f *cutFn) Teardown() error {
	f.group.Stop()
	var errs []error
	for _, c := range f.cutters.Empty() {
		errs = append(errs, c.reader.Close())
	}
	if f.st != nil {
		errs = append(errs, f.st.Close())
	}
	f.st = nil
	return errors.Join(errs...)
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
	f.orders, f.first = make([]*shuffle.Order, charseq.Splits), make([]int64, charseq.Splits)
	shards := int64(0)
	for _, s := range f.Options.splits() {
		f.orders[s.Kind] = shuffle.Seeded(p.Layout.Totals[s.Kind], f.Options.Seed, uint64(s.Kind), s.Shards)
		f.first[s.Kind] = shards
		shards += int64(s.Shards)
	}
	f.vocab, f.plan = v, p
	f.blocks, f.byBlock = f.Options.blocks()
	return nil
}

func (f *cutFn) ProcessElement(ctx context.Context, b corpus.Block, plans func(*plan) bool, emit func(int64, tfrecordio.Refs)) error {
	if f.plan == nil {
		p := new(plan)
		if !plans(p) {
			return nil
		}
		if err := f.start(ctx, p); err != nil {
			return err
		}
	}
	at, ok := f.plan.block(b.Doc, b.Offset)
	if !ok {
		return fmt.Errorf("prepare: %s: byte %d: block is not in the plan", b.Document.Name, b.Offset)
	}
	var runs []charseq.Run
	if !f.byBlock {
		if runs = f.plan.Layout.Starting(b.Doc, at.First, at.First+at.Chars); len(runs) == 0 {
			return nil
		}
	}
	done, err := f.group.Do(func(ctx context.Context) ([]shardRef, error) {
		c := f.cutters.Take()
		defer f.cutters.Put(c)
		return f.part(ctx, c, b, at, runs)
	})
	f.add(done)
	if f.waiting >= maxRefs {
		f.flush(emit)
	}
	return err
}

// FinishBundle emits the last refs.
func (f *cutFn) FinishBundle(_ func(*plan) bool, emit func(int64, tfrecordio.Refs)) error {
	done, err := f.group.Finish()
	f.add(done)
	f.flush(emit)
	return err
}

// add takes the refs of parts.
func (f *cutFn) add(parts [][]shardRef) {
	for _, refs := range parts {
		for _, r := range refs {
			for int64(len(f.refs)) <= r.shard {
				f.refs = append(f.refs, nil)
			}
			f.refs[r.shard] = append(f.refs[r.shard], r.ref)
		}
		f.waiting += len(refs)
	}
}

// flush emits the refs, shard by shard.
func (f *cutFn) flush(emit func(int64, tfrecordio.Refs)) {
	for shard, refs := range f.refs {
		if len(refs) > 0 {
			emit(int64(shard), tfrecordio.Refs{All: refs})
		}
	}
	f.refs, f.waiting = nil, 0
}

// part writes the part of block b.
func (f *cutFn) part(ctx context.Context, c *cutter, b corpus.Block, at blockPlan, runs []charseq.Run) (refs []shardRef, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.vocab != f.vocab {
		c.vocab, c.cutter = f.vocab, charseq.NewCutter(f.vocab)
	}
	if err := f.cut(ctx, c, b, at, runs); err != nil {
		return nil, fmt.Errorf("prepare: %s: %w", b.Document.Name, err)
	}
	bundle.Done(b.Length)
	if len(c.entries) == 0 {
		return nil, nil
	}
	err = tfrecordio.WritePart(ctx, f.st, partName(b), c.entries, func(shard int64, r tfrecordio.Ref) {
		refs = append(refs, shardRef{shard, r})
	})
	return refs, err
}

// cut finds the entries of runs, or of the blocks of characters, that start in b.
func (f *cutFn) cut(ctx context.Context, c *cutter, b corpus.Block, at blockPlan, runs []charseq.Run) error {
	n, ahead := int64(f.Options.SeqLength)+1, int64(f.Options.SeqLength)+1
	if f.byBlock {
		ahead = f.blocks.Ahead()
	}
	text, err := c.reader.Block(ctx, b, f.Options.form(), ahead)
	if err != nil {
		return err
	}
	if text.CRC != at.CRC {
		return changed(b.Offset)
	}
	ids, owned, err := c.cutter.Pack(text, ahead)
	if err != nil {
		return err
	}
	if owned != at.Chars {
		return changed(b.Offset)
	}
	if f.byBlock {
		var ok bool
		if runs, _, ok = f.blocks.Starting(text, at.First, at.Chars, f.plan.Documents[b.Doc].Chars); !ok {
			return changed(b.End())
		}
		for i := range runs {
			runs[i].Index += [charseq.Splits]int64{at.Train, at.Validation, at.Test}[runs[i].Split]
		}
	}
	width, stride := int64(c.cutter.Width()), int64(f.Options.Stride)
	c.entries = c.entries[:0]
	for _, r := range runs {
		order, first := f.orders[r.Split], f.first[r.Split]
		for i := range r.Count {
			from := r.Char - at.First + i*stride
			if (from+n)*width > int64(len(ids)) {
				return changed(b.End())
			}
			rank, shard := order.Place(r.Index + i)
			c.entries = append(c.entries, tfrecordio.Entry{Shard: first + int64(shard), Rank: rank, IDs: ids[from*width : (from+n)*width]})
		}
	}
	return nil
}

// partName returns the name of a block's part: its position in the corpus.
func partName(b corpus.Block) string {
	return fmt.Sprintf("%s%08d-%014d", partsPrefix, b.Doc, b.Offset)
}
