package text

import "unicode/utf8"

// An Ending finds the end of a text that is written character by character: the text
// ends before the first of some stop strings, which is no part of it. What may be the
// beginning of a stop string is held back until it is known. An Ending is for one
// goroutine at a time.
type Ending struct {
	stops  []stop
	whole  bool
	all    []byte // what was added; without the stop string, once it is found
	given  int    // bytes of all that were given out
	finish Finish
}

// Finish says why a text has ended.
type Finish string

// The ends of a text.
const (
	Whole   Finish = "length" // it has all its characters
	Stopped Finish = "stop"   // before a stop string
)

// stop is a stop string with the table of Knuth, Morris and Pratt: a character costs the
// same however long the strings are.
type stop struct {
	text []byte
	fail []int // fail[n] is the length of the longest proper end of text[:n] that begins text
	at   int   // length of the longest end of what was added that begins text
}

// NewEnding returns an Ending for a text that begins with a prompt, in which no stop string
// is looked for. Empty stop strings count as none. With whole, a character of UTF-8 whose
// bytes come one by one is held back until it is complete.
func NewEnding(prompt []byte, stops []string, whole bool) *Ending {
	e := &Ending{whole: whole, all: append([]byte(nil), prompt...), given: len(prompt)}
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

// Add takes the bytes of the next character. It returns the bytes that are now known to
// belong to the text, and whether the text has ended.
func (e *Ending) Add(char []byte) (ready []byte, ended bool) {
	if e.finish != "" {
		return nil, true
	}
	for _, b := range char {
		e.all = append(e.all, b)
		longest := 0
		for i := range e.stops {
			s := &e.stops[i]
			if s.at = s.next(s.at, b); s.at == len(s.text) {
				longest = max(longest, s.at)
			}
		}
		if longest > 0 {
			e.finish, e.all = Stopped, e.all[:len(e.all)-longest]
			return e.give(len(e.all)), true
		}
	}
	hold := 0
	for _, s := range e.stops {
		hold = max(hold, s.at)
	}
	end := len(e.all) - hold
	if e.whole {
		end -= cut(e.all[e.given:end])
	}
	return e.give(end), false
}

// Rest ends a text that has not ended before a stop string. It returns the bytes that were
// still held back.
func (e *Ending) Rest() []byte {
	if e.finish == "" {
		e.finish = Whole
	}
	return e.give(len(e.all))
}

// give gives out the bytes up to end.
func (e *Ending) give(end int) []byte {
	ready := e.all[e.given:end:end]
	e.given = end
	return ready
}

// Text returns the prompt and all bytes that were given out.
func (e *Ending) Text() []byte { return e.all[:e.given:e.given] }

// Finish returns why the text has ended; empty: it goes on.
func (e *Ending) Finish() Finish { return e.finish }

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
