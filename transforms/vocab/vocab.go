// Package vocab gives the characters of a corpus their ids.
//
// A character is a Unicode code point, or a byte, as the Unit says. Ids are
// 0…V-1 in the order of the characters' values. Where rare characters were
// dropped, id 0 is [UNK], which stands for every character that has no id of its
// own, and the rest follow from 1.
//
// The JSON form is one line, the same bytes for the same vocabulary:
//
//	{"format":"quire-vocab/1","unit":"rune","chars":["\n"," ","A"],"counts":[3,9,2],"digest":"…"}
//
// chars are in id order; in a vocabulary of bytes, byte b is the character
// U+00b. counts say how often each occurs in the corpus, the first, where it is
// [UNK], how often all the characters dropped do. digest is the sha256 of the
// bytes before ,"digest". Only these bytes are accepted again.
package vocab

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// A Unit says what a character is.
type Unit string

const (
	Rune Unit = "rune" // a Unicode code point
	Byte Unit = "byte" // a byte; its value as a rune stands for it
)

// Name names a character: character 'x' (U+0078), or byte 0x78.
func (u Unit) Name(c rune) string {
	if u == Byte {
		return fmt.Sprintf("byte 0x%02x", c)
	}
	return fmt.Sprintf("character %q (%U)", c, c)
}

// Plural is the word for several: characters, or bytes.
func (u Unit) Plural() string {
	if u == Byte {
		return "bytes"
	}
	return "characters"
}

// Unknown is the text of [UNK].
const Unknown = "[UNK]"

// A Vocab is a set of characters and their ids. It is immutable, apart from
// UnmarshalJSON, and safe for concurrent use.
type Vocab struct {
	unit    Unit
	unknown bool    // id 0 is [UNK]
	chars   []rune  // ascending, without [UNK]
	counts  []int64 // (V), by id
	digest  string
}

// New returns the vocabulary of a corpus in which characters occur as often as
// counts says. Those that occur less than minCount times have no id: if there
// are any, the vocabulary has [UNK].
func New(unit Unit, counts map[rune]int64, minCount int64) (*Vocab, error) {
	v := &Vocab{unit: unit}
	dropped := int64(0)
	for _, c := range slices.Sorted(maps.Keys(counts)) {
		switch n := counts[c]; {
		case n < 1:
			return nil, fmt.Errorf("vocab: %s is counted %d times", unit.Name(c), n)
		case n < minCount:
			v.unknown = true
			dropped += n
		default:
			v.chars = append(v.chars, c)
			v.counts = append(v.counts, n)
		}
	}
	if v.unknown {
		v.counts = slices.Insert(v.counts, 0, dropped)
	}
	if len(v.chars) == 0 && v.unknown {
		return nil, fmt.Errorf("vocab: none of %d characters occurs min_count = %d times; use a smaller min_count or more text",
			len(counts), minCount)
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("vocab: %w", err)
	}
	v.digest = sum(v.content())
	return v, nil
}

// check returns an error where v is no vocabulary.
func (v *Vocab) check() error {
	last := rune(utf8.MaxRune)
	switch v.unit {
	case Rune:
	case Byte:
		last = math.MaxUint8
	default:
		return fmt.Errorf("unit is %q; use %s or %s", v.unit, Rune, Byte)
	}
	if len(v.chars) == 0 {
		return fmt.Errorf("there are no characters")
	}
	for i, c := range v.chars {
		switch {
		case !utf8.ValidRune(c) || c > last:
			return fmt.Errorf("%U is no character of unit %s", c, v.unit)
		case i > 0 && v.chars[i-1] >= c:
			return fmt.Errorf("%s comes after %s: not in order", v.unit.Name(c), v.unit.Name(v.chars[i-1]))
		}
	}
	return nil
}

// Size returns V, the number of ids.
func (v *Vocab) Size() int { return len(v.counts) }

// Unit says what a character is.
func (v *Vocab) Unit() Unit { return v.unit }

// HasUnknown reports whether id 0 is [UNK].
func (v *Vocab) HasUnknown() bool { return v.unknown }

// Digest returns the sha256 (hex) that the JSON form states.
func (v *Vocab) Digest() string { return v.digest }

// Count returns how often the character of an id occurs in the corpus; of [UNK],
// how often those that it stands for do. It panics if id is not in 0…V-1.
func (v *Vocab) Count(id int32) int64 { return v.counts[id] }

