package prepare

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/charseq"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/shuffle"
	"github.com/quire-ml/quire/transforms/tfrecordio"
	"github.com/quire-ml/quire/transforms/vocab"
)

func init() {
	beam.RegisterDoFn(&cutFn{})
}

// cutFn cuts the sequences that start in a block and sends them to their shards.
// It works on as many blocks at a time as there are cores. Its side input is the
// plan.
//
// Order: none. Dropped: the characters of no sequence, counted in the manifest.
// Retry: output depends on the block and the plan alone. That is so for a part
// file too, whose name is its block's position; one that is there with these bytes
// counts as written. Memory, for each core: the block's bytes and 3 times as much
// for ids, 40 bytes a sequence, and what waits for the engine (by way of files 60
// bytes, else the block's records).
type cutFn struct {
	Options Options `json:"options"`

	st      *store.Store
	group   bundle.Group[[]tfrecordio.Parcel]
	plan    *plan // nil before the first element
	vocab   *vocab.Vocab
	order   *shuffle.Order
	targets []tfrecordio.Target
	rule    layout.Rule
}

// cutters are for all bundles of a process.
var cutters bundle.Pool[cutter]

// A cutter is what one goroutine cuts with.
type cutter struct {
	reader  corpus.Reader
	cutter  *charseq.Cutter
	vocab   *vocab.Vocab // of cutter
	entries []tfrecordio.Entry
}

// StartBundle forgets the plan of an earlier bundle, and what it may have left.
func (f *cutFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(int64, []byte)) {
	f.group.Begin(ctx)
	f.plan = nil
}

// Teardown closes what is open.
func (f *cutFn) Teardown() error {
	f.group.Stop()
	errs := []error{closeCutters()}
	if f.st != nil {
		errs = append(errs, f.st.Close())
	}
	f.st = nil
	return errors.Join(errs...)
}

// closeCutters closes the cutters that are not in use: what comes next needs the
// memory for its own.
func closeCutters() error {
	var errs []error
	for _, c := range cutters.Empty() {
		errs = append(errs, c.reader.Close())
	}
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
	f.order, f.targets = p.order(f.Options), p.targets()
	f.vocab, f.plan = v, p
	f.rule = f.Options.rule()
	return nil
}

func (f *cutFn) ProcessElement(ctx context.Context, b corpus.Block, plans func(*plan) bool, emit func(int64, []byte)) error {
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
	var runs []layout.Sequences
	if f.rule.By == layout.ByTail {
		if runs = f.plan.Layout.Starting(b.Doc, at.span()); len(runs) == 0 {
			return nil
		}
	}
	done, err := f.group.Do(func(ctx context.Context) ([]tfrecordio.Parcel, error) {
		c := cutters.Take()
		defer cutters.Put(c)
		return f.parcels(ctx, c, b, at, runs)
	})
	send(done, emit)
	return err
}

// FinishBundle sends the last parcels.
func (f *cutFn) FinishBundle(_ func(*plan) bool, emit func(int64, []byte)) error {
	done, err := f.group.Finish()
	send(done, emit)
	return errors.Join(err, closeCutters())
}

// send emits the parcels of blocks.
func send(done [][]tfrecordio.Parcel, emit func(int64, []byte)) {
	for _, parcels := range done {
		for _, p := range parcels {
			emit(p.Key, p.Data)
		}
	}
}

// parcels returns what block b sends to the shards.
func (f *cutFn) parcels(ctx context.Context, c *cutter, b corpus.Block, at blockPlan, runs []layout.Sequences) ([]tfrecordio.Parcel, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.vocab == nil || c.vocab != f.vocab && !c.vocab.Same(f.vocab) {
		c.vocab, c.cutter = f.vocab, charseq.NewCutter(f.vocab)
	}
	if err := f.cut(ctx, c, b, at, runs); err != nil {
		return nil, fmt.Errorf("prepare: %s: %w", b.Document.Name, err)
	}
	bundle.Done(b.Length)
	return f.Options.shards().Scatter(ctx, f.st, blockName(b), c.entries, f.targets)
}

// cut finds the entries of runs, or of the blocks of characters, that start in b.
func (f *cutFn) cut(ctx context.Context, c *cutter, b corpus.Block, at blockPlan, runs []layout.Sequences) error {
	n, ahead := int64(f.Options.SeqLength)+1, int64(f.Options.SeqLength)+1
	if f.rule.By == layout.ByBlock {
		ahead = f.rule.Blocks().Ahead()
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
	if f.rule.By == layout.ByBlock {
		var ok bool
		if runs, _, ok = f.rule.Blocks().Starting(at.span(), f.plan.Documents[b.Doc].Chars, text.Unit, text.Bytes[text.First:]); !ok {
			return changed(b.End())
		}
		for i := range runs {
			runs[i].First += [layout.Splits]int64{at.Train, at.Validation, at.Test}[runs[i].Split]
		}
	}
	width, stride := int64(c.cutter.Width()), int64(f.Options.Stride)
	c.entries = c.entries[:0]
	for _, r := range runs {
		for i := range r.Count {
			from := r.Char - at.First + i*stride
			if (from+n)*width > int64(len(ids)) {
				return changed(b.End())
			}
			c.entries = append(c.entries, tfrecordio.Entry{Rank: f.order.Rank(r.Split, r.First+i), IDs: ids[from*width : (from+n)*width]})
		}
	}
	return nil
}

// blockName returns the name of a block: its position in the corpus.
func blockName(b corpus.Block) string { return fmt.Sprintf("block-%08d-%014d", b.Doc, b.Offset) }
