package charseq

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/vocab"
)

// nasty has characters of every length, and bytes that are none.
const nasty = "ab\x80é\xe2\x82日本\xf0\x9d\x84𝄞𝄞\xff\x00\n\ufffd\xed\xa0\x80語\xc3"

func TestCutter(t *testing.T) {
	for _, unit := range []vocab.Unit{vocab.Rune, vocab.Byte} {
		text := strings.Repeat(nasty, 5)
		var all []rune
		if unit == vocab.Rune {
			all = []rune(text)
		} else {
			for _, b := range []byte(text) {
				all = append(all, rune(b))
			}
		}
		for _, minCount := range []int64{1, 6} {
			counts := map[rune]int64{'q': 100}
			for _, c := range all {
				counts[c]++
			}
			v, err := vocab.New(unit, counts, minCount)
			if err != nil {
				t.Fatal(err)
			}
			var want []int32
			for _, c := range all {
				id, ok := v.ID(c)
				if !ok {
					t.Fatalf("%q has no id", c)
				}
				want = append(want, id)
			}
			checkCutter(t, NewCutter(v), unit, text, want)
		}
	}
}

// unpack returns ids as a reader of the set sees them.
func unpack(t *testing.T, packed []byte, width int) []int32 {
	t.Helper()
	ids, err := tfexample.ParseIDs(nil, tfexample.AppendPacked(nil, packed))
	if err != nil || len(ids)*width != len(packed) {
		t.Fatalf("%d ids in %d bytes, %v", len(ids), len(packed), err)
	}
	return ids
}

// checkCutter cuts text in blocks of many sizes, with one cutter.
func checkCutter(t *testing.T, c *Cutter, unit vocab.Unit, text string, want []int32) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d := corpus.Document{Name: "text", Path: file, Bytes: int64(len(text))}
	var r corpus.Reader
	defer r.Close()
	for size := int64(1); size < d.Bytes+3; size++ {
		more := size % 7
		at := 0
		for off := int64(0); off < d.Bytes; off += size {
			x, err := r.Text(t.Context(), corpus.Range{Document: d, Offset: off, Length: min(size, d.Bytes-off)}, corpus.Form{Unit: unit}, more)
			if err != nil {
				t.Fatal(err)
			}
			packed, n, err := c.Pack(x, more)
			if err != nil {
				t.Fatal(err)
			}
			ids, owned := unpack(t, packed, c.Width()), int(n)
			if end := min(len(want), at+owned+int(more)); !slices.Equal(ids, want[at:end]) {
				t.Fatalf("%s, block of %d at %d: got %v, want %v", unit, size, off, ids, want[at:end])
			}
			at += owned
		}
		if at != len(want) {
			t.Fatalf("%s, blocks of %d: %d characters, want %d", unit, size, at, len(want))
		}
	}
}

func TestCutterUnknown(t *testing.T) {
	v, err := vocab.New(vocab.Rune, map[rune]int64{'a': 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := NewCutter(v)
	text := corpus.Text{Unit: vocab.Rune, Bytes: []byte("aaéa"), Offset: 1000, Last: 4}
	_, _, err = c.Pack(text, 9)
	if want := "charseq: character 'é' (U+00E9) at byte 1002 is not in the vocabulary: the document changed while the set was made; make the set " +
		"again"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	text.Bytes, text.Last = []byte("aaa!"), 3
	if _, _, err = c.Pack(text, 0); err != nil {
		t.Errorf("beyond what is asked for: %v", err)
	}
	if _, _, err = c.Pack(text, 1); err == nil || !strings.Contains(err.Error(), "'!' (U+0021) at byte 1003") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkCutter(b *testing.B) {
	text := []byte(strings.Repeat("It was the best of times, it was the worst of times,\n", 20000))
	counts := map[rune]int64{}
	for _, c := range text {
		counts[rune(c)]++
	}
	v, err := vocab.New(vocab.Rune, counts, 1)
	if err != nil {
		b.Fatal(err)
	}
	c := NewCutter(v)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, _, err := c.Pack(corpus.Text{Unit: vocab.Rune, Bytes: text, Last: len(text)}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
