package layout

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

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
	what := fmt.Sprintf("L %d, stride %d, documents %v, blocks of %d", y.Rule.SeqLength, y.Rule.Stride, chars, block)
	want, dropped := cutPlainly(y.Rule.SeqLength, y.Rule.Stride, parts)
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
			for _, r := range y.Starting(int64(doc), Span{lo, min(n, lo+block)}) {
				for i := range r.Count {
					char := r.Char + i*y.Rule.Stride
					if char < lo || char >= lo+block || char <= last {
						t.Fatalf("%s: block at %d has a sequence at %d, after %d", what, lo, char, last)
					}
					last = char
					if got[r.Split][r.First+i].doc >= 0 {
						t.Fatalf("%s: sequence %d comes twice", what, r.First+i)
					}
					got[r.Split][r.First+i] = place{int64(doc), char}
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
		checkLayout(t, Tail(Rule{l, stride, ByTail, float64(v) / 10, float64(e) / 10}, chars), chars, parts, 1+r.Int64N(40))
	}
}

// TestTutorial has the numbers of the TensorFlow tutorial.
func TestTutorial(t *testing.T) {
	y := Tail(Rule{100, 101, ByTail, 0, 0}, []int64{1115394})
	if y.Totals[Train] != 11043 || y.Dropped[0] != 1115394-11043*101 || y.Totals[Validation] != 0 {
		t.Errorf("%+v", y)
	}
	y = Tail(Rule{100, 101, ByTail, 0.1, 0}, []int64{1115394})
	if y.Totals[Train] != 1003854/101 || y.Totals[Validation] != 111540/101 {
		t.Errorf("%+v", y)
	}
}

// TestPanics gives rules that are none, each to the constructor of its way.
func TestPanics(t *testing.T) {
	zero := 0.0
	for _, r := range []Rule{
		{0, 1, ByTail, 0, 0}, {1, 2, ByTail, -0.1, 0}, {1, 2, ByTail, 1, 0}, {1, 2, ByTail, 0 / zero, 0}, {1, 2, ByTail, 0.5, 0.5},
		{1, 2, ByTail, 0, -1}, {3, 5, ByTail, 0, 0}, {3, 0, ByTail, 0, 0}, {1, 2, "", 0, 0},
	} {
		for way, make := range map[string]func(Rule){ByTail: func(r Rule) { Tail(r, []int64{10}) }, ByBlock: func(r Rule) { r.Blocks() }} {
			other := r
			if r.By == ByTail {
				other.By = way
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%+v: no panic", other)
					}
				}()
				make(other)
			}()
		}
	}
	for _, make := range []func(){func() { Tail(Rule{1, 2, ByBlock, 0, 0}, nil) }, func() { Rule{1, 2, ByTail, 0, 0}.Blocks() }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a rule of the other way: no panic")
				}
			}()
			make()
		}()
	}
}

func TestContinuous(t *testing.T) {
	for r, want := range map[Rule]bool{{9, 10, ByTail, 0.1, 0}: true, {9, 9, ByTail, 0.1, 0}: false, {9, 10, ByBlock, 0.1, 0}: false} {
		if got := r.Continuous(); got != want {
			t.Errorf("%+v: %v", r, got)
		}
	}
}

// TestCovered has two documents, of which the second has no sequence for test.
func TestCovered(t *testing.T) {
	y := Tail(Rule{3, 4, ByTail, 0.2, 0.1}, []int64{50, 27})
	for split, want := range [Splits][]int64{{32, 16}, {8, 4}, {4}} {
		if got := y.Covered(split); !slices.Equal(got, want) {
			t.Errorf("%s: %d, want %d", Names[split], got, want)
		}
	}
	if want := []int64{50 - 44, 27 - 20}; !slices.Equal(y.Dropped, want) {
		t.Errorf("dropped %d, want %d", y.Dropped, want)
	}
	// Overlapping sequences cover each character once: 0…3, 2…5, …, 8…11.
	y = Tail(Rule{3, 2, ByTail, 0, 0}, []int64{13})
	if got := y.Covered(Train); !slices.Equal(got, []int64{12}) || y.Totals[Train] != 5 || y.Dropped[0] != 1 {
		t.Errorf("covered %d in %d sequences, %d dropped", got, y.Totals[Train], y.Dropped[0])
	}
}

// blocksPlainly returns the splits and characters of a document's sequences, one
// after the other, and the number of characters of none.
func blocksPlainly(r Rule, chars int64, text []rune, raw func([]rune) []byte) (splits []int, at []int64, dropped int64) {
	used := map[int64]bool{}
	for start := int64(0); start+r.SeqLength < int64(len(text)); start += chars {
		sum := sha256.Sum256(raw(text[start : start+r.SeqLength+1]))
		h, split := float64(binary.BigEndian.Uint64(sum[:]))/(1<<64), Train
		if h < r.Validation {
			split = Validation
		} else if h >= 1-r.Test {
			split = Test
		}
		for c := start; c+r.SeqLength < min(start+chars, int64(len(text))); c += r.Stride {
			splits, at = append(splits, split), append(at, c)
			for i := range r.SeqLength + 1 {
				used[c+i] = true
			}
		}
	}
	return splits, at, int64(len(text) - len(used))
}

