package corpus

import (
	"context"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A segment starts with a character that combines with no character before it.
// Normalisation never looks across such a start. A normalised range owns the segments
// that start in it, like another range its characters.

const (
	segmentBytes = 256     // first read, to find the starts of segments
	maxSegment   = 1 << 20 // longest segment
)

// normalized is Text for the form NFC.
func (r *Reader) normalized(ctx context.Context, rng Range, ahead int64) (Text, error) {
	for back, more := int64(segmentBytes), 4*ahead+segmentBytes; ; {
		lo, hi := max(0, rng.Offset-back), min(rng.Document.Bytes, rng.End()+more)
		data, err := r.read(ctx, rng.Document, lo, hi-lo)
		if err != nil {
			return Text{}, err
		}
		w := view{data: data, start: lo == 0, end: hi == rng.Document.Bytes}
		t, before, after := w.text(int(rng.Offset-lo), int(rng.End()-lo), ahead, r.norm)
		if before && after {
			r.norm = t.Bytes
			t.Offset = lo
			t.CRC = checksum(data[rng.Offset-lo : rng.End()-lo])
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
			return Text{}, fmt.Errorf("corpus: %s: byte %d: more than %d bytes that combine with one character; "+
				"correct the text, or do not normalize it", rng.Document.Name, rng.Offset, maxSegment)
		}
	}
}

// A view is a stretch of a document's bytes.
type view struct {
	data       []byte
	start, end bool // the document starts, or ends, with the view
}

// text returns the normalised text of the range data[first:last], in buf where that is
// long enough. before is false where the view lacks the two characters before the
// range. after is false where it lacks the end of the last segment, or ahead
// characters behind it.
func (w view) text(first, last int, ahead int64, buf []byte) (t Text, before, after bool) {
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

// segment returns the first index from at on where a segment starts, or where the
// document starts or ends. A character starts at at. ok is false where the view has
// no such index.
func (w view) segment(at int) (index int, ok bool) {
	if w.start && at == 0 {
		return 0, true
	}
	for at < len(w.data) {
		if !w.end && !utf8.FullRune(w.data[at:]) {
			return at, false
		}
		if w.starts(at) {
			return at, true
		}
		_, size := utf8.DecodeRune(w.data[at:])
		at += size
	}
	return at, w.end
}

// starts reports whether a segment starts with the character at an index.
func (w view) starts(at int) bool {
	return w.data[at] < utf8.RuneSelf || norm.NFC.Properties(w.data[at:]).BoundaryBefore()
}

// lastSegment returns the last index from at on where a segment starts.
func (w view) lastSegment(at int) int {
	for p := max(at, len(w.data)-utf8.UTFMax); p > at; p-- {
		if !utf8.RuneStart(w.data[p]) {
			continue
		}
		if p = boundary(w.data, p); p <= at || p >= len(w.data) || !utf8.FullRune(w.data[p:]) {
			continue
		}
		if w.starts(p) {
			return p
		}
	}
	return at
}

// invalid counts the invalid bytes of data[from:to]. The result's Offset is the index
// in data of the first.
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
