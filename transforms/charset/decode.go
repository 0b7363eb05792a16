package charset

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/transform"
)

// Invalid counts byte sequences that are no text and locates the first.
type Invalid struct {
	Count  int64 `json:"count"`
	Offset int64 `json:"offset"` // of the first, in the bytes read
	Byte   byte  `json:"byte"`   // its first byte
}

const (
	replacement = "\uFFFD" // of every decoder of x/text, for bytes that it cannot decode
	undefined   = 0xFF     // ours
)

// strict is a decoder that finds the bytes that another one silently replaces.
type strict struct {
	dec     transform.Transformer
	once    bool   // dec remembers what it has decoded: there is no second try
	genuine string // the bytes that do mean U+FFFD; empty: there are none
	at      int64  // bytes decoded
	invalid Invalid
}

// newStrict returns a decoder of the bytes from offset at on.
func newStrict(name string, e encoding.Encoding, at int64) *strict {
	s := &strict{dec: e.NewDecoder(), once: e == japanese.ISO2022JP, at: at}
	if strings.HasPrefix(name, "utf-16") || e == simplifiedchinese.GB18030 {
		s.genuine, _ = e.NewEncoder().String(replacement)
	}
	return s
}

// Reset does nothing: a decoder is for one document.
func (s *strict) Reset() {}

// Transform decodes src to dst.
func (s *strict) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	if s.once {
		return s.steps(dst, src, atEOF)
	}
	nDst, nSrc, err = s.dec.Transform(dst, src, atEOF)
	if bytes.Contains(dst[:nDst], []byte(replacement)) {
		return s.steps(dst, src, atEOF)
	}
	s.at += int64(nSrc)
	return nDst, nSrc, err
}

// steps decodes character by character: a character that is written alone is known to
// come from the bytes that were read for it.
func (s *strict) steps(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for {
		room := dst[nDst:]
		if len(room) < 4 {
			return nDst, nSrc, transform.ErrShortDst
		}
		n, read, err := s.dec.Transform(room[:3], src[nSrc:], atEOF)
		if n == 0 && read == 0 && err == transform.ErrShortDst {
			n, read, err = s.dec.Transform(room[:4], src[nSrc:], atEOF)
		}
		if from := src[nSrc : nSrc+read]; string(room[:n]) == replacement && string(from) != s.genuine {
			if s.invalid.Count == 0 {
				s.invalid.Offset, s.invalid.Byte = s.at, from[0]
			}
			s.invalid.Count++
			room[0], n = undefined, 1
		}
		nDst, nSrc, s.at = nDst+n, nSrc+read, s.at+int64(read)
		if err != transform.ErrShortDst || n+read == 0 {
			return nDst, nSrc, err
		}
	}
}

// lines is a Transformer that makes CR LF and CR alone LF.
type lines struct{ transform.NopResetter }

// Transform copies src to dst.
func (lines) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if nDst == len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		rest := src[nSrc:min(len(src), nSrc+len(dst)-nDst)]
		n := bytes.IndexByte(rest, '\r')
		if n < 0 {
			n = len(rest)
		}
		copy(dst[nDst:], rest[:n])
		nDst, nSrc = nDst+n, nSrc+n
		if n == len(rest) {
			continue
		}
		end := nSrc + 1
		if end == len(src) && !atEOF {
			return nDst, nSrc, transform.ErrShortSrc // LF may follow
		}
		if end < len(src) && src[end] == '\n' {
			end++
		}
		dst[nDst] = '\n'
		nDst, nSrc = nDst+1, end
	}
	return nDst, nSrc, nil
}
