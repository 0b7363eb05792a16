package layout

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

// The size of a block of sequences that overlap. They share text, so all of them
// have one split, and no sequence crosses two blocks.
const (
	blockSequences = 16      // as many as fit side by side
	blockChars     = 1 << 16 // bound of the above, unless one sequence is longer
)

// Blocks is the division of documents by block.
type Blocks struct {
	rule       Rule
	chars      int64  // of a block; the last one of a document may be shorter
	validation uint64 // ⌊v·2⁶⁴⌋: hashes below it are for validation
	test       uint64 // ⌊t·2⁶⁴⌋: as many of the highest hashes are for test
}

// Blocks returns the division. It panics where r is no valid rule by block.
func (r Rule) Blocks() Blocks {
	r.mustBe(ByBlock)
	n := int64(1)
	if r.Stride < r.SeqLength+1 {
		n = max(1, min(blockSequences, blockChars/(r.SeqLength+1)))
	}
	return Blocks{rule: r, chars: n * (r.SeqLength + 1), validation: share(r.Validation), test: share(r.Test)}
}

// share returns ⌊f·2⁶⁴⌋.
func share(f float64) uint64 {
	x := new(big.Int).Lsh(decimal(f).Num(), 64)
	return x.Div(x, decimal(f).Denom()).Uint64()
}

// Ahead returns how many characters behind a text may belong to sequences of
// blocks that start in it.
func (b Blocks) Ahead() int64 { return b.chars }

// Dropped returns how many characters of a document are in no sequence.
func (b Blocks) Dropped(chars int64) int64 {
	_, full := b.rule.sequences(b.chars)
	_, last := b.rule.sequences(chars % b.chars)
	return chars - chars/b.chars*full - last
}

// split returns the split of a block whose first sequence has the given bytes.
func (b Blocks) split(first []byte) int {
	sum := sha256.Sum256(first)
	switch h := binary.BigEndian.Uint64(sum[:]); {
	case h < b.validation:
		return Validation
	case h > math.MaxUint64-b.test:
		return Test
	}
	return Train
}

// Starting returns the sequences of the blocks that start at the characters of a
// span of a document, in order; First counts from the span's first sequence of
// that split. counts are the span's sequences by split.
//
// The document has total characters, of the given unit. text is its text from the
// span's start on, with Ahead characters after the span's end, or all that are
// left. ok is false where text ends too early.
func (b Blocks) Starting(in Span, total int64, unit vocab.Unit, text []byte) (found []Sequences, counts [Splits]int64, ok bool) {
	at, char := 0, in.From // index in text, and the document's character there
	for start := ceil(in.From, b.chars) * b.chars; start < in.To; start += b.chars {
		n, _ := b.rule.sequences(min(b.chars, total-start))
		if n == 0 {
			break
		}
		if at, ok = skip(unit, text, at, start-char); !ok {
			return nil, counts, false
		}
		end, ok := skip(unit, text, at, b.rule.SeqLength+1)
		if !ok {
			return nil, counts, false
		}
		split := b.split(text[at:end])
		at, char = end, start+b.rule.SeqLength+1
		if k := len(found) - 1; k >= 0 && found[k].Split == split && found[k].Char+found[k].Count*b.rule.Stride == start {
			found[k].Count += n
		} else {
			found = append(found, Sequences{Split: split, First: counts[split], Char: start, Count: n})
		}
		counts[split] += n
	}
	return found, counts, true
}

// skip returns the index in text that is chars characters after the index at.
func skip(unit vocab.Unit, text []byte, at int, chars int64) (int, bool) {
	if unit == vocab.Byte {
		at += int(chars)
		return at, at <= len(text)
	}
	for ; chars > 0; chars-- {
		if at >= len(text) {
			return at, false
		}
		if text[at] < utf8.RuneSelf {
			at++
			continue
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at, true
}
