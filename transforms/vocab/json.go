package vocab

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

const format = "quire-vocab/1"

// MarshalJSON returns the JSON form. encoding/json puts it into other values as
// it is: nothing in it would be escaped or removed.
func (v *Vocab) MarshalJSON() ([]byte, error) {
	if v.Size() == 0 {
		return nil, fmt.Errorf("vocab: an empty vocabulary has no JSON form")
	}
	return fmt.Appendf(v.content(), `,"digest":"%s"}`, v.digest), nil
}

// content returns the JSON form up to what the digest covers.
func (v *Vocab) content() []byte {
	dst := fmt.Appendf(nil, `{"format":"%s","unit":"%s","chars":[`, format, v.unit)
	if v.unknown {
		dst = append(dst, `"`+Unknown+`"`...)
	}
	for i, c := range v.chars {
		if i > 0 || v.unknown {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, c)
	}
	dst = append(dst, `],"counts":[`...)
	for i, n := range v.counts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, n, 10)
	}
	return append(dst, ']')
}

// appendQuoted adds c as a JSON string. It escapes what JSON and encoding/json
// do, each in one way; the latter has changed its ways between versions.
func appendQuoted(dst []byte, c rune) []byte {
	dst = append(dst, '"')
	switch {
	case c == '\n':
		dst = append(dst, `\n`...)
	case c == '"' || c == '\\':
		dst = append(dst, '\\', byte(c))
	case c < ' ' || c == '<' || c == '>' || c == '&' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029':
		dst = fmt.Appendf(dst, `\u%04x`, c)
	default:
		dst = utf8.AppendRune(dst, c)
	}
	return append(dst, '"')
}

func sum(data []byte) string {
	d := sha256.Sum256(data)
	return hex.EncodeToString(d[:])
}

// file is the JSON form, as it is read.
type file struct {
	Format string   `json:"format"`
	Unit   Unit     `json:"unit"`
	Chars  []string `json:"chars"`
	Counts []int64  `json:"counts"`
	Digest string   `json:"digest"`
}

// UnmarshalJSON sets v from its JSON form. Anything but the bytes that
// MarshalJSON returns is an error, which names the byte or what was expected
// and found; v is then unchanged.
func (v *Vocab) UnmarshalJSON(data []byte) error {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("vocab: %w", located(err))
	}
	got, err := f.vocab()
	if err != nil {
		return fmt.Errorf("vocab: %w", err)
	}
	want, err := got.MarshalJSON()
	if err != nil {
		return err
	}
	if !bytes.Equal(data, want) {
		at := 0
		for at < min(len(data), len(want)) && data[at] == want[at] {
			at++
		}
		return fmt.Errorf("vocab: byte %d of %d is not as it was written", at, len(data))
	}
	*v = *got
	return nil
}

// located adds the byte to an error of encoding/json.
func located(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", max(0, syntax.Offset-1), err)
	case errors.As(err, &kind):
		return fmt.Errorf("byte %d: %w", max(0, kind.Offset-1), err)
	}
	return err
}

// vocab returns the vocabulary that f states.
func (f *file) vocab() (*Vocab, error) {
	if f.Format != format {
		return nil, fmt.Errorf("format is %q, want %q", f.Format, format)
	}
	if len(f.Chars) != len(f.Counts) {
		return nil, fmt.Errorf("%d characters, but %d counts", len(f.Chars), len(f.Counts))
	}
	v := &Vocab{unit: f.Unit, counts: f.Counts}
	for i, s := range f.Chars {
		c, size := utf8.DecodeRuneInString(s)
		switch {
		case f.Counts[i] < 1:
			return nil, fmt.Errorf("id %d is counted %d times", i, f.Counts[i])
		case i == 0 && s == Unknown:
			v.unknown = true
			continue
		case s == "" || size != len(s):
			return nil, fmt.Errorf("id %d is %q, not one character", i, s)
		}
		v.chars = append(v.chars, c)
	}
	if err := v.check(); err != nil {
		return nil, err
	}
	v.digest = sum(v.content())
	if v.digest != f.Digest {
		return nil, fmt.Errorf("sha256 of the content is %s, digest says %s", v.digest, f.Digest)
	}
	return v, nil
}
