package corpus

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/quire-ml/quire/transforms/vocab"
)

func init() {
	beam.RegisterType(reflect.TypeFor[Document]())
	beam.RegisterType(reflect.TypeFor[Block]())
	beam.RegisterType(reflect.TypeFor[Statistics]())
	beam.RegisterType(reflect.TypeFor[Digest]())
	register.DoFn3x0[int64, Document, func(Block)](&splitFn{})
	register.DoFn3x1[context.Context, Block, func(Statistics), error](&countFn{})
	register.DoFn2x1[int, func(*Statistics) bool, Statistics](&mergeFn{})
	register.DoFn3x2[context.Context, int64, Document, Digest, error](&hashFn{})
	register.DoFn1x2[item, int64, Document](&keyFn{})
	beam.RegisterType(reflect.TypeFor[item]())
	register.Emitter1[Block]()
	register.Emitter1[Statistics]()
	register.Iter1[Statistics]()
}

// CharCount says how often a character occurs.
type CharCount struct{ Char, Count int64 }

// PairCount says how often Second follows First in one document.
type PairCount struct{ First, Second, Count int64 }

// BlockCount says how many characters a block owns, and the CRC-32C of its byte
// range.
type BlockCount struct{ Doc, Offset, Chars, CRC int64 }

// Invalid says where invalid UTF-8 was met.
type Invalid struct {
	Count  int64 // invalid bytes
	Doc    int64 // the first one's document, where Count > 0
	Offset int64 // the first one's byte in the document
	Byte   int64 // its value
}

// Statistics are facts of a corpus, or of some blocks of it.
type Statistics struct {
	Chars   []CharCount  // ordered by character; an invalid byte counts as U+FFFD
	Pairs   []PairCount  // ordered by both characters
	Blocks  []BlockCount // ordered by position in the corpus
	Invalid Invalid
}

// A Digest says what bytes the document at position Doc has.
type Digest struct {
	Doc    int64
	Name   string
	Bytes  int64
	SHA256 string  // hex
	Blocks []int64 // CRC-32C of each block's byte range
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

// Hash reads every document once, from its start to its end, in blocks of
// blockBytes.
//
// It takes a PCollection<KV<int64, Document>> and returns a
// PCollection<Digest>. It panics if blockBytes < 1.
func Hash(s beam.Scope, blockBytes int64, docs beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Hash")
	if blockBytes < 1 {
		panic(fmt.Sprintf("corpus.Hash: blocks of %d bytes", blockBytes))
	}
	return beam.ParDo(s, &hashFn{BlockBytes: blockBytes}, beam.Reshuffle(s, docs))
}

// hashFn returns a document's digest.
//
// Order: none. Dropped: nothing. Retry: output depends on the document's bytes
// alone. Memory: 1 MiB, and 8 bytes a block.
type hashFn struct {
	BlockBytes int64 `json:"block_bytes"`
}

func (f *hashFn) ProcessElement(ctx context.Context, doc int64, d Document) (Digest, error) {
	sum, blocks, err := digest(ctx, d, f.BlockBytes)
	return Digest{Doc: doc, Name: d.Name, Bytes: d.Bytes, SHA256: sum, Blocks: blocks}, err
}

// Count counts characters and adjacent pairs of a corpus.
//
// It takes a PCollection<Block> and returns a PCollection<Statistics> of one
// element, or of none where there is no block.
func Count(s beam.Scope, unit vocab.Unit, blocks beam.PCollection) beam.PCollection {
	s = s.Scope("corpus.Count")
	parts := beam.ParDo(s, &countFn{Unit: string(unit)}, blocks)
	return beam.ParDo(s, &mergeFn{}, beam.GroupByKey(s, beam.AddFixedKey(s, parts)))
}

// maxPairs bounds the hash table of a tally: some 100 MB.
const maxPairs = 4 << 20

// countFn counts the blocks of a bundle together and emits their sums when the
// bundle ends, or before when there are too many different pairs.
//
// Order: none; sums do not depend on it. Dropped: nothing. Retry: a bundle's
// output depends on its blocks alone. Memory: one block, and a table of the
// pairs met, at most maxPairs.
type countFn struct {
	Unit string `json:"unit"`

	reader  *Reader
	tally   *tally
	blocks  []BlockCount
	invalid Invalid
}

// Setup makes the reader.
func (f *countFn) Setup() { f.reader = new(Reader) }

// Teardown closes the reader.
func (f *countFn) Teardown() error { return f.reader.Close() }

// StartBundle forgets what an earlier, failed bundle may have left.
func (f *countFn) StartBundle(func(Statistics)) { f.reset() }

func (f *countFn) reset() { f.tally, f.blocks, f.invalid = newTally(), nil, Invalid{} }

func (f *countFn) ProcessElement(ctx context.Context, b Block, emit func(Statistics)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	text, err := f.reader.Block(ctx, b, vocab.Unit(f.Unit), 0)
	if err != nil {
		return err
	}
	chars, invalid, first := f.tally.text(text)
	f.blocks = append(f.blocks, BlockCount{Doc: b.Doc, Offset: b.Offset, Chars: chars, CRC: text.CRC})
	if invalid > 0 {
		f.invalid = f.invalid.plus(Invalid{invalid, b.Doc, text.Offset + int64(first), int64(text.Bytes[first])})
	}
	if f.tally.sparse.used > maxPairs {
		f.flush(emit)
	}
	return nil
}

// FinishBundle emits the sums.
func (f *countFn) FinishBundle(emit func(Statistics)) { f.flush(emit) }

func (f *countFn) flush(emit func(Statistics)) {
	if len(f.blocks) > 0 {
		s := f.tally.statistics()
		s.Blocks, s.Invalid = f.blocks, f.invalid
		emit(s)
	}
	f.reset()
}

// plus adds counts and keeps the earlier position.
func (a Invalid) plus(b Invalid) Invalid {
	if a.Count == 0 || b.Count > 0 && (b.Doc < a.Doc || b.Doc == a.Doc && b.Offset < a.Offset) {
		a, b = b, a
	}
	a.Count += b.Count
	return a
}

// mergeFn adds statistics of different blocks.
//
// Order: none; the sums are sorted. Dropped: nothing. Retry: output depends on
// the elements alone. Memory: the different pairs of the corpus, and 24 bytes
// a block.
type mergeFn struct{}

func (*mergeFn) ProcessElement(_ int, parts func(*Statistics) bool) Statistics {
	chars, pairs := map[int64]int64{}, map[[2]int64]int64{}
	var sum, part Statistics
	for parts(&part) {
		for _, c := range part.Chars {
			chars[c.Char] += c.Count
		}
		for _, p := range part.Pairs {
			pairs[[2]int64{p.First, p.Second}] += p.Count
		}
		sum.Blocks = append(sum.Blocks, part.Blocks...)
		sum.Invalid = sum.Invalid.plus(part.Invalid)
		part = Statistics{}
	}
	for c, n := range chars {
		sum.Chars = append(sum.Chars, CharCount{c, n})
	}
	for p, n := range pairs {
		sum.Pairs = append(sum.Pairs, PairCount{p[0], p[1], n})
	}
	slices.SortFunc(sum.Chars, func(a, b CharCount) int { return cmp.Compare(a.Char, b.Char) })
	slices.SortFunc(sum.Pairs, func(a, b PairCount) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
	})
	slices.SortFunc(sum.Blocks, func(a, b BlockCount) int {
		return cmp.Or(cmp.Compare(a.Doc, b.Doc), cmp.Compare(a.Offset, b.Offset))
	})
	return sum
}
