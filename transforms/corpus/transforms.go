package corpus

import (
	"context"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/transforms/opaque"
)

func init() {
	opaque.Register[item]()
	opaque.Register[Document]()
	opaque.Register[Range]()
	opaque.Register[Statistics]()
	opaque.Register[Digest]()
	beam.RegisterDoFn(&rangeFn{})
	beam.RegisterDoFn(&countFn{})
	beam.RegisterDoFn(&mergeFn{})
	beam.RegisterDoFn(&hashFn{})
	beam.RegisterDoFn(&keyFn{})
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

// A Digest identifies the bytes of the document at position Doc.
type Digest struct {
	Doc    int64
	Name   string
	Bytes  int64
	SHA256 string // hex
	CRC    int64  // CRC-32C

	Records int64 // joined in the document; 0: it is as it was found
}

type item struct {
	Doc      int64
	Document Document
}

// Create returns a PCollection<KV<int64, Document>>: each document with its
// position in docs. It panics where docs is empty.
func Create(s beam.Scope, docs []Document) beam.PCollection {
	s = s.Scope("corpus.Create")
	items := make([]item, len(docs))
	for i, d := range docs {
		items[i] = item{Doc: int64(i), Document: d}
	}
	return beam.ParDo(s, &keyFn{}, beam.CreateList(s, items))
}

// keyFn emits a document, keyed by its position.
//
// Order: none. Dropped: nothing. Retry: output depends on the element alone.
// Memory: the element.
type keyFn struct{}

func (*keyFn) ProcessElement(i item) (int64, Document) { return i.Doc, i.Document }

// Ranges cuts documents into byte ranges of rangeBytes (the last of a document
// is shorter).
//
// It takes a PCollection<KV<int64, Document>> from Create and returns a
// PCollection<Range>, spread over the workers. It panics if rangeBytes < 1.
func Ranges(s beam.Scope, rangeBytes int64, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Ranges")
	if rangeBytes < 1 {
		panic(fmt.Sprintf("corpus.Ranges: ranges of %d bytes", rangeBytes))
	}
	return beam.Reshuffle(s, beam.ParDo(s, &rangeFn{RangeBytes: rangeBytes}, docs))
}

// rangeFn emits the ranges of a document.
//
// Order: none. Dropped: nothing; a document of 0 bytes has no range. Retry:
// output depends on the element alone. Memory: one range's description.
type rangeFn struct {
	RangeBytes int64 `json:"range_bytes"`
}

func (f *rangeFn) ProcessElement(doc int64, d Document, emit func(Range)) {
	for at := int64(0); at < d.Bytes; at += f.RangeBytes {
		emit(Range{Doc: doc, Document: d, Offset: at, Length: min(f.RangeBytes, d.Bytes-at)})
	}
}

// Hash returns the digests of every document. It reads the documents whose digests
// are not known yet, from start to end.
//
// It takes a PCollection<KV<int64, Document>> and returns a
// PCollection<Digest>.
func Hash(s beam.Scope, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Hash")
	return beam.ParDo(s, &hashFn{}, beam.Reshuffle(s, docs))
}

// hashFn returns the digests of a document.
//
// Order: none. Dropped: nothing. Retry: output depends on the document's bytes
// alone. Memory: 1 MiB.
type hashFn struct{}

func (f *hashFn) ProcessElement(ctx context.Context, doc int64, d Document) (Digest, error) {
	if d.SHA256 == "" {
		var err error
		if d, err = digest(ctx, d); err != nil {
			return Digest{}, err
		}
	}
	return Digest{Doc: doc, Name: d.Name, Bytes: d.Bytes, SHA256: d.SHA256, CRC: d.CRC, Records: d.Records}, nil
}
