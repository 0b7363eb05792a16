// Package charseq cuts the characters of documents into training sequences.
//
// A stretch of P characters has sequences of L+1 characters at its offsets 0, S,
// 2S…, as many as fit, where S, the stride, is 1 to L+1. With S = L+1, which is
// usual, they do not overlap. The characters after the last one are dropped. No
// sequence crosses two stretches. There are two ways to divide documents into
// stretches for training, validation and test, and in both the sequences of a
// split are numbered in the order of the documents.
//
// A Layout divides each document in three: with fractions v and t, ⌈C·v⌉ of its
// C characters, before the end, are for validation, ⌈C·t⌉, at the end, for test,
// and the rest for training.
//
// Blocks divide it into blocks of some thousand characters, each of which is one
// stretch. What a block is for depends on the sha256 of its first L+1 characters
// alone: so it stays when documents are added, or a document grows at its end,
// and a block that comes twice is for the same both times.
//
// A Cutter turns the text of a block of bytes into the ids of the sequences that
// start in it.
package charseq

import (
	"fmt"
	"math/big"
	"strconv"
)

// Splits, in the order of a Layout's spans.
const (
	Train = iota
	Validation
	Test
	Splits // how many there are
)

// A Span is one document's part of one split.
type Span struct {
	Char      int64 // the document's character that the part starts with
	Sequences int64
	First     int64 // number of its first sequence in the split
}

// A Layout says where every sequence of a corpus is.
type Layout struct {
	SeqLength int64   // L: a sequence has one character more
	Stride    int64   // S
	Spans     []Span  // (documents, Splits)
	Totals    []int64 // (Splits)
	Dropped   []int64 // (documents) characters of no sequence
}

// Tail returns the layout of documents with the given numbers of characters. It
// panics if l < 1, stride is not in 1…l+1, or the fractions are not in [0, 1) with
// a sum below 1.
func Tail(l, stride int64, validation, test float64, chars []int64) Layout {
	check("Tail", l, stride, validation, test)
	y := Layout{SeqLength: l, Stride: stride, Totals: make([]int64, Splits)}
	v, t := decimal(validation), decimal(test)
	for _, c := range chars {
		validation := min(c, ceilMul(c, v))
		test := min(c-validation, ceilMul(c, t))
		train := c - validation - test
		dropped := c
		for split, part := range [Splits][2]int64{{0, train}, {train, validation}, {train + validation, test}} {
			n, covered := sequences(l, stride, part[1])
			y.Spans = append(y.Spans, Span{Char: part[0], Sequences: n, First: y.Totals[split]})
			y.Totals[split] += n
			dropped -= covered
		}
		y.Dropped = append(y.Dropped, dropped)
	}
	return y
}

func check(name string, l, stride int64, validation, test float64) {
	if l < 1 || stride < 1 || stride > l+1 || !(validation >= 0 && test >= 0 && validation+test < 1) {
		panic(fmt.Sprintf("charseq.%s: seq_length %d, stride %d, fractions %v and %v", name, l, stride, validation, test))
	}
}

// sequences returns how many sequences a stretch has, and how many of its
// characters are in some.
func sequences(l, stride, chars int64) (n, covered int64) {
	if chars < l+1 {
		return 0, 0
	}
	n = (chars-l-1)/stride + 1
	return n, (n-1)*stride + l + 1
}

// decimal returns the fraction that f is written as: 0.1 is a tenth, though the
// float64 is not. Done in floating point, floor(10·(1-0.9)) is 0.
func decimal(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		panic(fmt.Sprintf("charseq: fraction %v", f))
	}
	return r
}

// ceilMul returns ⌈c·f⌉.
func ceilMul(c int64, f *big.Rat) int64 {
	x := new(big.Int).Mul(big.NewInt(c), f.Num())
	x.Add(x, f.Denom()).Sub(x, big.NewInt(1))
	return x.Div(x, f.Denom()).Int64()
}

// A Run is some sequences of a document and split, each the stride after the one
// before.
type Run struct {
	Split int
	Index int64 // number of the first one in its split
	Char  int64 // the document's character that the first one starts with
	Count int64
}

// Starting returns the sequences of the document at position doc that start at
// its characters lo ≤ c < hi, in order.
func (y *Layout) Starting(doc, lo, hi int64) []Run {
	var runs []Run
	for split := range int64(Splits) {
		s := y.Spans[doc*Splits+split]
		from := min(s.Sequences, ceil(max(0, lo-s.Char), y.Stride))
		to := min(s.Sequences, ceil(max(0, hi-s.Char), y.Stride))
		if from < to {
			runs = append(runs, Run{Split: int(split), Index: s.First + from, Char: s.Char + from*y.Stride, Count: to - from})
		}
	}
	return runs
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
