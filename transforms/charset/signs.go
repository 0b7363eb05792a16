package charset

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Signs are what the bytes of a document tell of its encoding and of its line ends.
type Signs struct {
	Mark    bool    `json:"mark,omitempty"`   // it starts with the byte order mark of UTF-8
	UTF16   string  `json:"utf16,omitempty"`  // it is UTF-16: the name to read it with
	Other   string  `json:"other,omitempty"`  // it is no text that an encoding reads: UTF-32, or a media type
	Likely  string  `json:"likely,omitempty"` // it is not UTF-8: the likeliest other encoding, where there is evidence
	Invalid Invalid `json:"invalid,omitzero"` // bytes that are not UTF-8
	CR      bool    `json:"cr,omitempty"`     // its lines end in CR alone
}

// sampleBytes is the length of the samples that evidence is sought in.
const sampleBytes = 64 << 10

// A Scanner looks at bytes that are written to it. It is for one goroutine at a time.
// The zero value is ready to use.
type Scanner struct {
	head    []byte // the first bytes
	sample  []byte // the bytes from the first invalid one on
	rest    []byte // the beginning of a character that the last Write has cut
	at      int64  // bytes before rest
	invalid Invalid
	cr, lf  bool
}

// Write looks at the next bytes. Its error is nil.
func (s *Scanner) Write(p []byte) (int, error) {
	s.head = sample(s.head, p)
	s.cr = s.cr || bytes.IndexByte(p, '\r') >= 0
	s.lf = s.lf || bytes.IndexByte(p, '\n') >= 0
	if s.invalid.Count > 0 {
		s.sample = sample(s.sample, p)
	}
	data := p
	if len(s.rest) > 0 {
		clean := s.invalid.Count == 0
		data = append(s.rest, p[:min(len(p), utf8.UTFMax)]...)
		n := s.check(data, false)
		if clean && s.invalid.Count > 0 {
			s.sample = sample(s.sample, p[min(len(p), utf8.UTFMax):])
		}
		if n < len(s.rest) { // p is shorter than the character
			s.rest = data
			return len(p), nil
		}
		data = p[n-len(s.rest):]
		s.rest = s.rest[:0]
	}
	n := s.check(data, false)
	s.rest = append(s.rest, data[n:]...)
	return len(p), nil
}

// sample appends bytes to a sample that is not full.
func sample(to, from []byte) []byte {
	return append(to, from[:min(len(from), sampleBytes-len(to))]...)
}

// check counts the invalid bytes of data, and returns the number of bytes before a
// character that data cuts. At the end, there is no such character.
func (s *Scanner) check(data []byte, end bool) int {
	n := len(data)
	for back := 1; !end && back <= min(utf8.UTFMax-1, len(data)); back++ {
		if utf8.RuneStart(data[len(data)-back]) {
			if !utf8.FullRune(data[len(data)-back:]) {
				n -= back
			}
			break
		}
	}
	if !utf8.Valid(data[:n]) {
		for i := 0; i < n; {
			c, size := utf8.DecodeRune(data[i:n])
			if c == utf8.RuneError && size == 1 {
				if s.invalid.Count == 0 {
					s.invalid.Offset, s.invalid.Byte = s.at+int64(i), data[i]
					s.sample = sample(nil, data[i:])
				}
				s.invalid.Count++
			}
			i += size
		}
	}
	s.at += int64(n)
	return n
}

// Signs returns what the bytes tell, after the last of them.
func (s *Scanner) Signs() Signs {
	s.check(s.rest, true)
	s.rest = nil
	x := Signs{Mark: bytes.HasPrefix(s.head, []byte(mark8)), UTF16: utf16(s.head), Invalid: s.invalid, CR: s.cr && !s.lf}
	switch {
	case isTar(s.head):
		x.Other = "application/x-tar"
	case x.UTF16 != "" || x.Invalid.Count > 0:
		x.Other = other(s.head)
	}
	switch {
	case x.Other != "":
		x.UTF16, x.CR = "", false
	case x.UTF16 != "":
		x.CR = false
	case x.Invalid.Count > 0 && modified(s.sample):
		x.Other = "modified UTF-8"
	case x.Invalid.Count > 0 && !damaged(s.head, s.sample):
		x.Likely = likely(s.sample)
	}
	return x
}

// modified reports whether a sample is the UTF-8 of Java and of some databases: NUL is C0 80, and
// characters above U+FFFF are two surrogates. All bytes that are not UTF-8 are such characters.
func modified(sample []byte) bool {
	full, pairs := len(sample) == sampleBytes, 0
	for len(sample) > 0 {
		c, n := utf8.DecodeRune(sample)
		switch {
		case c != utf8.RuneError || n > 1:
		case bytes.HasPrefix(sample, []byte{0xC0, 0x80}):
			n, pairs = 2, pairs+1
		case surrogate(sample, 0xA0) && surrogate(sample[3:], 0xB0):
			n, pairs = 6, pairs+1
		default:
			return pairs > 0 && full && len(sample) < 6 // the sample may cut a character
		}
		sample = sample[n:]
	}
	return pairs > 0
}

