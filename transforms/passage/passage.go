// Package passage finds what two texts have in common, where only one of them is at
// hand: of the other, a sample of its passages is.
//
// A passage is Length consecutive characters of a text, spaces and accents left out
// and capitals made small. So the same text in another normalisation, with other line
// ends or in another layout has the same passages. A Sketch of a text is its passages
// with the smallest hashes: a sample that depends on the text alone. A passage that two
// texts share is in both sketches, unless its hash is above the Limit of one.
package passage

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Length is the number of characters of a passage. Two texts of one language, such as
// two novels, have few passages of this length in common that are not quotations.
const Length = 32

// base is the base of the rolling hash, and power its power of Length.
const base uint64 = 0x9E3779B97F4A7C15

var power = func() uint64 {
	p := uint64(1)
	for range Length {
		p *= base
	}
	return p
}()

// A Reader finds the passages of a text that it is given piece by piece. It is for one
// goroutine at a time.
type Reader struct {
	visit func(hash uint64)
	last  [Length]uint64 // values of the last characters, the oldest at n
	n     int            // of the next character, modulo Length
	chars int            // since Begin, at most Length
	sum   uint64
	rest  []byte // the beginning of a character
	known map[rune][]uint64
}

// NewReader returns a reader that calls visit with the hash of each passage.
func NewReader(visit func(hash uint64)) *Reader {
	return &Reader{visit: visit, known: map[rune][]uint64{}}
}

// Begin begins another text: no passage crosses two.
func (r *Reader) Begin() { r.sum, r.chars, r.rest = 0, 0, r.rest[:0] }

// Add appends a piece to the text. A piece may end inside a character. A byte that is
// not UTF-8 is a character.
func (r *Reader) Add(piece []byte) {
	if len(r.rest) > 0 {
		piece = append(r.rest, piece...)
		r.rest = nil
	}
	for len(piece) > 0 {
		if c := piece[0]; c < utf8.RuneSelf {
			if v := ascii[c]; v != 0 {
				r.add(v)
			}
			piece = piece[1:]
			continue
		}
		if !utf8.FullRune(piece) {
			r.rest = append([]byte(nil), piece...)
			return
		}
		c, size := utf8.DecodeRune(piece)
		if c == utf8.RuneError && size == 1 {
			c = utf8.MaxRune + 1 + rune(piece[0])
		}
		piece = piece[size:]
		values, ok := r.known[c]
		if !ok {
			values = valuesOf(c)
			r.known[c] = values
		}
		for _, v := range values {
			r.add(v)
		}
	}
}

func (r *Reader) add(v uint64) {
	r.sum = r.sum*base + v
	if r.chars < Length {
		r.chars++
	} else {
		r.sum -= r.last[r.n] * power
	}
	r.last[r.n] = v
	if r.n++; r.n == Length {
		r.n = 0
	}
	if r.chars == Length {
		r.visit(mixed(r.sum))
	}
}

// ascii are the values of the characters below 128, 0 for those that are left out.
var ascii = func() (values [utf8.RuneSelf]uint64) {
	for c := range values {
		for _, v := range valuesOf(rune(c)) {
			values[c] = v
		}
	}
	return values
}()

// valuesOf returns what a character counts for in a passage: the values of its letters
// without accents and capitals, none for a space.
func valuesOf(c rune) (values []uint64) {
	if c > utf8.MaxRune {
		return []uint64{mixed(uint64(c))}
	}
	for _, d := range norm.NFD.String(string(c)) {
		if !unicode.IsSpace(d) && !unicode.IsControl(d) && !unicode.Is(unicode.Mn, d) {
			values = append(values, mixed(uint64(unicode.ToLower(d))))
		}
	}
	return values
}

// mixed spreads x over 64 bits (the finalizer of SplitMix64); only 0 gives 0.
func mixed(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
