package corpus

import (
	"context"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalisation never looks across the start of a segment: a character that does
// not combine with any before it. Segments so are to normalised blocks what
// characters are to others: a block owns those that start in its range.

const (
	segmentBytes = 256     // read at first, to find where segments start
	maxSegment   = 1 << 20 // longest segment
)

// normalized is Block for text that is normalised to NFC.
func (r *Reader) normalized(ctx context.Context, b Block, ahead int64) (Text, error) {
	for back, more := int64(segmentBytes), 4*ahead+segmentBytes; ; {
		lo, hi := max(0, b.Offset-back), min(b.Document.Bytes, b.End()+more)
		data, err := r.read(ctx, b.Document, lo, hi-lo)
		if err != nil {
			return Text{}, err
		}
		w := window{data: data, start: lo == 0, end: hi == b.Document.Bytes}
		t, before, after := w.text(int(b.Offset-lo), int(b.End()-lo), ahead, r.norm)
		if before && after {
			r.norm = t.Bytes
			t.Offset = lo
			t.CRC = checksum(data[b.Offset-lo : b.End()-lo])
			t.Invalid.Offset += lo
			return t, nil
		}
		if !before {
			back *= 2
		}
		if !after {
			more *= 2
		}
		if back > 2*maxSegment || more > 8*ahead+2*maxSegment {
			return Text{}, fmt.Errorf("corpus: %s: byte %d: more than %d bytes that combine with one character; correct the text, or do not normalize it", b.Document.Name, b.Offset, maxSegment)
		}
	}
}

// A window is a piece of a document.
type window struct {
	data       []byte
	start, end bool // the document starts, ends with it
}

// text returns the normalised text of the block data[first:last], in buf if it is
// long enough. before and after are false where the window lacks the two
// characters before it, or what completes it and ahead characters more.
func (w window) text(first, last int, ahead int64, buf []byte) (t Text, before, after bool) {
	from, to := boundary(w.data, first), boundary(w.data, last)
	first, ok := w.segment(from)
	last, ok2 := w.segment(to)
	end := len(w.data)
	if !w.end {
		end = w.lastSegment(last)
	}
	if !ok || !ok2 {
		return t, true, false
	}
	context := 0
	if !w.start {
		context, _ = w.segment(boundary(w.data, lookAhead))
		if context > first {
			return t, false, true
		}
	}
	t.Bytes = appendNFC(buf[:0], w.data[context:first])
	t.First = len(t.Bytes)
	t.Bytes = appendNFC(t.Bytes, w.data[first:last])
	t.Last = len(t.Bytes)
	t.Bytes = appendNFC(t.Bytes, w.data[last:end])
	before = w.start || utf8.RuneCount(t.Bytes[:t.First]) >= 2
	after = w.end || int64(utf8.RuneCount(t.Bytes[t.Last:])) >= ahead
	t.Invalid = invalid(w.data, from, to)
	return t, before, after
}

// segment returns the first index from at, where a character starts, on where a
// segment or the document starts, or where it ends. ok is false where the window ends
// before.
func (w window) segment(at int) (index int, ok bool) {
	if w.start && at == 0 {
		return 0, true
	}
	for at < len(w.data) {
		if w.data[at] < utf8.RuneSelf {
			return at, true
		}
		if !w.end && !utf8.FullRune(w.data[at:]) {
			return at, false
		}
		if norm.NFC.Properties(w.data[at:]).BoundaryBefore() {
			return at, true
		}
		_, size := utf8.DecodeRune(w.data[at:])
		at += size
	}
	return at, w.end
}

// lastSegment returns the last index where a segment starts, after one at at.
func (w window) lastSegment(at int) int {
	for p := max(at, len(w.data)-utf8.UTFMax); p > at; p-- {
		if !utf8.RuneStart(w.data[p]) {
			continue
		}
		if p = boundary(w.data, p); p <= at || p >= len(w.data) || !utf8.FullRune(w.data[p:]) {
			continue
		}
		if w.data[p] < utf8.RuneSelf || norm.NFC.Properties(w.data[p:]).BoundaryBefore() {
			return p
		}
	}
	return at
}

// NFC returns a text as the characters of a form that is NFC are.
func NFC(text []byte) []byte { return appendNFC(nil, text) }

// appendNFC adds text, normalised, to dst. An invalid byte becomes U+FFFD.
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

// concat adds text, normalised, to dst. (norm's Append would let the two combine,
// which they do not: text starts a segment, or a document.)
func concat(dst, text []byte) []byte {
	n := norm.NFC.QuickSpan(text)
	dst = append(dst, text[:n]...)
	if n < len(text) {
		dst = append(dst, norm.NFC.Bytes(text[n:])...)
	}
	return dst
}

// invalid counts the invalid bytes of data[from:to], and says where in data the
// first is.
func invalid(data []byte, from, to int) (v Invalid) {
	if utf8.Valid(data[from:to]) {
		return v
	}
	for i := from; i < to; {
		c, size := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && size == 1 {
			if v.Count == 0 {
				v.Offset, v.Byte = int64(i), int64(data[i])
			}
			v.Count++
		}
		i += size
	}
	return v
}
