package prepare

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

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

// cutFn cuts the sequences that start in the ranges of a lot and sends them to their
// shards. It works on one lot a core at a time. The side input is the plan.
//
// Order: none. Dropped: the characters of no sequence, counted in the manifest.
// Retry: output depends on the lot and the plan alone. So do the name and the bytes
// of a part file; a file with these bytes that is there already counts as written.
// Memory, for each core: the lot's bytes and 3 times as much for ids, a piece of the plan,
// 48 bytes a sequence, and the parcels that wait for the engine (60 bytes each by way of
// files, else the range's entries).
type cutFn struct {
	Options Options `json:"options"`

	set     folder
	group   bundle.Group[[]tfrecordio.Parcel]
	vocab   *vocab.Vocab
	order   *shuffle.Order
	targets []tfrecordio.Target
	divider divider
}

// cutters are for all bundles of a process.
var cutters bundle.Pool[cutter]

// A cutter is the memory that one goroutine cuts with.
type cutter struct {
	reader  corpus.Reader
	rows    rowReader
	cutter  *charseq.Cutter
	vocab   *vocab.Vocab // of cutter
	entries []tfrecordio.Entry
	ranks   []int64
	ids     []byte // of entries, where they are of several ranges
}

// StartBundle forgets the plan and the unfinished work of an earlier bundle.
func (f *cutFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(int64, []byte)) error {
	f.group.Begin(ctx)
	return f.set.forget()
}

// Teardown closes the set's store and the open documents.
func (f *cutFn) Teardown() error {
	f.group.Stop()
	return errors.Join(closeCutters(), f.set.close())
}

// closeCutters closes the cutters that are not in use and frees their memory for the
// steps that follow.
func closeCutters() error {
	var errs []error
	for _, c := range cutters.Empty() {
		errs = append(errs, c.reader.Close())
	}
	return errors.Join(errs...)
}

// start prepares for the ranges of a bundle.
func (f *cutFn) start(ctx context.Context, p *plan) error {
	v := new(vocab.Vocab)
	if err := v.UnmarshalJSON(p.Vocab); err != nil {
		return fmt.Errorf("prepare: plan: %w", err)
	}
	if err := f.set.open(ctx, f.Options.Dir, p); err != nil {
		return err
	}
	f.order, f.targets = p.order(f.Options), p.targets()
	f.vocab = v
	f.divider = f.Options.divider()
	return nil
}

func (f *cutFn) ProcessElement(ctx context.Context, lot corpus.Lot, plans func(*plan) bool, emit func(int64, []byte)) error {
	if f.set.source == nil {
		p := new(plan)
		if !plans(p) {
			return nil
		}
		if err := f.start(ctx, p); err != nil {
			return err
		}
	}
	done, err := f.group.Do(func(ctx context.Context) ([]tfrecordio.Parcel, error) {
		c := cutters.Take()
		defer cutters.Put(c)
		return f.parcels(ctx, c, lot)
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

// send emits the parcels of lots.
func send(done [][]tfrecordio.Parcel, emit func(int64, []byte)) {
	for _, parcels := range done {
		for _, p := range parcels {
			emit(p.Key, p.Data)
		}
	}
}

// parcels returns the parcels of a lot for the shards.
func (f *cutFn) parcels(ctx context.Context, c *cutter, lot corpus.Lot) ([]tfrecordio.Parcel, error) {
	if c.vocab == nil || c.vocab != f.vocab && !c.vocab.Same(f.vocab) {
		c.vocab, c.cutter = f.vocab, charseq.NewCutter(f.vocab)
	}
	c.entries, c.ids = c.entries[:0], c.ids[:0]
	ranges, err := c.reader.Ranges(ctx, lot)
	if err != nil {
		return nil, err
	}
	for _, rng := range ranges {
		if err := f.cut(ctx, c, rng, len(ranges) > 1); err != nil {
			return nil, fmt.Errorf("prepare: %s: %w", rng.Document.Name, err)
		}
	}
	return f.Options.shards().Scatter(ctx, f.set.st, lotName(lot), c.entries, f.targets)
}

// cut adds the sequences that start in range rng to c.entries. keep says that the text of
// another range takes the place of this one's.
func (f *cutFn) cut(ctx context.Context, c *cutter, rng corpus.Range, keep bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	at, err := c.rows.at(f.set.source, rng)
	if err != nil {
		return err
	}
	found, ahead := []layout.Sequences(nil), int64(f.Options.SeqLength)+1
	if f.divider.byTail() {
		stretches, _ := f.divider.document(at.DocChars, at.Numbers)
		if found = f.divider.tails.Starting(stretches, at.span()); len(found) == 0 {
			return nil
		}
	} else {
		ahead = f.divider.blocks.Ahead()
	}
	text, err := c.reader.Text(ctx, rng, f.Options.form(), ahead)
	if err != nil {
		return err
	}
	if text.CRC != at.CRC {
		return changed(rng.Offset)
	}
	ids, owned, err := c.cutter.Pack(text, ahead)
	if err != nil {
		return err
	}
	if owned != at.Chars {
		return changed(rng.Offset)
	}
	if !f.divider.byTail() {
		var ok bool
		if found, _, ok = f.divider.blocks.Starting(at.span(), at.DocChars, text.Unit, text.Bytes[text.First:]); !ok {
			return changed(rng.End())
		}
		for i := range found {
			found[i].First += at.Numbers[found[i].Split]
		}
	}
	if !f.add(c, found, at.First, ids, keep) {
		return changed(rng.End())
	}
	bundle.Done(rng.Length)
	return nil
}

// add adds sequences to c.entries. ids are those of the document's characters from first
// on; ok is false where they end too early.
func (f *cutFn) add(c *cutter, found []layout.Sequences, first int64, ids []byte, keep bool) (ok bool) {
	n, width, stride := int64(f.Options.SeqLength)+1, int64(c.cutter.Width()), int64(f.Options.Stride)
	for _, r := range found {
		if r.Count > 0 && (r.Char-first+(r.Count-1)*stride+n)*width > int64(len(ids)) {
			return false
		}
		c.ranks = slices.Grow(c.ranks[:0], int(r.Count))[:r.Count]
		f.order.Each(c.ranks, r.Split, r.First)
		for i, rank := range c.ranks {
			from := r.Char - first + int64(i)*stride
			e := tfrecordio.Entry{Rank: rank, IDs: ids[from*width : (from+n)*width]}
			if keep {
				start := len(c.ids)
				c.ids = append(c.ids, e.IDs...)
				e.IDs = c.ids[start:]
			}
			c.entries = append(c.entries, e)
		}
	}
	return true
}

// lotName returns the name of a lot: the position in the corpus at which it begins.
func lotName(lot corpus.Lot) string { return fmt.Sprintf("lot-%08d-%014d", lot.First, lot.Offset) }
