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
	opaque.Register[sides]()
	beam.RegisterDoFn(&sidesFn{})
	beam.RegisterDoFn(&completeFn{})
}

// sides are the numbers of sequences, by split, of the blocks that start in the
// range of bytes at Offset of document Doc.
type sides struct{ Doc, Offset, Train, Validation, Test int64 }

// sidesFn counts the sequences of the blocks that start in a range of bytes, by
// split. It works on one lot a core at a time. The side input is the plan, not yet
// complete.
//
// Order: none. Dropped: nothing. Retry: output depends on the range and the plan
// alone. Memory, for each core: the range's bytes.
type sidesFn struct {
	Options Options `json:"options"`

	group   bundle.Group[[]sides]
	readers bundle.Pool[corpus.Reader]
	plan    *plan // nil before the first element
}

// StartBundle forgets the plan and the unfinished work of an earlier bundle.
func (f *sidesFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(sides)) {
	f.group.Begin(ctx)
	f.plan = nil
}

// Teardown closes the open documents.
func (f *sidesFn) Teardown() error {
	f.group.Stop()
	var errs []error
	for _, r := range f.readers.Empty() {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

func (f *sidesFn) ProcessElement(lot corpus.Lot, plans func(*plan) bool, emit func(sides)) error {
	if f.plan == nil {
		p := new(plan)
		if !plans(p) {
			return nil
		}
		f.plan = p
	}
	done, err := f.group.Do(func(ctx context.Context) (all []sides, err error) {
		r := f.readers.Take()
		defer f.readers.Put(r)
		for _, rng := range lot.Ranges {
			at, err := f.plan.at(rng)
			if err != nil {
				return nil, err
			}
			s, err := f.count(ctx, r, rng, at)
			if err != nil {
				return nil, fmt.Errorf("prepare: %s: %w", rng.Document.Name, err)
			}
			all = append(all, s)
		}
		return all, nil
	})
	emitAll(done, emit)
	return err
}

// FinishBundle emits the last counts.
func (f *sidesFn) FinishBundle(_ func(*plan) bool, emit func(sides)) error {
	done, err := f.group.Finish()
	emitAll(done, emit)
	return err
}

// emitAll emits the counts of lots.
func emitAll(done [][]sides, emit func(sides)) {
	for _, lot := range done {
		for _, s := range lot {
			emit(s)
		}
	}
}

func (f *sidesFn) count(ctx context.Context, r *corpus.Reader, rng corpus.Range, at rangePlan) (sides, error) {
	blocks := f.Options.rule().Blocks()
	text, err := r.Text(ctx, rng, f.Options.form(), blocks.Ahead())
	if err != nil {
		return sides{}, err
	}
	if text.CRC != at.CRC {
		return sides{}, changed(rng.Offset)
	}
	bundle.Done(rng.Length)
	_, n, ok := blocks.Starting(at.span(), f.plan.Documents[rng.Doc].Chars, text.Unit, text.Bytes[text.First:])
	if !ok {
		return sides{}, changed(rng.End())
	}
	return sides{Doc: rng.Doc, Offset: rng.Offset, Train: n[layout.Train], Validation: n[layout.Validation], Test: n[layout.Test]}, nil
}

// completeFn completes the plan. The side input is the sides of all ranges.
//
// Order: one element. Dropped: nothing. Retry: output depends on the input
// alone. Memory: the plan.
type completeFn struct {
	Options Options `json:"options"`
}

func (f *completeFn) ProcessElement(p plan, each func(*sides) bool, emit func(plan)) error {
	var counts []sides
	var s sides
	for each(&s) {
		counts = append(counts, s)
	}
	if len(counts) != len(p.Ranges) {
		return nil // see planFn
	}
	slices.SortFunc(counts, func(a, b sides) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	if err := p.complete(f.Options, counts); err != nil {
		return err
	}
	emit(p)
	return nil
}