// TestBlocks divides random documents by block, from spans of many sizes.
func TestBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		rule := Rule{SeqLength: 1 + r.Int64N(6), By: ByBlock, Validation: float64(r.IntN(5)) / 10, Test: float64(r.IntN(5)) / 10}
		rule.Stride = 1 + r.Int64N(rule.SeqLength+1)
		size := rule.SeqLength + 1
		if rule.Stride < size {
			size *= 16
		}
		unit, text := vocab.Rune, make([]rune, r.IntN(300))
		for i := range text {
			text[i] = []rune("aé日𝄞")[r.IntN(4)]
		}
		raw := func(rs []rune) []byte { return []byte(string(rs)) }
		if r.IntN(2) == 0 {
			unit, raw = vocab.Byte, func(rs []rune) []byte {
				b := make([]byte, len(rs))
				for i, c := range rs {
					b[i] = byte(c)
				}
				return b
			}
		}
		b := rule.Blocks()
		if b.Ahead() != size {
			t.Fatalf("%+v: %d characters ahead, want %d", rule, b.Ahead(), size)
		}
		splits, at, dropped := blocksPlainly(rule, size, text, raw)
		if got := b.Dropped(int64(len(text))); got != dropped {
			t.Fatalf("%+v: %d of %d characters dropped, want %d", rule, got, len(text), dropped)
		}
		var gotSplits []int
		var gotAt []int64
		total, step := int64(len(text)), 1+r.Int64N(200)
		for from := int64(0); from < total; from += step {
			in := Span{from, min(total, from+step)}
			found, counts, ok := b.Starting(in, total, unit, raw(text[from:min(total, in.To+size)]))
			if !ok {
				t.Fatalf("%+v: the text from %d on ends too early", rule, from)
			}
			var counted [Splits]int64
			for i, s := range found {
				if s.First != counted[s.Split] || i > 0 && s.Split == found[i-1].Split && s.Char == found[i-1].Char+found[i-1].Count*rule.Stride {
					t.Fatalf("%+v: sequences %+v", rule, found)
				}
				counted[s.Split] += s.Count
				for k := range s.Count {
					gotSplits, gotAt = append(gotSplits, s.Split), append(gotAt, s.Char+k*rule.Stride)
				}
			}
			if counts != counted {
				t.Fatalf("%+v: counts %d of %+v", rule, counts, found)
			}
		}
		if !slices.Equal(gotSplits, splits) || !slices.Equal(gotAt, at) {
			t.Fatalf("%+v:\ngot  %v at %v\nwant %v at %v", rule, gotSplits, gotAt, splits, at)
		}
	}
}

// TestBlockSize: blocks of overlapping sequences are bounded, but hold a whole
// sequence.
func TestBlockSize(t *testing.T) {
	for l, want := range map[int64]int64{100: 16 * 101, 4095: 1 << 16, 4096: 15 * 4097, 1<<16 - 1: 1 << 16, 1 << 20: 1<<20 + 1} {
		if got := (Rule{l, 1, ByBlock, 0.1, 0}).Blocks().Ahead(); got != want {
			t.Errorf("L %d: blocks of %d characters, want %d", l, got, want)
		}
		if got := (Rule{l, l + 1, ByBlock, 0.1, 0}).Blocks().Ahead(); got != l+1 {
			t.Errorf("L %d, no overlap: blocks of %d characters", l, got)
		}
	}
}

// TestShort gives texts that end before the sequences do.
func TestShort(t *testing.T) {
	b := Rule{3, 4, ByBlock, 0.5, 0}.Blocks()
	text := []byte("日本語の本がある") // 8 characters of 3 bytes: 2 blocks
	for n := 1; n <= len(text); n++ {
		_, _, ok := b.Starting(Span{0, 8}, 8, vocab.Rune, text[:n])
		// A character cut in two is decoded as many, so a text counts as whole as soon as it has 8.
		if want := utf8.RuneCount(text[:n]) >= 8; ok != want {
			t.Errorf("%d bytes: %v, want %v", n, ok, want)
		}
		if _, _, ok := b.Starting(Span{0, int64(len(text))}, int64(len(text)), vocab.Byte, text[:n]); ok != (n == len(text)) {
			t.Errorf("%d bytes as characters: %v", n, ok)
		}
	}
	// A span that starts in the middle of a block starts none of its own.
	if found, _, ok := b.Starting(Span{1, 4}, 8, vocab.Byte, bytes.Repeat([]byte("x"), 7)); !ok || len(found) != 0 {
		t.Errorf("%v, %v", found, ok)
	}
}
