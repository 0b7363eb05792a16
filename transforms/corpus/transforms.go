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
	opaque.Register[Block]()
	opaque.Register[Statistics]()
	opaque.Register[Digest]()
	beam.RegisterDoFn(&splitFn{})
	beam.RegisterDoFn(&countFn{})
	beam.RegisterDoFn(&mergeFn{})
	beam.RegisterDoFn(&hashFn{})
	beam.RegisterDoFn(&keyFn{})
}

// CharCount says how often a character occurs.
type CharCount struct{ Char, Count int64 }

// PairCount says how often Second follows First in one document.
type PairCount struct{ First, Second, Count int64 }

// TripleCount says how often Third follows First and Second in one document.
type TripleCount struct{ First, Second, Third, Count int64 }

// BlockCount says how many characters a block owns, how many of them are invalid
// bytes, and the CRC-32C of its byte range.
type BlockCount struct{ Doc, Offset, Length, Chars, Invalid, CRC int64 }

// Invalid says where invalid UTF-8 was met.
type Invalid struct {
	Count  int64 // invalid bytes
	Doc    int64 // the first one's document, where Count > 0
	Offset int64 // the first one's byte in the document
	Byte   int64 // its value
}

// Statistics are facts of a corpus, or of some blocks of it.
type Statistics struct {
	Chars   []CharCount   // ordered by character; an invalid byte counts as U+FFFD
	Pairs   []PairCount   // ordered by both characters
	Triples []TripleCount // ordered by all three; none where Many
	Many    bool          // there are more different triples than Count keeps
	Blocks  []BlockCount  // ordered by position in the corpus
	Invalid Invalid
}

// A Digest says what bytes the document at position Doc has.
type Digest struct {
	Doc    int64
	Name   string
	Bytes  int64
	SHA256 string // hex
	CRC    int64  // CRC-32C
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

// keyFn makes an item a KV.
//
// Order: none. Dropped: nothing. Retry: output depends on the element alone.
// Memory: the element.
type keyFn struct{}

func (*keyFn) ProcessElement(i item) (int64, Document) { return i.Doc, i.Document }

// Blocks cuts documents into byte ranges of blockBytes (the last of a document
// is shorter).
//
// It takes a PCollection<KV<int64, Document>> from Create and returns a
// PCollection<Block>, spread over the workers. It panics if blockBytes < 1.
func Blocks(s beam.Scope, blockBytes int64, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Blocks")
	if blockBytes < 1 {
		panic(fmt.Sprintf("corpus.Blocks: blocks of %d bytes", blockBytes))
	}
	return beam.Reshuffle(s, beam.ParDo(s, &splitFn{BlockBytes: blockBytes}, docs))
}

// splitFn emits the blocks of a document.
//
// Order: none. Dropped: nothing; a document of 0 bytes has no block. Retry:
// output depends on the element alone. Memory: one block's description.
type splitFn struct {
	BlockBytes int64 `json:"block_bytes"`
}

func (f *splitFn) ProcessElement(doc int64, d Document, emit func(Block)) {
	for at := int64(0); at < d.Bytes; at += f.BlockBytes {
		emit(Block{Doc: doc, Document: d, Offset: at, Length: min(f.BlockBytes, d.Bytes-at)})
	}
}

// Hash gives every document its digests. One whose digests are not known yet is
// read, from its start to its end.
//
// It takes a PCollection<KV<int64, Document>> and returns a
// PCollection<Digest>.
func Hash(s beam.Scope, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Hash")
	return beam.ParDo(s, &hashFn{}, beam.Reshuffle(s, docs))
}

// hashFn returns a document's digest.
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
	return Digest{Doc: doc, Name: d.Name, Bytes: d.Bytes, SHA256: d.SHA256, CRC: d.CRC}, nil
}
