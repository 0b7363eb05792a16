package dataset

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// Entropies returns a text's entropies in nats a character: the loss of the best
// prediction from frequencies alone.
//
//	unigram = -Σ c(x)/M  · ln(c(x)/M)          M  characters
//	bigram  = -Σ c(xy)/M₂ · ln(c(xy)/c(x·))     M₂ pairs of adjacent characters,
//	                                            c(x·) of them begin with x
//
// These are maximum likelihood in sample. counts are of characters, pairs of
// adjacent ones; every count is positive. Without pairs, bigram is 0.
//
// The result is the same to the last bit on every machine: sums go through the
// characters in order, and the logarithm is our own.
func Entropies(counts map[rune]int64, pairs map[[2]rune]int64) (unigram, bigram float64) {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	for _, c := range slices.Sorted(maps.Keys(counts)) {
		unigram += term(counts[c], total, total)
	}
	firsts, total := map[rune]int64{}, int64(0)
	for pair, n := range pairs {
		firsts[pair[0]] += n
		total += n
	}
	sorted := slices.SortedFunc(maps.Keys(pairs), func(a, b [2]rune) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
	for _, pair := range sorted {
		bigram += term(pairs[pair], firsts[pair[0]], total)
	}
	return unigram, bigram
}

// A Triple says how often three characters follow one another in a text.
type Triple struct {
	Chars [3]rune
	Count int64
}

// TrigramEntropy returns the entropy, in nats a character, of characters that are
// predicted from the two before them:
//
//	-Σ c(xyz)/M₃ · ln(c(xyz)/c(xy·))     M₃ triples of adjacent characters
//
// Triples are ordered by their characters, and each comes once.
func TrigramEntropy(triples []Triple) (nats float64) {
	total := int64(0)
	for _, t := range triples {
		total += t.Count
	}
	for len(triples) > 0 {
		n, of := 0, int64(0) // those that begin with the same two
		for ; n < len(triples) && triples[n].Chars[0] == triples[0].Chars[0] && triples[n].Chars[1] == triples[0].Chars[1]; n++ {
			of += triples[n].Count
		}
		for _, t := range triples[:n] {
			nats += term(t.Count, of, total)
		}
		triples = triples[n:]
	}
	return nats
}

// term returns -n/total · ln(n/of).
func term(n, of, total int64) float64 {
	if n == of {
		return 0
	}
	// The conversion forbids to fuse the product with the caller's sum.
	return float64(float64(n) / float64(total) * -ln(float64(n)/float64(of)))
}

// ln returns the natural logarithm of x > 0 to within some 2 units in the last
// place, by the same roundings everywhere: math.Log is assembly on some machines,
// and on some the compiler fuses products with sums, which the conversions here
// forbid.
//
//	x = 2^k·(1+f), √½ ≤ 1+f < √2      s = f/(2+f), |s| < 0.172
//	ln x = k·ln 2 + 2·(s + s³/3 + s⁵/5 + …)
func ln(x float64) float64 {
	frac, exp := math.Frexp(x)
	if frac < math.Sqrt2/2 {
		frac *= 2
		exp--
	}
	s := (frac - 1) / (frac + 1)
	s2 := float64(s * s)
	sum := 0.0
	for k := 23; k >= 3; k -= 2 {
		sum = float64(sum*s2) + 1/float64(k)
	}
	sum = float64(sum * s2)
	sum = 2*s + float64(2*s*sum)
	return float64(float64(exp)*math.Ln2) + sum
}
