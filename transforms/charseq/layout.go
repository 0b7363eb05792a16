// Package charseq cuts the characters of documents into training sequences.
//
// Each document is divided into parts, one a split: with a validation fraction
// f, the first floor(C·(1-f)) of its C characters are for training and the rest
// for validation. A part of P characters has floor(P/(L+1)) sequences of L+1
// characters, cut at its offsets 0, L+1, 2(L+1)…; the characters after them are
// dropped. No sequence crosses a document or a part. The sequences of a split
// are numbered in the order of the documents.
//
// A Layout is this arithmetic; a Cutter turns the text of a block into the ids
// of the sequences that start in it.
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
)

// A Span is one document's part of one split.
type Span struct {
	Char      int64 // the document's character that the part starts with
	Sequences int64
	First     int64 // number of its first sequence in the split
}

// A Layout says where every sequence of a corpus is.
type Layout struct {
	SeqLength int64  // L: a sequence has one character more
	Splits    int64  // 1: training only, 2: training and validation
	Spans     []Span // (documents, Splits)
	Totals    []int64
	Dropped   int64 // characters of no sequence
}

// Tail returns the layout of documents with the given numbers of characters,
// the last part of each being for validation. Fraction 0 gives one split. It
// panics if l < 1 or fraction is not in [0, 1).
func Tail(l int64, fraction float64, chars []int64) Layout {
	if l < 1 || !(fraction >= 0 && fraction < 1) {
		panic(fmt.Sprintf("charseq.Tail: seq_length %d, fraction %v", l, fraction))
	}
	y := Layout{SeqLength: l, Splits: 1}
	if fraction > 0 {
		y.Splits = 2
	}
	y.Totals = make([]int64, y.Splits)
	num, den := decimal(fraction)
	for _, c := range chars {
		train := c - ceilMul(c, num, den)
		y.add(Train, 0, train)
		if y.Splits == 2 {
			y.add(Validation, train, c-train)
		}
		y.Dropped += c
	}
	for _, n := range y.Totals {
		y.Dropped -= n * (l + 1)
	}
	return y
}

// decimal returns the fraction num/den that f is written as: 0.1 is a tenth,
// though the float64 is not. Done in floating point, floor(10·(1-0.9)) is 0.
func decimal(f float64) (num, den *big.Int) {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		panic(fmt.Sprintf("charseq.Tail: fraction %v", f))
	}
	return r.Num(), r.Denom()
}

// ceilMul returns ⌈c·num/den⌉.
func ceilMul(c int64, num, den *big.Int) int64 {
	x := new(big.Int).Mul(big.NewInt(c), num)
	x.Add(x, den).Sub(x, big.NewInt(1))
	return x.Div(x, den).Int64()
}

func (y *Layout) add(split, char, chars int64) {
	n := chars / (y.SeqLength + 1)
	y.Spans = append(y.Spans, Span{Char: char, Sequences: n, First: y.Totals[split]})
	y.Totals[split] += n
}

// A Run is some consecutive sequences of a document and split.
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
	n := y.SeqLength + 1
	for split := range y.Splits {
		s := y.Spans[doc*y.Splits+split]
		from := min(s.Sequences, ceil(max(0, lo-s.Char), n))
		to := min(s.Sequences, ceil(max(0, hi-s.Char), n))
		if from < to {
			runs = append(runs, Run{Split: int(split), Index: s.First + from, Char: s.Char + from*n, Count: to - from})
		}
	}
	return runs
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
