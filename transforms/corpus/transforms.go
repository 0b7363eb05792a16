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
	opaque.Register[Lot]()
	opaque.Register[Statistics]()
	opaque.Register[Digest]()
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

// A Digest identifies the bytes of the document at position Doc.
type Digest struct {
	Doc    int64
	Name   string
	Bytes  int64
	SHA256 string // hex
	CRC    int64  // CRC-32C

	Records int64 // joined in the document; 0: it is as it was found
}

// An item is consecutive documents: a large one, or several small ones.
type item struct {
	First     int64 // position of the first in the corpus
	Documents []Document
}

// maxItem bounds the documents of an item, each of which takes some 300 bytes.
const maxItem = 4096

// items returns the items of a corpus: those of several documents have at most bytes bytes.
func items(docs []Document, bytes int64) []item {
	var all []item
	var size int64
	for i, d := range docs {
		last := len(all) - 1
		if last < 0 || size+d.Bytes > bytes || len(all[last].Documents) == maxItem {
			all = append(all, item{First: int64(i)})
			last, size = last+1, 0
		}
		all[last].Documents = append(all[last].Documents, d)
		size += d.Bytes
	}
	return all
}

// Create returns a PCollection of the documents and their positions, for Ranges and
// Hash. Small documents that follow one another are one element, of at most rangeBytes.
// It panics where docs is empty, or rangeBytes < 1.
func Create(s beam.Scope, rangeBytes int64, docs []Document) beam.PCollection {
	if rangeBytes < 1 {
		panic(fmt.Sprintf("corpus.Create: ranges of %d bytes", rangeBytes))
	}
	return beam.CreateList(s.Scope("corpus.Create"), items(docs, rangeBytes))
}

// Ranges cuts documents into byte ranges of rangeBytes (the last of a document
// is shorter).
//
// It takes a PCollection that Create returned for the same rangeBytes, and returns a
// PCollection<Lot>, spread over the workers.
func Ranges(s beam.Scope, rangeBytes int64, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Ranges")
	return beam.Reshuffle(s, beam.ParDo(s, &rangeFn{RangeBytes: rangeBytes}, docs))
}

// rangeFn emits the ranges of documents.
//
// Order: none. Dropped: nothing; a document of 0 bytes has no range. Retry:
// output depends on the element alone. Memory: the description of one lot.
type rangeFn struct {
	RangeBytes int64 `json:"range_bytes"`
}

func (f *rangeFn) ProcessElement(i item, emit func(Lot)) {
	var small Lot
	for k, d := range i.Documents {
		for at := int64(0); at < d.Bytes; at += f.RangeBytes {
			r := Range{Doc: i.First + int64(k), Document: d, Offset: at, Length: min(f.RangeBytes, d.Bytes-at)}
			if d.Bytes > f.RangeBytes {
				emit(Lot{Ranges: []Range{r}})
				continue
			}
			small.Ranges = append(small.Ranges, r)
		}
	}
	if len(small.Ranges) > 0 {
		emit(small)
	}
}

// Hash returns the digests of every document. It reads the documents whose digests
// are not known yet, from start to end.
//
// It takes a PCollection that Create returned, and returns a PCollection<Digest>.
func Hash(s beam.Scope, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Hash")
	return beam.ParDo(s, &hashFn{}, beam.Reshuffle(s, docs))
}

// hashFn returns the digests of documents.
//
// Order: none. Dropped: nothing. Retry: output depends on the documents' bytes
// alone. Memory: 1 MiB.
type hashFn struct{}

func (f *hashFn) ProcessElement(ctx context.Context, i item, emit func(Digest)) error {
	for k, d := range i.Documents {
		if d.SHA256 == "" {
			var err error
			if d, err = digest(ctx, d); err != nil {
				return err
			}
		}
		emit(Digest{Doc: i.First + int64(k), Name: d.Name, Bytes: d.Bytes, SHA256: d.SHA256, CRC: d.CRC, Records: d.Records})
	}
	return nil
}
