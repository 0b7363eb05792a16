package corpus

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

const (
	pageBits = 7   // characters per page of the index, as a power of two: one page is ASCII
	denseIDs = 256 // characters whose pairs are counted in a square table
)

// A tally counts characters and adjacent pairs. Characters get small numbers in
// the order they are met. Pairs of the first 256 are counted in a square table,
// the rest in a hash table: a Go map of pairs is ten times slower.
type tally struct {
	pages  [][]int32 // character>>pageBits → number+1 of each character of the page; 0 = not met
	chars  []rune    // by number
	counts []int64   // by number
	dense  []int64   // (denseIDs, denseIDs) by number of the first and second character
	sparse pairTable
}

func newTally() *tally {
	return &tally{
		pages: make([][]int32, (utf8.MaxRune>>pageBits)+1),
		dense: make([]int64, denseIDs*denseIDs),
	}
}

// number returns c's number.
func (t *tally) number(c rune) int32 {
	if page := t.pages[c>>pageBits]; page != nil {
		if n := page[c&(1<<pageBits-1)]; n != 0 {
			return n - 1
		}
	}
	return t.add(c)
}

func (t *tally) add(c rune) int32 {
	page := &t.pages[c>>pageBits]
	if *page == nil {
		*page = make([]int32, 1<<pageBits)
	}
	t.chars = append(t.chars, c)
	t.counts = append(t.counts, 0)
	(*page)[c&(1<<pageBits-1)] = int32(len(t.chars))
	return int32(len(t.chars)) - 1
}

// text counts the characters that a block owns, each with the pair that it
// ends. It returns how many there are, how many of them are invalid bytes, and
// the index in x.Bytes of the first of these (-1 where there is none).
func (t *tally) text(x Text) (chars, invalid int64, first int) {
	prev := int32(-1)
	if c, ok := x.Previous(); ok {
		prev = t.number(c)
	}
	first = -1
	data := x.Owned()
	for i := 0; i < len(data); {
		c, size := rune(data[i]), 1
		if c >= utf8.RuneSelf && x.Unit == vocab.Rune {
			c, size = utf8.DecodeRune(data[i:])
			if c == utf8.RuneError && size == 1 {
				if invalid == 0 {
					first = x.First + i
				}
				invalid++
			}
		}
		i += size
		n := t.number(c)
		t.counts[n]++
		chars++
		switch {
		case prev < 0:
		case prev < denseIDs && n < denseIDs:
			t.dense[int(prev)*denseIDs+int(n)]++
		default:
			t.sparse.add(uint64(prev)<<32|uint64(n), 1)
		}
		prev = n
	}
	return chars, invalid, first
}

// statistics returns the counts in the order of their characters.
func (t *tally) statistics() Statistics {
	var s Statistics
	for n, c := range t.chars {
		if t.counts[n] > 0 {
			s.Chars = append(s.Chars, CharCount{Char: int64(c), Count: t.counts[n]})
		}
	}
	for i, count := range t.dense {
		if count > 0 {
			s.Pairs = append(s.Pairs, PairCount{int64(t.chars[i/denseIDs]), int64(t.chars[i%denseIDs]), count})
		}
	}
	for i, k := range t.sparse.keys {
		if k != 0 {
			s.Pairs = append(s.Pairs, PairCount{int64(t.chars[(k-1)>>32]), int64(t.chars[uint32(k-1)]), t.sparse.counts[i]})
		}
	}
	slices.SortFunc(s.Chars, func(a, b CharCount) int { return cmp.Compare(a.Char, b.Char) })
	slices.SortFunc(s.Pairs, func(a, b PairCount) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
	})
	return s
}

// A pairTable is an open-addressing hash table from pairs to counts.
type pairTable struct {
	keys   []uint64 // pair+1; 0 = empty
	counts []int64
	used   int
}

func (t *pairTable) add(pair uint64, count int64) {
	if 2*t.used >= len(t.keys) {
		t.grow()
	}
	mask := len(t.keys) - 1
	for i := int((pair*0x9e3779b97f4a7c15)>>32) & mask; ; i = (i + 1) & mask {
		switch t.keys[i] {
		case pair + 1:
			t.counts[i] += count
			return
		case 0:
			t.keys[i], t.counts[i] = pair+1, count
			t.used++
			return
		}
	}
}

func (t *pairTable) grow() {
	old := *t
	size := max(1<<12, 2*len(old.keys))
	*t = pairTable{keys: make([]uint64, size), counts: make([]int64, size)}
	for i, k := range old.keys {
		if k != 0 {
			t.add(k-1, old.counts[i])
		}
	}
}
