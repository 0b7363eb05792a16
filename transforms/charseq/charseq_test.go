package charseq

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A place is where a sequence is: a character of a document.
type place struct{ doc, char int64 }

// cutPlainly returns where the sequences of each split start, by the shortest
// code: one start after the other.
func cutPlainly(l, stride int64, parts [][Splits]int64) (sequences [Splits][]place, dropped []int64) {
	for doc, lengths := range parts {
		start, used := int64(0), map[int64]bool{}
		for split, n := range lengths {
			for c := int64(0); c+l+1 <= n; c += stride {
				sequences[split] = append(sequences[split], place{int64(doc), start + c})
				for i := range l + 1 {
					used[start+c+i] = true
				}
			}
			start += n
		}
		dropped = append(dropped, start-int64(len(used)))
	}
	return sequences, dropped
}

func checkLayout(t *testing.T, y Layout, chars []int64, parts [][Splits]int64, block int64) {
	t.Helper()
	what := fmt.Sprintf("L %d, stride %d, documents %v, blocks of %d", y.SeqLength, y.Stride, chars, block)
	want, dropped := cutPlainly(y.SeqLength, y.Stride, parts)
	if !slices.Equal(y.Dropped, dropped) {
		t.Fatalf("%s: %d dropped, want %d", what, y.Dropped, dropped)
	}
	var got [Splits][]place
	for split, all := range want {
		if y.Totals[split] != int64(len(all)) {
			t.Fatalf("%s: %d sequences in split %d, want %d", what, y.Totals[split], split, len(all))
		}
		got[split] = slices.Repeat([]place{{-1, -1}}, len(all))
	}
	for doc, n := range chars {
		for lo := int64(0); lo < n; lo += block {
			last := int64(-1)
			for _, r := range y.Starting(int64(doc), lo, min(n, lo+block)) {
				for i := range r.Count {
					char := r.Char + i*y.Stride
					if char < lo || char >= lo+block || char <= last {
						t.Fatalf("%s: block at %d has a sequence at %d, after %d", what, lo, char, last)
					}
					last = char
					if got[r.Split][r.Index+i].doc >= 0 {
						t.Fatalf("%s: sequence %d comes twice", what, r.Index+i)
					}
					got[r.Split][r.Index+i] = place{int64(doc), char}
				}
			}
		}
	}
	for split := range want {
		if !slices.Equal(got[split], want[split]) {
			t.Fatalf("%s: split %d:\ngot  %v\nwant %v", what, split, got[split], want[split])
		}
	}
}

func TestLayout(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 4000 {
		var chars []int64
		var parts [][Splits]int64
		v, e := r.Int64N(6), r.Int64N(5) // tenths
		for range 1 + r.IntN(4) {
			c := r.Int64N(60)
			chars = append(chars, c)
			validation := min(c, (c*v+9)/10)
			test := min(c-validation, (c*e+9)/10)
			parts = append(parts, [Splits]int64{c - validation - test, validation, test})
		}
		l := 1 + r.Int64N(9)
		stride := 1 + r.Int64N(l+1)
		checkLayout(t, Tail(l, stride, float64(v)/10, float64(e)/10, chars), chars, parts, 1+r.Int64N(40))
	}
}

// TestTutorial has the numbers of the TensorFlow tutorial.
func TestTutorial(t *testing.T) {
	y := Tail(100, 101, 0, 0, []int64{1115394})
	if y.Totals[Train] != 11043 || y.Dropped[0] != 1115394-11043*101 || y.Totals[Validation] != 0 {
		t.Errorf("%+v", y)
	}
	y = Tail(100, 101, 0.1, 0, []int64{1115394})
	if y.Totals[Train] != 1003854/101 || y.Totals[Validation] != 111540/101 {
		t.Errorf("%+v", y)
	}
}

func TestTailPanics(t *testing.T) {
	for _, c := range []struct {
		l, stride        int64
		validation, test float64
	}{{0, 1, 0, 0}, {1, 2, -0.1, 0}, {1, 2, 1, 0}, {1, 2, 0 / zero, 0}, {1, 2, 0.5, 0.5}, {1, 2, 0, -1}, {3, 5, 0, 0}, {3, 0, 0, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: no panic", c)
				}
			}()
			Tail(c.l, c.stride, c.validation, c.test, []int64{10})
		}()
	}
}

var zero float64

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
			x, err := r.Block(t.Context(), corpus.Block{Document: d, Offset: off, Length: min(size, d.Bytes-off)}, corpus.Form{Unit: unit}, more)
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
	if want := "charseq: character 'é' (U+00E9) at byte 1002 is not in the vocabulary: the document changed while it was read; run prep again"; err == nil || err.Error() != want {
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
