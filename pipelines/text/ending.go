package text

import "unicode/utf8"

// An Ending finds the end of a text that is written character by character: the text
// ends before the first of some stop strings, which is no part of it. What may be the
// beginning of a stop string is held back until it is known. An Ending is for one
// goroutine at a time.
type Ending struct {
	stops []stop
	whole bool
	held  []byte // not given out yet
	ended bool
}

// stop is a stop string with the table of Knuth, Morris and Pratt: a character costs the
// same however long the strings are.
type stop struct {
	text []byte
	fail []int // fail[n] is the length of the longest proper end of text[:n] that begins text
	at   int   // length of the longest end of what was added that begins text
}

// NewEnding returns an Ending for a text without characters. Empty stop strings count as
// none. With whole, a character of UTF-8 whose bytes come one by one is held back until
// it is complete.
func NewEnding(stops []string, whole bool) *Ending {
	e := &Ending{whole: whole}
	for _, text := range stops {
		if text == "" {
			continue
		}
		s := stop{text: []byte(text), fail: make([]int, len(text)+1)}
		for n := 1; n < len(text); n++ {
			s.fail[n+1] = s.next(s.fail[n], text[n])
		}
		e.stops = append(e.stops, s)
	}
	return e
}

// next returns the length of the longest end that begins the string, after a byte more.
func (s *stop) next(at int, b byte) int {
	for at > 0 && s.text[at] != b {
		at = s.fail[at]
	}
	if s.text[at] == b {
		at++
	}
	return at
}

// Add takes the bytes of the next character. It returns the bytes of the text that are
// now known to belong to it, valid until the next call, and whether the text has ended.
func (e *Ending) Add(char []byte) (ready []byte, ended bool) {
	if e.ended {
		return nil, true
	}
	for _, b := range char {
		e.held = append(e.held, b)
		longest := 0
		for i := range e.stops {
			s := &e.stops[i]
			if s.at = s.next(s.at, b); s.at == len(s.text) {
				longest = max(longest, s.at)
			}
		}
		if longest > 0 {
			e.ended = true
			ready = e.held[:len(e.held)-longest]
			e.held = nil
			return ready, true
		}
	}
	hold := 0
	for _, s := range e.stops {
		hold = max(hold, s.at)
	}
	n := len(e.held) - hold
	if e.whole {
		n -= cut(e.held[:n])
	}
	ready = e.held[:n]
	e.held = append([]byte(nil), e.held[n:]...)
	return ready, false
}

// Rest returns the bytes that are still held back, for a text that ends without a stop
// string.
func (e *Ending) Rest() []byte {
	rest := e.held
	e.held = nil
	return rest
}

// cut returns the number of bytes at the end of b that begin a character of UTF-8 and do
// not complete it.
func cut(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		last := b[len(b)-n:]
		if utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return n
		}
	}
	return 0
}
