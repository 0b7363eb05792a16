package layout

import (
	"fmt"
	"math"
	"math/big"
	"math/bits"
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

// Tails is the division of documents by tail, one by one.
type Tails struct {
	rule             Rule
	validation, test *big.Rat
}

// Tails returns the division. It panics where r is no valid rule by tail.
func (r Rule) Tails() Tails {
	r.mustBe(ByTail)
	return Tails{r, decimal(r.Validation), decimal(r.Test)}
}

// Stretches returns the stretches of a document of so many characters. first are the
// numbers of its first sequences in the splits. dropped counts the characters of no
// sequence.
func (t Tails) Stretches(chars int64, first [Splits]int64) (all [Splits]Stretch, dropped int64) {
	validation := min(chars, ceilMul(chars, t.validation))
	test := min(chars-validation, ceilMul(chars, t.test))
	train := chars - validation - test
	dropped = chars
	for split, s := range [Splits]Span{{0, train}, {train, train + validation}, {train + validation, chars}} {
		n, covered := t.rule.sequences(s.To - s.From)
		all[split] = Stretch{Span: s, Sequences: n, First: first[split]}
		dropped -= covered
	}
	return all, dropped
}

// Starting returns the sequences of a document's stretches that start at the characters of
// a span, in order.
func (t Tails) Starting(all [Splits]Stretch, in Span) []Sequences { return t.rule.starting(all[:], in) }

// starting returns the sequences of stretches that start at the characters of a span.
func (r Rule) starting(stretches []Stretch, in Span) []Sequences {
	var found []Sequences
	for split, s := range stretches {
		from := min(s.Sequences, ceil(max(0, in.From-s.From), r.Stride))
		to := min(s.Sequences, ceil(max(0, in.To-s.From), r.Stride))
		if from < to {
			found = append(found, Sequences{Split: split, First: s.First + from, Char: s.From + from*r.Stride, Count: to - from})
		}
	}
	return found
}

// Tail returns the layout of documents with the given numbers of characters. It
// panics where r is no valid rule by tail.
func Tail(r Rule, chars []int64) Layout {
	t := r.Tails()
	y := Layout{Rule: r, Totals: make([]int64, Splits)}
	for _, c := range chars {
		all, dropped := t.Stretches(c, [Splits]int64(y.Totals))
		y.Stretches = append(y.Stretches, all[:]...)
		y.Dropped = append(y.Dropped, dropped)
		for split, s := range all {
			y.Totals[split] += s.Sequences
		}
	}
	return y
}

// Starting returns the sequences of the document at position doc that start at
// the characters of a span, in order.
func (y *Layout) Starting(doc int64, in Span) []Sequences {
	return y.Rule.starting(y.Stretches[doc*Splits:(doc+1)*Splits], in)
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

// ceilMul returns ⌈c·f⌉ for numbers that are not negative.
func ceilMul(c int64, f *big.Rat) int64 {
	if f.Num().IsInt64() && f.Denom().IsInt64() {
		num, denom := uint64(f.Num().Int64()), uint64(f.Denom().Int64())
		if hi, lo := bits.Mul64(uint64(c), num); hi == 0 && lo <= math.MaxUint64-denom {
			return int64((lo + denom - 1) / denom)
		}
	}
	x := new(big.Int).Mul(big.NewInt(c), f.Num())
	x.Add(x, f.Denom()).Sub(x, big.NewInt(1))
	return x.Div(x, f.Denom()).Int64()
}
