package corpus

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// NFC normalises a text like documents of the form NFC: to Unicode's Normalization Form
// C, whatever the number of marks on a character. Package norm inserts a joiner behind
// 30 of them (Stream-Safe Text); texts in which it does are normalised without it.
func NFC(text []byte) []byte { return appendNFC(nil, text) }

// appendNFC appends text, normalised, to dst. An invalid byte becomes U+FFFD.
func appendNFC(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return concat(dst, text)
	}
	valid := make([]byte, 0, len(text)+len(text)/2)
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		valid = utf8.AppendRune(valid, c)
		text = text[size:]
	}
	return concat(dst, valid)
}

// concat appends valid text, normalised, to dst. (norm's Append would let the two
// combine. They do not: text starts a segment, or a document.)
func concat(dst, text []byte) []byte {
	n := norm.NFC.QuickSpan(text)
	dst = append(dst, text[:n]...)
	if n == len(text) {
		return dst
	}
	rest, joiner := text[n:], []byte(norm.GraphemeJoiner)
	made := norm.NFC.Bytes(rest)
	if bytes.Count(made, joiner) == bytes.Count(rest, joiner) {
		return append(dst, made...)
	}
	return compose(dst, rest) // norm has inserted a joiner
}

// A mark is a character of a decomposition, with its canonical combining class.
type mark struct {
	char  rune
	class uint8
}

// compose appends valid text, normalised, to dst: the algorithm of Unicode Standard
// Annex 15, with the tables of package norm. (Korean syllables, of which the tables have
// no decomposition, stay whole: composed, they are the same.) It is slow.
func compose(dst, text []byte) []byte {
	var run []mark // a starter, which combines with what follows, and marks in order
	for len(text) > 0 {
		if norm.NFC.Properties(text).BoundaryBefore() {
			dst, run = appendComposed(dst, run), run[:0]
		}
		p := norm.NFD.Properties(text)
		from := text[:p.Size()]
		if d := p.Decomposition(); d != nil {
			from = d
		}
		for len(from) > 0 {
			c, size := utf8.DecodeRune(from)
			run = append(run, mark{c, norm.NFD.Properties(from).CCC()})
			from = from[size:]
		}
		text = text[p.Size():]
	}
	return appendComposed(dst, run)
}

// appendComposed orders the marks of a segment, composes and appends it.
func appendComposed(dst []byte, run []mark) []byte {
	for from := 0; from < len(run); {
		to := from + 1
		if run[from].class > 0 {
			for to < len(run) && run[to].class > 0 {
				to++
			}
			slices.SortStableFunc(run[from:to], func(a, b mark) int { return int(a.class) - int(b.class) })
		}
		from = to
	}
	starter, n := -1, 0 // n: characters kept, at the front of run
	for _, m := range run {
		if starter >= 0 && (n == starter+1 || run[n-1].class < m.class) {
			if c, ok := composite(run[starter].char, m.char); ok {
				run[starter].char = c
				continue
			}
		}
		if m.class == 0 {
			starter = n
		}
		run[n] = m
		n++
	}
	for _, m := range run[:n] {
		dst = utf8.AppendRune(dst, m.char)
	}
	return dst
}

// composite returns the character that two compose to.
func composite(a, b rune) (rune, bool) {
	pair := norm.NFC.Bytes(utf8.AppendRune(utf8.AppendRune(nil, a), b))
	c, size := utf8.DecodeRune(pair)
	return c, size == len(pair)
}

// Boundary returns the length of the longest beginning of text that is normalised without
// what follows; 0: there is none. More text may follow text.
func Boundary(text []byte) int {
	for at := len(text) - 1; at > 0; at-- {
		if !utf8.RuneStart(text[at]) || !utf8.FullRune(text[at:]) {
			continue
		}
		if text[at] < utf8.RuneSelf || norm.NFC.Properties(text[at:]).BoundaryBefore() {
			return at
		}
	}
	return 0
}
