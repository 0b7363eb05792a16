package charseq

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// The size of a block of sequences that overlap: they share text, so all of them
// are on one side, and no sequence crosses the border of two blocks.
const (
	blockSequences = 16      // as many as fit side by side
	blockChars     = 1 << 16 // of a longer block, unless one sequence is longer
)

// Blocks is the division of documents into blocks of characters. Without overlap
// a block is one sequence, and what it is for depends on its text alone: whatever
// else changes in a corpus, that text stays on its side.
type Blocks struct {
	seqLength, stride int64
	chars             int64  // of a block; the last one of a document may be shorter
	validation        uint64 // hashes up to this, where it is not 0, are for validation
	test              uint64 // and those from 2^64-1 down to 2^64 less this for test
}

// NewBlocks returns the division into blocks. It panics as Tail does.
func NewBlocks(l, stride int64, validation, test float64) Blocks {
	check("NewBlocks", l, stride, validation, test)
	n := int64(1)
	if stride < l+1 {
		n = max(1, min(blockSequences, blockChars/(l+1)))
	}
	return Blocks{seqLength: l, stride: stride, chars: n * (l + 1), validation: share(validation), test: share(test)}
}

// share returns ⌊f·2^64⌋.
func share(f float64) uint64 {
	x := new(big.Int).Lsh(decimal(f).Num(), 64)
	return x.Div(x, decimal(f).Denom()).Uint64()
}

// Ahead returns how many characters after a block of bytes may belong to
// sequences that start in it.
func (b Blocks) Ahead() int64 { return b.chars }

// Dropped returns how many characters of a document are in no sequence.
func (b Blocks) Dropped(chars int64) int64 {
	_, full := sequences(b.seqLength, b.stride, b.chars)
	_, last := sequences(b.seqLength, b.stride, chars%b.chars)
	return chars - chars/b.chars*full - last
}

// split returns what a block is for that starts with a sequence of the given
// bytes.
func (b Blocks) split(first []byte) int {
	sum := sha256.Sum256(first)
	switch h := binary.BigEndian.Uint64(sum[:]); {
	case h < b.validation:
		return Validation
	case b.test > 0 && h > math.MaxUint64-b.test:
		return Test
	}
	return Train
}

// Starting returns the sequences of the blocks of characters that start in a
// text: it owns the given number of its document's total characters, from the
// character first on, and the document has Ahead more behind them. Runs are in
// order; the Index of each counts from the text's first sequence of that split. ok
// is false where the text ends too early.
func (b Blocks) Starting(t corpus.Text, first, owned, total int64) (runs []Run, counts [Splits]int64, ok bool) {
	at, char := t.First, first
	for start := ceil(first, b.chars) * b.chars; start < first+owned; start += b.chars {
		n, _ := sequences(b.seqLength, b.stride, min(b.chars, total-start))
		if n == 0 {
			break
		}
		if at, ok = skip(t, at, start-char); !ok {
			return nil, counts, false
		}
		end, ok := skip(t, at, b.seqLength+1)
		if !ok {
			return nil, counts, false
		}
		split := b.split(t.Bytes[at:end])
		at, char = end, start+b.seqLength+1
		if k := len(runs) - 1; k >= 0 && runs[k].Split == split && runs[k].Char+runs[k].Count*b.stride == start {
			runs[k].Count += n
		} else {
			runs = append(runs, Run{Split: split, Index: counts[split], Char: start, Count: n})
		}
		counts[split] += n
	}
	return runs, counts, true
}

// skip returns the index in t.Bytes that is chars characters after at.
func skip(t corpus.Text, at int, chars int64) (int, bool) {
	if t.Unit == vocab.Byte {
		at += int(chars)
		return at, at <= len(t.Bytes)
	}
	for ; chars > 0; chars-- {
		if at >= len(t.Bytes) {
			return at, false
		}
		if t.Bytes[at] < utf8.RuneSelf {
			at++
			continue
		}
		_, size := utf8.DecodeRune(t.Bytes[at:])
		at += size
	}
	return at, true
}
