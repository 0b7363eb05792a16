package layout

import (
	"fmt"
	"math/big"
	"strconv"
)

// A Layout says where every sequence of documents is that are divided by tail.
type Layout struct {
	Rule      Rule
	Stretches []Stretch // (documents, Splits)
	Totals    []int64   // (Splits) sequences
	Dropped   []int64   // (documents) characters of no sequence
}

// A Stretch is consecutive characters of one document, all for one split.
type Stretch struct {
	Span            // those dropped included
	Sequences int64 // their number
	First     int64 // number, in the split, of the first one
}

// Tail returns the layout of documents with the given numbers of characters. It
// panics where r is no valid rule by tail.
func Tail(r Rule, chars []int64) Layout {
	r.mustBe(ByTail)
	y := Layout{Rule: r, Totals: make([]int64, Splits)}
	v, t := decimal(r.Validation), decimal(r.Test)
	for _, c := range chars {
		validation := min(c, ceilMul(c, v))
		test := min(c-validation, ceilMul(c, t))
		train := c - validation - test
		dropped := c
		for split, s := range [Splits]Span{{0, train}, {train, train + validation}, {train + validation, c}} {
			n, covered := r.sequences(s.To - s.From)
			y.Stretches = append(y.Stretches, Stretch{Span: s, Sequences: n, First: y.Totals[split]})
			y.Totals[split] += n
			dropped -= covered
		}
		y.Dropped = append(y.Dropped, dropped)
	}
	return y
}

// Starting returns the sequences of the document at position doc that start at
// the characters of a span, in order.
func (y *Layout) Starting(doc int64, in Span) []Sequences {
	var found []Sequences
	for split := range int64(Splits) {
		s := y.Stretches[doc*Splits+split]
		from := min(s.Sequences, ceil(max(0, in.From-s.From), y.Rule.Stride))
		to := min(s.Sequences, ceil(max(0, in.To-s.From), y.Rule.Stride))
		if from < to {
			found = append(found, Sequences{Split: int(split), First: s.First + from, Char: s.From + from*y.Rule.Stride, Count: to - from})
		}
	}
	return found
}

// Covered returns the number of characters that the sequences of each stretch of a
// split cover, in the order of the documents. Stretches without sequences are left
// out.
func (y *Layout) Covered(split int) []int64 {
	var list []int64
	for i := split; i < len(y.Stretches); i += Splits {
		s := y.Stretches[i]
		if n, covered := y.Rule.sequences(s.To - s.From); n > 0 {
			list = append(list, covered)
		}
	}
	return list
}

// decimal returns the fraction that f is written as: 0.1 is a tenth, though the
// float64 is not. In floating point, ⌊10·(1-0.9)⌋ is 0.
func decimal(f float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(f, 'g', -1, 64))
	if !ok {
		panic(fmt.Sprintf("layout: fraction %v", f))
	}
	return r
}

// ceilMul returns ⌈c·f⌉.
func ceilMul(c int64, f *big.Rat) int64 {
	x := new(big.Int).Mul(big.NewInt(c), f.Num())
	x.Add(x, f.Denom()).Sub(x, big.NewInt(1))
	return x.Div(x, f.Denom()).Int64()
}
