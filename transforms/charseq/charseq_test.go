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
	"github.com/quire-ml/quire/transforms/vocab"
)

// A place is where a sequence is: a character of a document.
type place struct{ doc, char int64 }

// cutPlainly returns where the sequences of each split start, by the shortest
// code: character after character.
func cutPlainly(l int64, parts [][]int64) (sequences [][]place, dropped int64) {
	for split := range parts[0] {
		var all []place
		for doc, lengths := range parts {
			start := int64(0)
			for _, n := range lengths[:split] {
				start += n
			}
			var open []int64
			for c := range lengths[split] {
				if open = append(open, start+c); int64(len(open)) == l+1 {
					all = append(all, place{int64(doc), open[0]})
					open = nil
				}
			}
			dropped += int64(len(open))
		}
		sequences = append(sequences, all)
	}
	return sequences, dropped
}

func checkLayout(t *testing.T, l int64, fraction float64, chars []int64, parts [][]int64, block int64) {
	t.Helper()
	what := fmt.Sprintf("L %d, fraction %v, documents %v, blocks of %d", l, fraction, chars, block)
	y := Tail(l, fraction, chars)
	want, dropped := cutPlainly(l, parts)
	if y.Dropped != dropped {
		t.Fatalf("%s: %d dropped, want %d", what, y.Dropped, dropped)
	}
	for split, all := range want {
		if y.Totals[split] != int64(len(all)) {
			t.Fatalf("%s: %d sequences in split %d, want %d", what, y.Totals[split], split, len(all))
		}
	}
	got := make([][]place, len(want))
	for split, n := range y.Totals {
		got[split] = slices.Repeat([]place{{-1, -1}}, int(n))
	}
	for doc, n := range chars {
		for lo := int64(0); lo < n; lo += block {
			last := int64(-1)
			for _, r := range y.Starting(int64(doc), lo, min(n, lo+block)) {
				for i := range r.Count {
					char := r.Char + i*(l+1)
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
		var parts [][]int64
		tenths := r.Int64N(10)
		for range 1 + r.IntN(4) {
			c := r.Int64N(60)
			chars = append(chars, c)
			if train := c * (10 - tenths) / 10; tenths > 0 {
				parts = append(parts, []int64{train, c - train})
			} else {
				parts = append(parts, []int64{c})
			}
		}
		checkLayout(t, 1+r.Int64N(9), float64(tenths)/10, chars, parts, 1+r.Int64N(40))
	}
}

// TestTutorial has the numbers of the TensorFlow tutorial.
func TestTutorial(t *testing.T) {
	y := Tail(100, 0, []int64{1115394})
	if y.Totals[Train] != 11043 || y.Dropped != 1115394-11043*101 || y.Splits != 1 {
		t.Errorf("%+v", y)
	}
	y = Tail(100, 0.1, []int64{1115394})
	if y.Totals[Train] != 1003854/101 || y.Totals[Validation] != 111540/101 {
		t.Errorf("%+v", y)
	}
}

func TestTailPanics(t *testing.T) {
	for _, c := range []struct {
		l        int64
		fraction float64
	}{{0, 0}, {1, -0.1}, {1, 1}, {1, 0 / zero}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%v: no panic", c)
				}
			}()
			Tail(c.l, c.fraction, []int64{10})
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
			x, err := r.Block(t.Context(), corpus.Block{Document: d, Offset: off, Length: min(size, d.Bytes-off)}, unit, 4*more)
			if err != nil {
				t.Fatal(err)
			}
			ids, owned, err := c.IDs(x, more)
			if err != nil {
				t.Fatal(err)
			}
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
	_, _, err = c.IDs(text, 9)
	if want := "charseq: character 'é' (U+00E9) at byte 1002 is not in the vocabulary: the document changed while it was read; run prep again"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	text.Bytes, text.Last = []byte("aaa!"), 3
	if _, _, err = c.IDs(text, 0); err != nil {
		t.Errorf("beyond what is asked for: %v", err)
	}
	if _, _, err = c.IDs(text, 1); err == nil || !strings.Contains(err.Error(), "'!' (U+0021) at byte 1003") {
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
		if _, _, err := c.IDs(corpus.Text{Unit: vocab.Rune, Bytes: text, Last: len(text)}, 0); err != nil {
			b.Fatal(err)
		}
	}
}
