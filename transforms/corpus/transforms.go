package corpus

import (
	"context"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/opaque"
)

func init() {
	opaque.Register[Page]()
	opaque.Register[Document]()
	opaque.Register[Lot]()
	opaque.Register[Statistics]()
	beam.RegisterDoFn(&rangeFn{})
	beam.RegisterDoFn(&countFn{})
	beam.RegisterDoFn(&mergeFn{})
	beam.RegisterDoFn(&hashFn{})
}

// CharCount is the number of occurrences of a character.
type CharCount struct{ Char, Count int64 }

// PairCount is the number of times that Second follows First, within documents.
type PairCount struct{ First, Second, Count int64 }

// TripleCount is the number of times that Third follows First and Second, within
// documents.
type TripleCount struct{ First, Second, Third, Count int64 }

// RangeCount describes a range: its document's position, its bytes [Offset,
// Offset+Length), the number of characters that it owns, the number of invalid bytes
// among them, and the CRC-32C of its bytes.
type RangeCount struct{ Doc, Offset, Length, Chars, Invalid, CRC int64 }

// Invalid counts invalid UTF-8 and locates its first byte.
type Invalid struct {
	Count  int64 // invalid bytes
	Doc    int64 // position of the first byte's document; 0 where Count is 0
	Offset int64 // of the first byte in the document
	Byte   int64 // the first byte's value
}

// Statistics are the counts of a corpus, or of some of its ranges.
type Statistics struct {
	Chars   []CharCount   // ordered by character; an invalid byte counts as U+FFFD
	Pairs   []PairCount   // ordered by both characters
	Triples []TripleCount // ordered by all three; none where Many
	Many    bool          // more than MaxTriples triples differ
	Ranges  []RangeCount  // ordered by position in the corpus
	Invalid Invalid
}

// Create returns a PCollection<Page> of the list, for Ranges and Hash.
func Create(s beam.Scope, l *List) beam.PCollection {
	return beam.CreateList(s.Scope("corpus.Create"), l.Pages())
}

// Ranges cuts documents into byte ranges of the list's length (the last of a document
// is shorter).
//
// It takes the PCollection that Create returned for l, and returns a PCollection<Lot>,
// spread over the workers.
func Ranges(s beam.Scope, l *List, pages beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Ranges")
	return beam.Reshuffle(s, beam.ParDo(s, &rangeFn{RangeBytes: l.rangeBytes}, pages))
}

// rangeFn emits the lots of pages.
//
// Order: none. Dropped: nothing; a document of 0 bytes has no range. Retry:
// output depends on the element alone. Memory: a page.
type rangeFn struct {
	RangeBytes int64 `json:"range_bytes"`
}

func (f *rangeFn) ProcessElement(ctx context.Context, p Page, emit func(Lot)) error {
	lots, err := p.Lots(ctx, f.RangeBytes)
	for _, lot := range lots {
		emit(lot)
	}
	return err
}

// Hash returns the pages with the digests of every document. It reads the documents whose
// digests are not known yet, from start to end.
//
// It takes the PCollection that Create returned, and returns a PCollection<Page>.
func Hash(s beam.Scope, pages beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Hash")
	return beam.ParDo(s, &hashFn{}, beam.Reshuffle(s, pages))
}

// hashFn adds the digests to pages.
//
// Order: none. Dropped: nothing. Retry: output depends on the documents' bytes
// alone. Memory: a page and 1 MiB.
type hashFn struct{}

func (f *hashFn) ProcessElement(ctx context.Context, p Page, emit func(Page)) error {
	var docs []Document
	known := true
	for d, err := range Documents(ctx, []Page{p}) {
		if err != nil {
			return err
		}
		docs, known = append(docs, d), known && d.SHA256 != ""
	}
	if known {
		emit(p)
		return nil
	}
	if err := digestAll(ctx, docs); err != nil {
		return err
	}
	p = Page{First: p.First, Documents: p.Documents}
	for some := range slices.Chunk(docs, maxLot) {
		p.Data = appendGroup(p.Data, some)
	}
	emit(p)
	return nil
}
