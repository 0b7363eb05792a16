package corpus

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/bundle"
)

// MaxTriples bounds the different triples of characters that Count keeps: 32 MB.
const MaxTriples = 1 << 20

// maxPairs bounds the hash table of pairs of a tally: some 100 MB.
const maxPairs = 4 << 20

// Count counts the characters, adjacent pairs and adjacent triples of a corpus. It
// gives triples up where more than MaxTriples differ.
//
// It takes a PCollection<Lot> and returns a PCollection<Statistics> of one
// element, or of no element where there is no range.
func Count(s beam.Scope, form Form, ranges beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Count")
	parts := beam.ParDo(s, &countFn{Form: form, MaxTriples: MaxTriples}, ranges)
	return beam.ParDo(s, &mergeFn{MaxTriples: MaxTriples}, beam.GroupByKey(s, beam.AddFixedKey(s, parts)))
}

// countFn counts the ranges of a bundle on all cores. It emits sums when the bundle
// ends, or earlier where a table of pairs is full.
//
// Order: none; sums do not depend on it. Dropped: nothing. Retry: the sums of a
// bundle's output depend on its ranges alone. Memory, for each core: one range,
// and tables of at most maxPairs pairs and MaxTriples triples.
type countFn struct {
	Form       Form  `json:"form"`
	MaxTriples int64 `json:"max_triples"`

	group    bundle.Group[counted]
	counters bundle.Pool[counter]
	ranges   []RangeCount
	invalid  Invalid
}

// A counter is the reader and the counts of one goroutine.
type counter struct {
	reader Reader
	tally  *tally
}

// counted is the result for one lot.
type counted struct {
	counts  []RangeCount
	invalid Invalid
	full    []Statistics // of the tallies that were full
}

// Teardown closes the readers.
func (f *countFn) Teardown() error {
	f.group.Stop()
	var err error
	for _, c := range f.counters.Empty() {
		if e := c.reader.Close(); err == nil {
			err = e
		}
	}
	return err
}

// StartBundle forgets the counts of an earlier, failed bundle.
func (f *countFn) StartBundle(ctx context.Context, _ func(Statistics)) {
	f.group.Begin(ctx)
	f.ranges, f.invalid = nil, Invalid{}
	for _, c := range f.counters.Empty() {
		c.tally = nil
		f.counters.Put(c)
	}
}

func (f *countFn) ProcessElement(lot Lot, emit func(Statistics)) error {
	done, err := f.group.Do(func(ctx context.Context) (d counted, err error) {
		c := f.counters.Take()
		defer f.counters.Put(c)
		ranges, err := c.reader.Ranges(ctx, lot)
		if err != nil {
			return d, err
		}
		for _, rng := range ranges {
			if c.tally == nil {
				c.tally = newTally(f.MaxTriples)
			}
			if err := c.count(ctx, rng, f.Form, &d); err != nil {
				return d, err
			}
		}
		return d, nil
	})
	f.add(done, emit)
	return err
}

// FinishBundle emits the sums.
func (f *countFn) FinishBundle(emit func(Statistics)) error {
	done, err := f.group.Finish()
	if err != nil {
		return err
	}
	f.add(done, emit)
	for _, c := range f.counters.Empty() {
		if c.tally != nil && c.tally.total > 0 {
			emit(c.tally.statistics())
		}
		c.tally = nil
		f.counters.Put(c)
	}
	if len(f.ranges) > 0 {
		emit(Statistics{Ranges: f.ranges, Invalid: f.invalid})
	}
	f.ranges, f.invalid = nil, Invalid{}
	return nil
}

func (f *countFn) add(done []counted, emit func(Statistics)) {
	for _, d := range done {
		f.ranges = append(f.ranges, d.counts...)
		f.invalid = f.invalid.plus(d.invalid)
		for _, s := range d.full {
			emit(s)
		}
	}
}

// count adds a range to d.
func (c *counter) count(ctx context.Context, rng Range, form Form, d *counted) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	text, err := c.reader.Text(ctx, rng, form, 0)
	if err != nil {
		return err
	}
	chars, n, first := c.tally.text(text)
	bundle.Done(rng.Length)
	invalid := text.Invalid
	if n > 0 {
		invalid = Invalid{Count: n, Offset: text.Offset + int64(first), Byte: int64(text.Bytes[first])}
	}
	invalid.Doc = rng.Doc
	d.invalid = d.invalid.plus(invalid)
	d.counts = append(d.counts, RangeCount{Doc: rng.Doc, Offset: rng.Offset, Length: rng.Length, Chars: chars, Invalid: invalid.Count, CRC: text.CRC})
	if c.tally.full() {
		d.full, c.tally = append(d.full, c.tally.statistics()), nil
	}
	return nil
}

// plus adds the counts and keeps the position of the earlier byte.
func (a Invalid) plus(b Invalid) Invalid {
	if a.Count == 0 || b.Count > 0 && (b.Doc < a.Doc || b.Doc == a.Doc && b.Offset < a.Offset) {
		a, b = b, a
	}
	a.Count += b.Count
	return a
}

// mergeFn adds the statistics of different ranges.
//
// Order: none; the sums are sorted. Dropped: triples, where there are more than
// MaxTriples different ones. Retry: output depends on the elements alone.
// Memory: twice the different pairs and triples of the corpus, and 48 bytes a
// range.
type mergeFn struct {
	MaxTriples int64 `json:"max_triples"`
}

func (f *mergeFn) ProcessElement(_ int, parts func(*Statistics) bool) Statistics {
	var sum, part Statistics
	for parts(&part) {
		sum.Chars = merged(sum.Chars, part.Chars, compareChars, func(a *CharCount, b CharCount) { a.Count += b.Count })
		sum.Pairs = merged(sum.Pairs, part.Pairs, comparePairs, func(a *PairCount, b PairCount) { a.Count += b.Count })
		sum.Triples = merged(sum.Triples, part.Triples, compareTriples, func(a *TripleCount, b TripleCount) { a.Count += b.Count })
		if sum.Many = sum.Many || part.Many || int64(len(sum.Triples)) > f.MaxTriples; sum.Many {
			sum.Triples = nil
		}
		sum.Ranges = append(sum.Ranges, part.Ranges...)
		sum.Invalid = sum.Invalid.plus(part.Invalid)
		part = Statistics{}
	}
	slices.SortFunc(sum.Ranges, func(a, b RangeCount) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	return sum
}

// merged merges two ordered lists of counts. It adds counts that compare equal.
func merged[T any](a, b []T, compare func(a, b T) int, add func(a *T, b T)) []T {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	sum := make([]T, 0, max(len(a), len(b))+min(len(a), len(b))/4)
	for len(a) > 0 && len(b) > 0 {
		switch c := compare(a[0], b[0]); {
		case c < 0:
			sum, a = append(sum, a[0]), a[1:]
		case c > 0:
			sum, b = append(sum, b[0]), b[1:]
		default:
			sum, a = append(sum, a[0]), a[1:]
			add(&sum[len(sum)-1], b[0])
			b = b[1:]
		}
	}
	return append(append(sum, a...), b...)
}
