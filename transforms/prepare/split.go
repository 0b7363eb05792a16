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
	opaque.Register[blockSplit]()
	beam.RegisterDoFn(&splitFn{})
	beam.RegisterDoFn(&completeFn{})
}

// A blockSplit says how many sequences of each split are in the blocks of
// characters that start in a block of bytes.
type blockSplit struct{ Doc, Offset, Train, Validation, Test int64 }

// splitFn counts, by split, the sequences of the blocks of characters that start
// in a block of bytes. It works on as many at a time as there are cores. Its side
// input is the plan, not yet complete.
//
// Order: none. Dropped: nothing. Retry: output depends on the block and the plan
// alone. Memory, for each core: the block's bytes.
type splitFn struct {
	Options Options `json:"options"`

	group   bundle.Group[blockSplit]
	readers bundle.Pool[corpus.Reader]
	plan    *plan // nil before the first element
}

// StartBundle forgets the plan of an earlier bundle, and what it may have left.
func (f *splitFn) StartBundle(ctx context.Context, _ func(*plan) bool, _ func(blockSplit)) {
	f.group.Begin(ctx)
	f.plan = nil
}

// Teardown closes what is open.
func (f *splitFn) Teardown() error {
	f.group.Stop()
	var errs []error
	for _, r := range f.readers.Empty() {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

func (f *splitFn) ProcessElement(b corpus.Block, plans func(*plan) bool, emit func(blockSplit)) error {
	if f.plan == nil {
		p := new(plan)
		if !plans(p) {
			return nil
		}
		f.plan = p
	}
	at, ok := f.plan.block(b.Doc, b.Offset)
	if !ok {
		return fmt.Errorf("prepare: %s: byte %d: block is not in the plan", b.Document.Name, b.Offset)
	}
	done, err := f.group.Do(func(ctx context.Context) (blockSplit, error) {
		r := f.readers.Take()
		defer f.readers.Put(r)
		s, err := f.split(ctx, r, b, at)
		if err != nil {
			err = fmt.Errorf("prepare: %s: %w", b.Document.Name, err)
		}
		return s, err
	})
	for _, s := range done {
		emit(s)
	}
	return err
}

// FinishBundle emits the last counts.
func (f *splitFn) FinishBundle(_ func(*plan) bool, emit func(blockSplit)) error {
	done, err := f.group.Finish()
	for _, s := range done {
		emit(s)
	}
	return err
}

func (f *splitFn) split(ctx context.Context, r *corpus.Reader, b corpus.Block, at blockPlan) (blockSplit, error) {
	blocks := f.Options.rule().Blocks()
	text, err := r.Block(ctx, b, f.Options.form(), blocks.Ahead())
	if err != nil {
		return blockSplit{}, err
	}
	if text.CRC != at.CRC {
		return blockSplit{}, changed(b.Offset)
	}
	bundle.Done(b.Length)
	_, n, ok := blocks.Starting(at.span(), f.plan.Documents[b.Doc].Chars, text.Unit, text.Bytes[text.First:])
	if !ok {
		return blockSplit{}, changed(b.End())
	}
	return blockSplit{Doc: b.Doc, Offset: b.Offset, Train: n[layout.Train], Validation: n[layout.Validation], Test: n[layout.Test]}, nil
}

// completeFn completes the plan; its side input are the counts of all blocks.
//
// Order: one element. Dropped: nothing. Retry: output depends on the input
// alone. Memory: the plan.
type completeFn struct {
	Options Options `json:"options"`
}

func (f *completeFn) ProcessElement(p plan, each func(*blockSplit) bool, emit func(plan)) error {
	var splits []blockSplit
	var s blockSplit
	for each(&s) {
		splits = append(splits, s)
	}
	if len(splits) != len(p.Blocks) {
		return nil // see planFn
	}
	slices.SortFunc(splits, func(a, b blockSplit) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	if err := p.complete(f.Options, splits); err != nil {
		return err
	}
	emit(p)
	return nil
}
