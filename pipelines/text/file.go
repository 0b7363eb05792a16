package text

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A Reader reads a text as the documents of a corpus are read: decoded, without a byte
// order mark, and with the line ends of the corpus. In text that is UTF-8, invalid bytes
// stay. It is for one goroutine at a time.
type Reader struct {
	*charset.Reader
	encoding string
	scan     charset.Scanner // of the bytes as they are
}

// NewReader returns a Reader of the text that r has, in the form that c describes.
func NewReader(r io.Reader, c configs.Corpus) (*Reader, error) {
	t := &Reader{encoding: c.Encoding}
	var err error
	t.Reader, err = charset.NewReader(io.TeeReader(r, &t.scan), charset.Form{Encoding: c.Encoding, Newlines: c.Newlines})
	return t, err
}

// Defined returns an error where the encoding does not define some of the bytes read.
func (r *Reader) Defined() error {
	if bad := r.Undefined(); bad.Count > 0 {
		return fmt.Errorf("text: byte %d (0x%02x) is not valid %s, the first of %d", bad.Offset, bad.Byte, r.encoding, bad.Count)
	}
	return nil
}

// A FormError is about a text that is in another form than the one it was read in.
type FormError struct {
	Likely string // an encoding that it may be in; empty: there is no evidence
	reason string
	cause  error
}

// Error says what the text is.
func (e *FormError) Error() string { return "text: " + e.reason }

// Unwrap returns the *vocab.CharError.
func (e *FormError) Unwrap() error { return e.cause }

// Explain returns a *FormError in place of a *vocab.CharError that reading in the wrong
// form explains, and any other error as it is. Nothing is read after it. It is for models of
// runes: bytes may be in any form.
func (r *Reader) Explain(err error) error {
	var lacks *vocab.CharError
	if !errors.As(err, &lacks) || r.encoding != "" && !strings.EqualFold(r.encoding, charset.UTF8) {
		return err
	}
	switch s := r.scan.Signs(); {
	case s.UTF16 != "":
		return &FormError{s.UTF16, "it is UTF-16, and was read as UTF-8", err}
	case s.Other != "":
		return &FormError{"", fmt.Sprintf("it is %s, no text in UTF-8; unpack or convert it first", s.Other), err}
	case s.Likely != "":
		return &FormError{s.Likely, fmt.Sprintf("byte %d (0x%02x) is not valid UTF-8; it is likely %s", s.Invalid.Offset, s.Invalid.Byte, s.Likely), err}
	}
	return err
}

// readBytes is the size of the longest text that Read returns. (Tests lower it.)
var readBytes int64 = 256 << 20

// Read reads a text for a model by a Reader. Bytes that the encoding does not define are
// an error, and so is a text of more than 256 MiB, which is not read to its end.
func Read(r io.Reader, c configs.Corpus) ([]byte, error) {
	t, err := NewReader(r, c)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(t, readBytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > readBytes {
		return nil, fmt.Errorf("text: more than %d bytes, which is the limit of a text that is read at once", readBytes)
	}
	if err := t.Defined(); err != nil {
		return nil, err
	}
	return data, nil
}
