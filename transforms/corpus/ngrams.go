package corpus

import (
	"cmp"
	"slices"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

const (
	pageBits   = 7              // characters per page of the index, as a power of two: one page is ASCII
	numberBits = 21             // of a character's number
	denseBits  = 7              // of the numbers whose pairs and triples are counted in plain tables
	dense      = 1 << denseBits // such numbers
)

// A tally counts triples of adjacent characters. Counts of pairs and characters are
// sums over triples and over the first characters of documents. Characters get
// numbers in the order of their first occurrence. Triples of the first 128 numbers
// are counted in a cube of 8 MB, all others in a hash table: Go maps are ten times
// slower. Once more than most triples differ, a tally counts pairs only.
type tally struct {
	most  int64
	many  bool       // more than most triples differ: pairs are counted in their place
	total int64      // characters
	byte  [256]int32 // number of the character of a single byte; -1 = none, or not met yet
	pages [][]int32  // character>>pageBits → number+1 of each character of the page; 0 = not met
	chars []rune     // by number
	start []int64    // by number: documents that start with the character

	limit   uint32                        // dense, or 0 where triples are not counted
	cube    *[1 << (3 * denseBits)]uint32 // (dense, dense, dense) counts, by the numbers of a triple
	square  [dense * dense]int64          // (dense, dense) counts, by the numbers of a pair
	triples table
	pairs   table
}

func newTally(most int64) *tally {
	t := &tally{most: most, pages: make([][]int32, (utf8.MaxRune>>pageBits)+1), limit: dense, cube: new([1 << (3 * denseBits)]uint32)}
	for i := range t.byte {
		t.byte[i] = -1
	}
	return t
}

// number returns the number of c, which gets the next one where it has none.
func (t *tally) number(c rune) int32 {
	if page := t.pages[c>>pageBits]; page != nil {
		if n := page[c&(1<<pageBits-1)]; n != 0 {
			return n - 1
		}
	}
	page := &t.pages[c>>pageBits]
	if *page == nil {
		*page = make([]int32, 1<<pageBits)
	}
	t.chars = append(t.chars, c)
	t.start = append(t.start, 0)
	(*page)[c&(1<<pageBits-1)] = int32(len(t.chars))
	return int32(len(t.chars)) - 1
}

// text counts the characters that a range owns, each with the triple that it ends.
// It returns the numbers of characters and of invalid bytes, and the index in x.Bytes
// of the first invalid byte, or -1.
func (t *tally) text(x Text) (chars, invalid int64, first int) {
	p2, p1 := int32(-1), int32(-1)
	if c, size := x.before(x.First); size > 0 {
		p1 = t.number(c)
		if c, size = x.before(x.First - size); size > 0 {
			p2 = t.number(c)
		}
	}
	first = -1
	data := x.Owned()
	for i := 0; i < len(data); {
		if uint32(p2|p1) < t.limit {
			var k int
			k, p2, p1 = t.run(data[i:], p2, p1)
			i, chars = i+k, chars+int64(k)
			if i == len(data) {
				break
			}
		}
		n, size := t.byte[data[i]], 1
		if n < 0 {
			var ok bool
			if n, size, ok = t.decode(data[i:], x.Unit); !ok {
				if invalid++; first < 0 {
					first = x.First + i
				}
			}
		}
		i += size
		if uint32(p2|p1|n) < t.limit {
			t.cube[uint32(p2)<<(2*denseBits)|uint32(p1)<<denseBits|uint32(n)]++
		} else {
			t.add(p2, p1, n)
		}
		p2, p1 = p1, n
		chars++
	}
	t.total += chars
	return chars, invalid, first
}

// run counts the triples that the first bytes of data end, up to one that is no character by
// itself, or whose number is not dense. Those of p2 and p1 are. It returns the number of
// bytes, and the last two numbers.
func (t *tally) run(data []byte, p2, p1 int32) (int, int32, int32) {
	const mask = dense*dense - 1
	pair := uint32(p2)<<denseBits | uint32(p1)
	n := len(data)
	for i, b := range data {
		c := uint32(t.byte[b])
		if c >= dense {
			n = i
			break
		}
		triple := pair&mask<<denseBits | c
		t.cube[triple]++
		pair = triple
	}
	return n, int32(pair >> denseBits & (dense - 1)), int32(pair & (dense - 1))
}

// decode returns the number of data's first character, and its size in bytes. ok is
// false for an invalid byte.
func (t *tally) decode(data []byte, unit vocab.Unit) (n int32, size int, ok bool) {
	if c := rune(data[0]); c < utf8.RuneSelf || unit == vocab.Byte {
		n = t.number(c)
		t.byte[data[0]] = n
		return n, 1, true
	}
	c, size := utf8.DecodeRune(data)
	return t.number(c), size, c != utf8.RuneError || size > 1
}

// add counts a triple that is not in the cube. At the start of a document, where p2 or
// both are -1, it counts the pair or the character.
func (t *tally) add(p2, p1, n int32) {
	switch {
	case p1 < 0:
		t.start[n]++
	case p2 < 0 || t.many:
		t.pair(uint64(p1), uint64(n), 1)
	default:
		t.triples.add(uint64(p2)<<(2*numberBits)|uint64(p1)<<numberBits|uint64(n), 1)
		if int64(t.triples.used) > t.most {
			t.many, t.limit = true, 0
			t.fold()
		}
	}
}

// pair adds to the count of a pair.
func (t *tally) pair(p1, n uint64, count int64) {
	if p1 < dense && n < dense {
		t.square[p1<<denseBits|n] += count
		return
	}
	t.pairs.add(p1<<numberBits|n, count)
}

// each calls f with every triple and its count.
func (t *tally) each(f func(a, b, c uint64, count int64)) {
	for i, count := range t.cube {
		if count > 0 {
			f(uint64(i)>>(2*denseBits), uint64(i)>>denseBits%dense, uint64(i)%dense, int64(count))
		}
	}
	const mask = 1<<numberBits - 1
	for i, k := range t.triples.keys {
		if k--; k != 1<<64-1 {
			f(k>>(2*numberBits), k>>numberBits&mask, k&mask, t.triples.counts[i])
		}
	}
}

// fold adds the triples to the pairs and forgets them.
func (t *tally) fold() {
	t.each(func(_, b, c uint64, count int64) { t.pair(b, c, count) })
	clear(t.cube[:])
	t.triples = table{}
}

// full reports whether a new tally must replace this one: before its memory passes the
// bound, or a count of the cube overflows.
func (t *tally) full() bool { return t.pairs.used > maxPairs || t.total > 1<<31 }

// statistics returns the counts, ordered by characters. The tally must not be used
// after it.
func (t *tally) statistics() Statistics {
	s := Statistics{Many: t.many}
	char := func(n uint64) int64 { return int64(t.chars[n]) }
	if !t.many {
		t.each(func(a, b, c uint64, count int64) {
			s.Triples = append(s.Triples, TripleCount{char(a), char(b), char(c), count})
		})
		if s.Many = int64(len(s.Triples)) > t.most; s.Many {
			s.Triples = nil
		}
		t.fold()
	}
	counts := t.start
	pair := func(a, b uint64, count int64) {
		if count > 0 {
			counts[b] += count
			s.Pairs = append(s.Pairs, PairCount{char(a), char(b), count})
		}
	}
	for i, count := range t.square {
		pair(uint64(i)>>denseBits, uint64(i)%dense, count)
	}
	for i, k := range t.pairs.keys {
		if k != 0 {
			pair((k-1)>>numberBits, (k-1)&(1<<numberBits-1), t.pairs.counts[i])
		}
	}
	for n, count := range counts {
		if count > 0 {
			s.Chars = append(s.Chars, CharCount{char(uint64(n)), count})
		}
	}
	slices.SortFunc(s.Chars, compareChars)
	slices.SortFunc(s.Pairs, comparePairs)
	slices.SortFunc(s.Triples, compareTriples)
	return s
}

func compareChars(a, b CharCount) int { return cmp.Compare(a.Char, b.Char) }

func comparePairs(a, b PairCount) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second))
}

func compareTriples(a, b TripleCount) int {
	return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Second, b.Second), cmp.Compare(a.Third, b.Third))
}

// A table is a hash table from numbers to counts, with open addressing.
type table struct {
	keys   []uint64 // number+1; 0 = empty
	counts []int64
	used   int
}

// add adds to the count of a key.
func (t *table) add(key uint64, count int64) {
	if 2*t.used >= len(t.keys) {
		t.grow()
	}
	mask := len(t.keys) - 1
	for i := int((key*0x9e3779b97f4a7c15)>>32) & mask; ; i = (i + 1) & mask {
		switch t.keys[i] {
		case key + 1:
			t.counts[i] += count
			return
		case 0:
			t.keys[i], t.counts[i] = key+1, count
			t.used++
			return
		}
	}
}

func (t *table) grow() {
	old := *t
	size := max(1<<12, 2*len(old.keys))
	*t = table{keys: make([]uint64, size), counts: make([]int64, size)}
	for i, k := range old.keys {
		if k != 0 {
			t.add(k-1, old.counts[i])
		}
	}
}
