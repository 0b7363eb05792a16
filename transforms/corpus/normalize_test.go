package corpus

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

// valid returns text with every invalid byte as U+FFFD, and how many there were.
func valid(text string) (string, int64) {
	n := int64(0)
	for i, c := range text {
		if c == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			n++
		}
	}
	return string([]rune(text)), n
}

// TestNormalized reads texts in ranges of every size: their characters, the two
// before each range and those asked for after it are those of the whole text
// normalised at once, and invalid bytes are counted where they are.
func TestNormalized(t *testing.T) {
	form := Form{Unit: vocab.Rune, NFC: true}
	texts := append([]string{
		"e\u0301a\u0323\u0307", "\u0301x\u0301\u0301", "\u1100\u1161\u11a8\u1100\u1161", "\u212b\u0344\ufb2c", "A\u030a\xccB\u0301\xe1\x84",
		strings.Repeat("e\u0301", 300) + strings.Repeat("\u0323\u0301", 14) + "ab", strings.Repeat("x", 700) + "\u0301y",
		"e" + strings.Repeat("\u0301\u0323", 40) + "e\u0301", strings.Repeat("\u0323", 40) + "\xcca" + strings.Repeat("\u0301", 40) + "\u0323\xcc",
	}, nasty...)
	var r Reader
	defer r.Close()
	for _, text := range texts {
		whole, invalid := valid(text)
		want := []rune(string(NFC([]byte(whole)))) // TestNFC compares it with Python's
		d := put(t, t.TempDir(), "text", text)
		for size := int64(1); size <= min(20, d.Bytes+1); size++ {
			var got []rune
			first, count := int64(-1), int64(0)
			for at := int64(0); at < d.Bytes; at += size {
				ahead := at % 6
				x, err := r.Text(t.Context(), Range{Document: d, Offset: at, Length: min(size, d.Bytes-at)}, form, ahead)
				if err != nil {
					t.Fatal(err)
				}
				if x.CRC != crc(text[at:min(at+size, d.Bytes)]) {
					t.Fatalf("%q, range of %d at %d: crc", text, size, at)
				}
				if count == 0 && x.Invalid.Count > 0 {
					first = x.Invalid.Offset
				}
				count += x.Invalid.Count
				if len(x.Owned()) == 0 {
					continue
				}
				c, n := x.before(x.First)
				if n > 0 != (len(got) > 0) || n > 0 && c != got[len(got)-1] {
					t.Fatalf("%q, range of %d at %d: %U before it", text, size, at, c)
				}
				if c, n = x.before(x.First - n); n > 0 != (len(got) > 1) || n > 0 && c != got[len(got)-2] {
					t.Fatalf("%q, range of %d at %d: %U is the second before it", text, size, at, c)
				}
				got = append(got, []rune(string(x.Owned()))...)
				rest := []rune(string(x.Bytes[x.Last:]))
				if more := want[min(len(got), len(want)):]; int64(len(rest)) < min(ahead, int64(len(more))) || string(rest) != string(more[:len(rest)]) {
					t.Fatalf("%q, range of %d at %d: %q follows, want %q", text, size, at, string(rest), string(more))
				}
			}
			if string(got) != string(want) || count != invalid {
				t.Fatalf("%q, ranges of %d: got %q with %d invalid bytes, want %q with %d", text, size, string(got), count, string(want), invalid)
			}
			if count > 0 && !utf8.RuneStart(text[first]) && utf8.ValidString(text[:first+1]) {
				t.Fatalf("%q: first invalid byte at %d", text, first)
			}
		}
	}
}

// TestLongSegment has more marks on one character than are read at once, and
// then more than can be.
func TestLongSegment(t *testing.T) {
	form := Form{Unit: vocab.Rune, NFC: true}
	var r Reader
	defer r.Close()
	for marks, fine := range map[int]bool{5000: true, 3 * maxSegment: false} {
		text := "x" + strings.Repeat("\u0301", marks) + "end"
		d := put(t, t.TempDir(), "text", text)
		x, err := r.Text(t.Context(), Range{Document: d, Length: 10}, form, 2)
		switch {
		case fine && (err != nil || string(x.Owned()) != text[:len(text)-3]):
			t.Errorf("%d marks: %d bytes, %v", marks, len(x.Owned()), err)
		case !fine && (err == nil || !strings.Contains(err.Error(), "corpus: text: byte 0: more than 1048576 bytes that combine with one character")):
			t.Errorf("%d marks: %v", marks, err)
		}
	}
}