// surrogate reports whether bytes begin with a surrogate: a high one for 0xA0, a low one for 0xB0.
func surrogate(b []byte, half byte) bool {
	return len(b) >= 3 && b[0] == 0xED && b[1]&0xF0 == half && b[2]&0xC0 == 0x80
}

// damaged reports whether samples are UTF-8 with damage: they have sequences of UTF-8's form, and few
// other bytes that are not ASCII. EUC-JP has as many of these as of those.
func damaged(samples ...[]byte) bool {
	wide, alone := 0, 0
	for _, sample := range samples {
		for i := 0; i < len(sample); {
			n := sequence(sample[i:])
			switch {
			case n > 1:
				wide++
			case sample[i] >= utf8.RuneSelf:
				alone++
			}
			i += n
		}
	}
	return wide > 0 && wide >= 4*alone
}

// sequence returns the length of the sequence that bytes begin with: a first byte and as many others
// as it asks for, whether UTF-8 allows it or not; else 1.
func sequence(b []byte) int {
	n := bits.LeadingZeros8(^b[0])
	if n < 2 || n > 6 || n > len(b) {
		return 1
	}
	for _, c := range b[1:n] {
		if utf8.RuneStart(c) {
			return 1
		}
	}
	return n
}

// formats are the kinds of files that http.DetectContentType does not know, by their first bytes.
var formats = []struct{ magic, name string }{
	{"BZh", "application/x-bzip2"}, {"\xfd7zXZ\x00", "application/x-xz"}, {"\x28\xb5\x2f\xfd", "application/zstd"},
	{"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"},
}

// isTar reports whether a document is an archive of tar, which of ASCII files is ASCII.
func isTar(head []byte) bool {
	const magicAt = 257
	return len(head) >= 512 && bytes.HasPrefix(head[magicAt:], []byte("ustar")) && bytes.IndexByte(head[:magicAt], 0) > 0
}

// other returns what a document is that is neither UTF-8 nor in another encoding, or "".
func other(head []byte) string {
	if bytes.HasPrefix(head, []byte(mark32le)) || bytes.HasPrefix(head, []byte(mark32be)) {
		return "UTF-32"
	}
	for _, f := range formats {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f.name
		}
	}
	kind := http.DetectContentType(head)
	if kind == "application/octet-stream" || strings.HasPrefix(kind, "text/") {
		return "" // of any kind
	}
	return kind
}

// utf16 returns the name of the UTF-16 that a document is in, by its first bytes, or "".
//
// Without a byte order mark, evidence is what text in UTF-8 does not have: NUL and
// other control characters in at least an eighth of the pairs of bytes, most of them at
// the same place of the pair. They are the upper bytes of Latin, Greek,
// Cyrillic, Hebrew, Arabic and Thai characters, of spaces and of line ends. The order is
// that in which more pairs are spaces, line ends and full stops, where they tell: the
// lower bytes of Chinese characters are control characters more often than the upper ones.
func utf16(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte(mark16le)), bytes.HasPrefix(head, []byte(mark16be)):
		return "utf-16"
	}
	// Each of the pairs that count below has one of these bytes, and so has evidence of NUL.
	if bytes.IndexByte(head, 0) < 0 && bytes.IndexByte(head, 0x02) < 0 && bytes.IndexByte(head, 0xff) < 0 {
		return ""
	}
	var control, frequent [2]int
	for i := 1; i < len(head); i += 2 {
		for order, c := range [2]uint16{binary.BigEndian.Uint16(head[i-1:]), binary.LittleEndian.Uint16(head[i-1:])} {
			switch c {
			case ' ', '\n', '\r', '。', '，':
				frequent[order]++
			}
		}
	}
	zero := false
	for i, b := range head {
		if b < ' ' && !strings.ContainsRune("\t\n\r\f\x1b", rune(b)) {
			control[i%2]++
			zero = zero || b == 0
		}
	}
	most, least := max(control[0], control[1]), min(control[0], control[1])
	switch {
	case max(frequent[0], frequent[1]) >= max(2, len(head)/64) && 8*min(frequent[0], frequent[1]) <= max(frequent[0], frequent[1]):
		control = frequent
	case !zero || most < 2 || most*16 < len(head) || least*2 > most:
		return ""
	}
	if control[0] > control[1] {
		return "utf-16be"
	}
	return "utf-16le"
}
