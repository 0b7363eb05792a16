package corpus

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/transforms/vocab"
)

func TestMain(m *testing.M) {
	flag.Parse()
	engine.Init()
	os.Exit(m.Run())
}

// put writes a file below dir and returns it as a document.
func put(t testing.TB, dir, name, text string) Document {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return Document{Name: name, Path: file, Bytes: int64(len(text))}
}

// nasty are texts whose character boundaries are hard to find.
var nasty = []string{
	"a", "\x80", "\xff", "é", "\xc3", "日本語", "𝄞𝄞𝄞", "a\x80b", "\x80\x80\x80\x80\x80\x80",
	"\xe2\x82", "\xe2\x82a", "\xe2\xe2\x82\xac\x82", "\xf0\x9d\x84", "\xf0\x9d\x84\x9e\x80", "\xf0\x9d\x84\xf0\x9d\x84\x9e",
	"\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80", "\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf", "a\xcc\x81é\x00\r\n\xef\xbb\xbf",
	"\xf8\x88\x80\x80\x80", "x\xc3\xc3\xc3\xa9\xa9", "\xf0\xf0\x9d\xf0\x9d\x84\xf0\x9d\x84\x9e\x9e",
	strings.Repeat("ab\xf0\x9d\x84\x9eé\x80\xe2\x82\xac\xe2\x82", 9),
}

// checkRanges compares the characters found range by range with Go's own
// sequential decoding.
func checkRanges(t *testing.T, r *Reader, d Document, text string, unit vocab.Unit, size, ahead int64) {
	t.Helper()
	var want, got, prev, wantPrev []rune
	if unit == vocab.Byte {
		for _, b := range []byte(text) {
			want = append(want, rune(b))
		}
	} else {
		want = []rune(text)
	}
	offset := 0
	owner := func(i int) int { return int(int64(i) / size) }
	owned := map[int]int{}
	for i, c := range want {
		if i > 0 && (owned[owner(offset)] == 0) {
			wantPrev = append(wantPrev, want[i-1])
		}
		owned[owner(offset)]++
		if unit == vocab.Byte {
			offset++
		} else {
			_, n := utf8.DecodeRuneInString(text[offset:])
			offset += n
		}
		_ = c
	}
	for at := int64(0); at < d.Bytes; at += size {
		b := Range{Document: d, Offset: at, Length: min(size, d.Bytes-at)}
		x, err := r.Text(t.Context(), b, Form{Unit: unit}, ahead)
		if err != nil {
			t.Fatal(err)
		}
		if end := x.Offset + int64(len(x.Bytes)); end < min(d.Bytes, b.End()+ahead) {
			t.Fatalf("range at %d ends at %d, asked for %d more", at, end, ahead)
		}
		if len(x.Owned()) == 0 {
			continue
		}
		c, n := x.before(x.First)
		if n > 0 != (len(got) > 0) {
			t.Fatalf("%q, ranges of %d: range at %d: previous of %d bytes", text, size, at, n)
		} else if n > 0 {
			prev = append(prev, c)
			if c, n = x.before(x.First - n); n > 0 != (len(got) > 1) || n > 0 && c != got[len(got)-2] {
				t.Fatalf("%q, ranges of %d: range at %d: %U is the second before it", text, size, at, c)
			}
		}
		if unit == vocab.Byte {
			for _, b := range x.Owned() {
				got = append(got, rune(b))
			}
		} else {
			got = append(got, []rune(string(x.Owned()))...)
		}
	}
	if string(got) != string(want) || len(got) != len(want) {
		t.Fatalf("%q, ranges of %d:\ngot  %U\nwant %U", text, size, got, want)
	}
	if len(prev) != len(wantPrev) || string(prev) != string(wantPrev) {
		t.Fatalf("%q, ranges of %d: previous characters\ngot  %U\nwant %U", text, size, prev, wantPrev)
	}
}

func TestRangesOfEverySize(t *testing.T) {
	var r Reader
	defer r.Close()
	for _, text := range nasty {
		d := put(t, t.TempDir(), "text", text)
		for size := int64(1); size <= 20; size++ {
			checkRanges(t, &r, d, text, vocab.Rune, size, size%5)
			checkRanges(t, &r, d, text, vocab.Byte, size, size%5)
		}
	}
}

func FuzzRanges(f *testing.F) {
	for _, text := range nasty {
		f.Add([]byte(text), uint8(3))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		if len(text) == 0 || size == 0 {
			return
		}
		var r Reader
		defer r.Close()
		checkRanges(t, &r, put(t, dir, "text", string(text)), string(text), vocab.Rune, int64(size), 0)
	})
}

func crc(text string) int64 { return int64(crc32.Checksum([]byte(text), castagnoli)) }

func TestDigests(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("0123456789", 300_000) // more than one read
	docs := []Document{put(t, dir, "a", "abab"), put(t, dir, "b", text), put(t, dir, "c", "")}
	sums, err := Digests(t.Context(), docs)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"abab", text, ""} {
		want := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
		if sums[i] != want || docs[i].SHA256 != want || docs[i].CRC != crc(text) {
			t.Errorf("document %d: %s and %+v, want %s", i, sums[i], docs[i], want)
		}
		// Their ranges are known by the CRC.
		var ranges []RangeCount
		for at := 0; at < len(text); at += 1<<20 - 7 {
			part := text[at:min(len(text), at+1<<20-7)]
			ranges = append(ranges, RangeCount{Offset: int64(at), Length: int64(len(part)), CRC: crc(part)})
		}
		doc := docs[i]
		if err := Same(ranges, doc); err != nil {
			t.Error(err)
		}
		for k := range ranges {
			ranges[k].CRC ^= 1
			if err := Same(ranges, doc); err == nil || err.Error() != docs[i].Name+": the text has changed while the set was made; make the set again" {
				t.Errorf("range %d differs: %v", k, err)
			}
			ranges[k].CRC ^= 1
		}
		if len(ranges) > 0 && Same(ranges[:len(ranges)-1], doc) == nil || Same(append(ranges, RangeCount{Offset: docs[i].Bytes + 1}), doc) == nil {
			t.Error("a range too few or too many passes")
		}
	}
}

func TestChangedDocument(t *testing.T) {
	d := put(t, t.TempDir(), "a", "abc")
	d.Bytes = 4
	var r Reader
	defer r.Close()
	_, err := r.Text(context.Background(), Range{Document: d, Length: 4}, Form{Unit: vocab.Rune}, 0)
	if err == nil || !strings.Contains(err.Error(), "a: has 3 bytes, but had 4") {
		t.Errorf("got %v", err)
	}
	if _, err = Digests(context.Background(), []Document{d}); err == nil || !strings.Contains(err.Error(), "has 3 bytes, but had 4") {
		t.Errorf("got %v", err)
	}
}

// zombieRuns is how many times TestCountZombies counts: each takes 40 ms, for the
// tables of its tallies. (go test -tags soak -run Zombies ./transforms/corpus: 500.)
var zombieRuns = uint64(30)
