package prepare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/opaque"
)

func init() {
	opaque.Register[lotSides]()
	beam.RegisterDoFn(&sidesFn{})
	beam.RegisterDoFn(&completeFn{})
}

// sides are the numbers of sequences, by split, of the blocks that start in the
// range of bytes at Offset of document Doc.
type sides struct{ Doc, Offset, Train, Validation, Test int64 }

// lotSides are the sides of the ranges of a lot.
type lotSides struct{ Ranges []sides }

// sidesFn counts the sequences of the blocks that start in a range of bytes, by
// split. It works on one lot a core at a time. The side input is the plan, not yet
// complete.
//
// Order: none. Dropped: nothing. Retry: output depends on the range and the plan
// alone. Memory, for each core: the range's bytes and a piece of the plan.
type sidesFn struct {
	Options Options `json:"options"`

	group bundle.Group[lotSides]
	pool  bundle.Pool[sider]
	set   folder
}

// A sider is what one goroutine counts with.
type sider struct {
	reader corpus.Reader
	rows   rowReader
}

// StartBundle forgets the plan and the unfinished work of an earlier bundle.
func (f *sidesFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(lotSides)) error {
	f.group.Begin(ctx)
	return f.set.forget()
}

// Teardown closes the open documents.
func (f *sidesFn) Teardown() error {
	f.group.Stop()
	errs := []error{f.set.close()}
	for _, c := range f.pool.Empty() {
		errs = append(errs, c.reader.Close())
	}
	return errors.Join(errs...)
}

func (f *sidesFn) ProcessElement(ctx context.Context, lot corpus.Lot, plans func(*plan) bool, emit func(lotSides)) (err error) {
	if f.set.source == nil {
		p := new(plan)
		if !plans(p) {
			return nil
		}
		if err := f.set.open(ctx, f.Options.Dir, p); err != nil {
			return err
		}
	}
	source := f.set.source
	done, err := f.group.Do(func(ctx context.Context) (all lotSides, err error) {
		c := f.pool.Take()
		defer f.pool.Put(c)
		ranges, err := c.reader.Ranges(ctx, lot)
		if err != nil {
			return all, err
		}
		for _, rng := range ranges {
			s, err := f.count(ctx, c, source, rng)
			if err != nil {
				return all, fmt.Errorf("prepare: %s: %w", rng.Document.Name, err)
			}
			all.Ranges = append(all.Ranges, s)
		}
		return all, nil
	})
	for _, s := range done {
		emit(s)
	}
	return err
}

// FinishBundle emits the last counts.
func (f *sidesFn) FinishBundle(_ func(*plan) bool, emit func(lotSides)) error {
	done, err := f.group.Finish()
	for _, s := range done {
		emit(s)
	}
	return err
}

func (f *sidesFn) count(ctx context.Context, c *sider, source *rowSource, rng corpus.Range) (sides, error) {
	at, err := c.rows.at(source, rng)
	if err != nil {
		return sides{}, err
	}
	blocks := f.Options.rule().Blocks()
	text, err := c.reader.Text(ctx, rng, f.Options.form(), blocks.Ahead())
	if err != nil {
		return sides{}, err
	}
	if text.CRC != at.CRC {
		return sides{}, changed(rng.Offset)
	}
	bundle.Done(rng.Length)
	_, n, ok := blocks.Starting(at.span(), at.DocChars, text.Unit, text.Bytes[text.First:])
	if !ok {
		return sides{}, changed(rng.End())
	}
	return sides{Doc: rng.Doc, Offset: rng.Offset, Train: n[layout.Train], Validation: n[layout.Validation], Test: n[layout.Test]}, nil
}

// completeFn completes the plan. The side input is the sides of all lots.
//
// Order: one element. Dropped: nothing. Retry: output, and the bytes of the file with the
// rows, depend on the input alone. Memory: 40 bytes a range.
type completeFn struct {
	Options Options `json:"options"`
}

func (f *completeFn) ProcessElement(ctx context.Context, p plan, each func(*lotSides) bool, emit func(plan)) (err error) {
	var counts []sides
	var s lotSides
	for each(&s) {
		counts = append(counts, s.Ranges...)
		s = lotSides{}
	}
	if int64(len(counts)) != p.Rows.Count {
		return nil // see planFn
	}
	slices.SortFunc(counts, func(a, b sides) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	w, err := f.Options.rows(ctx, "plan-by-block")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	source, err := p.Rows.open(ctx, w.st)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.close()) }()
	if err := p.complete(f.Options, source, counts, w); err != nil {
		return err
	}
	emit(p)
	return nil
}