// Same reports whether v and w give the same characters the same ids. They may
// differ in how often the characters occur, and so in the digest.
func (v *Vocab) Same(w *Vocab) bool {
	return v.unit == w.unit && v.unknown == w.unknown && slices.Equal(v.chars, w.chars)
}

// ID returns the id of a character, or the id of [UNK] for a character without one. ok
// is false where v has neither.
func (v *Vocab) ID(c rune) (id int32, ok bool) {
	i, found := slices.BinarySearch(v.chars, c)
	switch {
	case found && v.unknown:
		return int32(i) + 1, true
	case found:
		return int32(i), true
	}
	return 0, v.unknown
}

// AppendText adds the character of an id, or [UNK], to dst. It panics if id is
// not in 0…V-1.
func (v *Vocab) AppendText(dst []byte, id int32) []byte {
	if v.unknown {
		if id == 0 {
			return append(dst, Unknown...)
		}
		id--
	}
	return v.appendChar(dst, v.chars[id])
}

func (v *Vocab) appendChar(dst []byte, c rune) []byte {
	if v.unit == Byte {
		return append(dst, byte(c))
	}
	return utf8.AppendRune(dst, c)
}

// A CharError reports a character that a vocabulary lacks.
type CharError struct {
	Char  rune // the character, or the byte; U+FFFD for an invalid byte
	Index int  // characters before it
	Byte  int  // bytes before it

	unit    Unit
	invalid bool // it is a byte that is not UTF-8
	size    int  // of the vocabulary
}

// Error names the character, its position and a remedy.
func (e *CharError) Error() string {
	if e.invalid {
		return fmt.Sprintf("vocab: byte %d of the text is not valid UTF-8; correct the text", e.Byte)
	}
	return fmt.Sprintf("vocab: %s is not one of the %d %s that the model knows; "+
		"use others, or train on text that has it or with a min_count of 2 or more, which adds [UNK]",
		e.Place(), e.size, e.unit.Plural())
}

// Place names the character and its position.
func (e *CharError) Place() string {
	switch {
	case e.invalid:
		return fmt.Sprintf("byte %d (not valid UTF-8)", e.Byte)
	case e.unit == Byte:
		return fmt.Sprintf("%s at position %d", e.unit.Name(e.Char), e.Byte)
	}
	return fmt.Sprintf("%s at position %d (byte %d)", e.unit.Name(e.Char), e.Index, e.Byte)
}

// Encode adds the ids of text's characters to dst. An invalid byte counts as
// U+FFFD. A character that the vocabulary lacks is a *CharError.
func (v *Vocab) Encode(dst []int32, text []byte) ([]int32, error) {
	for i, n := 0, 0; i < len(text); n++ {
		c, size := v.decode(text[i:])
		id, ok := v.ID(c)
		if !ok {
			return dst, v.lack(c, size, n, i)
		}
		dst = append(dst, id)
		i += size
	}
	return dst, nil
}

// decode returns the first character of text, and its bytes.
func (v *Vocab) decode(text []byte) (c rune, size int) {
	if v.unit == Byte || text[0] < utf8.RuneSelf {
		return rune(text[0]), 1
	}
	return utf8.DecodeRune(text)
}

// lack returns the error about a character.
func (v *Vocab) lack(c rune, size, index, at int) *CharError {
	invalid := v.unit == Rune && c == utf8.RuneError && size == 1
	return &CharError{Char: c, Index: index, Byte: at, unit: v.unit, invalid: invalid, size: v.Size()}
}

// Split returns text without the characters that v lacks, or has only [UNK] for, and an
// error for each of those, at the first place where text has it. A byte that is no UTF-8
// is U+FFFD in it: it cannot become a part of a character when what follows is gone.
func (v *Vocab) Split(text []byte) (known []byte, lacking []*CharError) {
	seen := map[rune]bool{}
	for i, n := 0, 0; i < len(text); n++ {
		c, size := v.decode(text[i:])
		if _, has := slices.BinarySearch(v.chars, c); has {
			known = v.appendChar(known, c)
		} else if !seen[c] {
			seen[c] = true
			lacking = append(lacking, v.lack(c, size, n, i))
		}
		i += size
	}
	return known, lacking
}
