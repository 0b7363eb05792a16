// Package layout says which characters of a corpus are for training, which are
// held out, and which are dropped.
//
// A document is divided into stretches, each of consecutive characters for one
// split: training, validation or test. A stretch of P characters has sequences
// of L+1 characters at its offsets 0, S, 2S…, as many as fit. The stride S is 1
// to L+1; with L+1, which is usual, sequences do not overlap. The characters after
// the last sequence are dropped. No sequence crosses two stretches. The sequences
// of a split are numbered in the order of the documents.
//
// There are two ways to divide a document. v and t are the fractions for
// validation and for test.
//
//	by tail    training ……………… validation · test    three stretches at most
//	by block   block · block · block · block · …     every block is a stretch
//
// By tail, the last ⌈C·t⌉ of a document's C characters are for test, the ⌈C·v⌉
// before them for validation, the rest for training. The numbers of characters
// determine everything: Tail.
//
// By block, a stretch is one sequence; where sequences overlap, it is a block of
// some thousand characters. The sha256 of its first L+1 characters, a number in
// [0, 1), determines its split: below v validation, from 1-t on test, else
// training. So a block keeps its split when documents are added or grow at their
// end, and two equal blocks have one split. The texts determine who is held out:
// Blocks.
package layout

import "fmt"

// The splits, as numbers.
const (
	Train = iota
	Validation
	Test
	Splits // their number
)

// Names are the splits' names.
var Names = [Splits]string{"train", "validation", "test"}

// The two ways to divide a document.
const (
	ByTail  = "tail"
	ByBlock = "block"
)

// A Rule divides documents into stretches and stretches into sequences.
type Rule struct {
	SeqLength  int64   // L, at least 1
	Stride     int64   // S, 1 to L+1
	By         string  // ByTail or ByBlock
	Validation float64 // v, in [0, 1)
	Test       float64 // t, in [0, 1); v+t is below 1
}

// Validate returns an error where a field of r has a value that it may not have.
func (r Rule) Validate() error {
	if r.SeqLength < 1 || r.Stride < 1 || r.Stride > r.SeqLength+1 || r.By != ByTail && r.By != ByBlock ||
		!(r.Validation >= 0 && r.Test >= 0 && r.Validation+r.Test < 1) {
		return fmt.Errorf("layout: %+v is no rule", r)
	}
	return nil
}

// mustBe panics unless r is a valid rule of the given way.
func (r Rule) mustBe(by string) {
	if r.Validate() != nil || r.By != by {
		panic(fmt.Sprintf("layout: %+v is no rule by %s", r, by))
	}
}

// Continuous reports whether the sequences of a stretch cover it without a gap or
// an overlap, so that each goes on where the one before it ended.
func (r Rule) Continuous() bool { return r.By == ByTail && r.Stride == r.SeqLength+1 }

// sequences returns the number of sequences in a stretch, and how many of its
// characters they cover.
func (r Rule) sequences(chars int64) (n, covered int64) {
	if chars < r.SeqLength+1 {
		return 0, 0
	}
	n = (chars-r.SeqLength-1)/r.Stride + 1
	return n, (n-1)*r.Stride + r.SeqLength + 1
}

// A Span is the characters [From, To) of a text.
type Span struct{ From, To int64 }

// Sequences are sequences of one document and one split, each the stride after the
// one before.
type Sequences struct {
	Split int
	First int64 // number of the first one in its split
	Char  int64 // the document's character that the first one starts with
	Count int64
}

// Span returns the characters, of their document, that sequences cover.
func (r Rule) Span(s Sequences) Span {
	return Span{s.Char, s.Char + (s.Count-1)*r.Stride + r.SeqLength + 1}
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
