// Package charset turns the bytes of a document into text: UTF-8, without a byte
// order mark.
//
// A name of an encoding is one of the WHATWG (utf-16, windows-1252, shift_jis,
// gb18030, …) or of IANA (IBM850, …), in any case. Of names that both know, the
// WHATWG's meaning holds: iso-8859-1 is windows-1252. With utf-16, utf-16le and
// utf-16be a byte order mark decides; without one, utf-16 is little-endian.
//
// Bytes that an encoding does not define become the byte 0xFF, which no UTF-8 has. The
// package that counts the invalid bytes of UTF-8 decides what becomes of them.
//
// A Scanner looks at bytes and finds signs of their encoding.
package charset

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// UTF8 is the name of the encoding that text has by default.
const UTF8 = "utf-8"

// Newlines.
const (
	Keep = "keep" // line ends stay
	LF   = "lf"   // CR LF, and CR alone, become LF
)

// A Form says what the bytes of a document are and what its text is.
type Form struct {
	Encoding string // its name; empty: UTF8
	Newlines string // Keep (also if empty) or LF
}

// Plain reports whether the text is the document's bytes, but for a byte order mark.
func (f Form) Plain() bool {
	return (f.Encoding == "" || strings.EqualFold(f.Encoding, UTF8)) && (f.Newlines == "" || f.Newlines == Keep)
}

// Byte order marks.
const (
	mark8    = "\xef\xbb\xbf"
	mark16le = "\xff\xfe"
	mark16be = "\xfe\xff"
	mark32le = "\xff\xfe\x00\x00"
	mark32be = "\x00\x00\xfe\xff"
)

// A Reader reads text. It is for one goroutine at a time.
type Reader struct {
	text   io.Reader
	strict *strict // nil: the bytes are UTF-8
}

// NewReader returns a Reader of the text of r's bytes. Its memory is some 10 KB. An
// unknown name of an encoding is an error.
func NewReader(r io.Reader, f Form) (*Reader, error) {
	name := strings.ToLower(strings.TrimSpace(f.Encoding))
	if name == "" {
		name = UTF8
	}
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	b := bufio.NewReader(r)
	head, err := b.Peek(len(mark8))
	if err != nil && err != io.EOF {
		return nil, err
	}
	skip, out := 0, &Reader{text: b}
	switch {
	case bytes.HasPrefix(head, []byte(mark8)):
		skip, e = len(mark8), encoding.Nop
	case strings.HasPrefix(name, "utf-16") && bytes.HasPrefix(head, []byte(mark16le)):
		skip, e = len(mark16le), unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case strings.HasPrefix(name, "utf-16") && bytes.HasPrefix(head, []byte(mark16be)):
		skip, e = len(mark16be), unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	if _, err := b.Discard(skip); err != nil {
		return nil, err
	}
	if e != encoding.Nop {
		out.strict = newStrict(name, e, int64(skip))
		out.text = transform.NewReader(b, out.strict)
	}
	if f.Newlines == LF {
		out.text = transform.NewReader(out.text, lines{})
	}
	return out, nil
}

// Read reads the next bytes of the text.
func (r *Reader) Read(p []byte) (int, error) { return r.text.Read(p) }

// Undefined returns the sequences of bytes, so far, that the encoding does not define.
// Where the encoding is UTF-8, there are none: a Scanner of the text finds them.
func (r *Reader) Undefined() Invalid {
	if r.strict == nil {
		return Invalid{}
	}
	return r.strict.invalid
}

// find returns the encoding of a name. UTF-8 is encoding.Nop.
func find(name string) (encoding.Encoding, error) {
	e, err := htmlindex.Get(name)
	if err != nil {
		e, err = ianaindex.IANA.Encoding(name)
	}
	switch {
	case err != nil || e == nil || e == encoding.Replacement:
		return nil, fmt.Errorf("charset: %q is no known encoding", name)
	case e == unicode.UTF8:
		return encoding.Nop, nil
	}
	return e, nil
}
