package corpus

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/transforms/vocab"
)

// countPlainly is Statistics by the shortest code.
func countPlainly(docs []string, unit vocab.Unit) (chars map[int64]int64, pairs map[[2]int64]int64, triples map[[3]int64]int64, invalid int64) {
	chars, pairs, triples = map[int64]int64{}, map[[2]int64]int64{}, map[[3]int64]int64{}
	for _, text := range docs {
		var all []int64
		if unit == vocab.Byte {
			for _, b := range []byte(text) {
				all = append(all, int64(b))
			}
		} else {
			for i, c := range text {
				all = append(all, int64(c))
				if c == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
					invalid++
				}
			}
		}
		for i, c := range all {
			chars[c]++
			if i > 0 {
				pairs[[2]int64{all[i-1], c}]++
			}
			if i > 1 {
				triples[[3]int64{all[i-2], all[i-1], c}]++
			}
		}
	}
	return chars, pairs, triples, invalid
}

// wide is a text of more characters than the dense table of pairs has.
func wide() string {
	var b bytes.Buffer
	for i := range 4000 {
		b.WriteRune(rune('一' + i*7919%1700))
		b.WriteByte("ab \n"[i%4])
		if i%97 == 0 {
			b.WriteString("\U0001F600\x80\xe2\x82")
		}
	}
	return b.String()
}

func TestCountFn(t *testing.T) {
	texts := append([]string{wide()}, nasty...)
	dir := t.TempDir()
	var docs []Document
	for i, text := range texts {
		docs = append(docs, put(t, dir, string(rune('a'+i)), text))
	}
	for _, unit := range []vocab.Unit{vocab.Rune, vocab.Byte} {
		wantChars, wantPairs, wantTriples, wantInvalid := countPlainly(texts, unit)
		for i, size := range []int64{1, 3, 1009, 1 << 20, 100, 1 << 20} {
			most := []int64{1 << 20, 1 << 20, int64(len(wantTriples)), int64(len(wantTriples)), 40, int64(len(wantTriples)) - 1}[i]
			f := &countFn{Form: Form{Unit: unit}, MaxTriples: most}
			var parts []Statistics
			emit := func(s Statistics) { parts = append(parts, s) }
			for i, d := range docs {
				if i%3 == 0 {
					f.StartBundle(t.Context(), emit)
				}
				for _, lot := range lots([]Document{d}, i, size) {
					if err := f.ProcessElement(lot, emit); err != nil {
						t.Fatal(err)
					}
				}
				if i%3 == 2 || i == len(docs)-1 {
					if err := f.FinishBundle(emit); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := f.Teardown(); err != nil {
				t.Fatal(err)
			}
			got := merge(parts, most)
			compare(t, got, wantChars, wantPairs, wantInvalid)
			if got.Many != (int64(len(wantTriples)) > most) || !got.Many && len(got.Triples) != len(wantTriples) {
				t.Fatalf("%d triples, many %v, want %d of at most %d", len(got.Triples), got.Many, len(wantTriples), most)
			}
			for _, p := range got.Triples {
				if want := wantTriples[[3]int64{p.First, p.Second, p.Third}]; want != p.Count {
					t.Fatalf("triple %v, want %d", p, want)
				}
			}
		}
	}
}

// TestCountAllBytes counts texts of every byte, in an order in which each of them becomes the
// first number that is not dense.
func TestCountAllBytes(t *testing.T) {
	for first := range 256 {
		var text []byte
		for i := range 700 {
			text = append(text, byte(first+i*(1+i/256)))
		}
		chars, pairs, triples, _ := countPlainly([]string{string(text)}, vocab.Byte)
		tally := newTally(MaxTriples)
		tally.text(Text{Unit: vocab.Byte, Bytes: text, Last: len(text)})
		got := tally.statistics()
		compare(t, Statistics{Chars: got.Chars, Pairs: got.Pairs, Ranges: []RangeCount{{}}}, chars, pairs, 0)
		if len(got.Triples) != len(triples) {
			t.Fatalf("from byte %d on: %d triples, want %d", first, len(got.Triples), len(triples))
		}
		for _, p := range got.Triples {
			if want := triples[[3]int64{p.First, p.Second, p.Third}]; want != p.Count {
				t.Fatalf("from byte %d on: triple %v, want %d", first, p, want)
			}
		}
	}
}

func merge(parts []Statistics, most int64) Statistics {
	return (&mergeFn{MaxTriples: most}).ProcessElement(0, func(s *Statistics) bool {
		if len(parts) == 0 {
			return false
		}
		*s, parts = parts[len(parts)-1], parts[:len(parts)-1]
		return true
	})
}

func compare(t *testing.T, got Statistics, chars map[int64]int64, pairs map[[2]int64]int64, invalid int64) {
	t.Helper()
	if len(got.Chars) != len(chars) || len(got.Pairs) != len(pairs) || got.Invalid.Count != invalid {
		t.Fatalf("%d characters, %d pairs, %d invalid; want %d, %d, %d", len(got.Chars), len(got.Pairs), got.Invalid.Count, len(chars), len(pairs), invalid)
	}
	for i, c := range got.Chars {
		if chars[c.Char] != c.Count || i > 0 && got.Chars[i-1].Char >= c.Char {
			t.Fatalf("character %U counted %d, want %d, or out of order", c.Char, c.Count, chars[c.Char])
		}
	}
	for _, p := range got.Pairs {
		if want := pairs[[2]int64{p.First, p.Second}]; want != p.Count {
			t.Fatalf("pair %U %U counted %d, want %d", p.First, p.Second, p.Count, want)
		}
	}
	for i, b := range got.Ranges[1:] {
		if a := got.Ranges[i]; a.Doc > b.Doc || a.Doc == b.Doc && a.Offset >= b.Offset {
			t.Fatalf("ranges out of order: %v, %v", a, b)
		}
	}
}

func TestFirstInvalidByte(t *testing.T) {
	a, b := Invalid{2, 1, 500, 0x80}, Invalid{3, 1, 20, 0xff}
	want := Invalid{5, 1, 20, 0xff}
	if got := a.plus(b); got != want {
		t.Errorf("got %v", got)
	}
	if got := b.plus(a); got != want {
		t.Errorf("got %v", got)
	}
	if got := (Invalid{}).plus(a); got != a {
		t.Errorf("got %v", got)
	}
	if got := a.plus(Invalid{}); got != a {
		t.Errorf("got %v", got)
	}
	if got := (Invalid{1, 2, 0, 1}).plus(b); got != (Invalid{4, 1, 20, 0xff}) {
		t.Errorf("got %v", got)
	}
}

func init() {
	beam.RegisterFunction(summary)
	beam.RegisterFunction(digestsOf)
}

// digestsOf emits a line for each document of a page.
func digestsOf(ctx context.Context, p Page, emit func(string)) error {
	for d, err := range Documents(ctx, []Page{p}) {
		if err != nil {
			return err
		}
		emit(fmt.Sprintf("%s %d %s %d", d.Name, d.Bytes, d.SHA256, d.CRC))
	}
	return nil
}

// lots returns the lots of documents, the first of which has a position in the corpus.
func lots(docs []Document, first int, rangeBytes int64) (all []Lot) {
	for _, p := range NewList(docs, ListOptions{RangeBytes: rangeBytes, Inline: 1 << 20}).Pages() {
		p.First += int64(first)
		found, err := p.Lots(context.Background(), rangeBytes)
		if err != nil {
			panic(err)
		}
		all = append(all, found...)
	}
	return all
}

func summary(s Statistics) string {
	var b strings.Builder
	for _, c := range s.Chars {
		b.WriteString(string(rune(c.Char)))
		b.WriteByte(byte('0' + c.Count))
	}
	for _, p := range s.Pairs {
		b.WriteString(" " + string(rune(p.First)) + string(rune(p.Second)))
		b.WriteByte(byte('0' + p.Count))
	}
	return b.String()
}

func TestCountPipeline(t *testing.T) {
	dir := t.TempDir()
	docs := []Document{put(t, dir, "a", "abab"), put(t, dir, "b", ""), put(t, dir, "c", "éa")}
	for _, runner := range []string{"direct", "prism"} {
		p, s := beam.NewPipelineWithRoot()
		list := NewList(docs, ListOptions{RangeBytes: 3, Inline: 1 << 20})
		pages := Create(s, list)
		got := beam.ParDo(s, summary, Count(s, Form{Unit: vocab.Rune}, Ranges(s, list, pages)))
		passert.Equals(s, got, "a3b2é1 ab2 ba1 éa1")
		digests := beam.ParDo(s, digestsOf, Hash(s, pages))
		passert.Equals(s, digests,
			fmt.Sprint("a 4 a667282675f4876021d392aa6592f39dabf718748c4b738563cb9d5dc8f21f24 ", crc("abab")),
			"b 0 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0",
			fmt.Sprint("c 3 805c58e80d5a6f66d9bed65cfb771031235943ef48fbe5c18b823df952da92c4 ", crc("éa")))
		if err := engine.Run(t.Context(), runner, p, engine.Options{}); err != nil {
			t.Errorf("%s: %v", runner, err)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	text := []byte(strings.Repeat("It was the best of times, it was the worst of times,\n", 20000))
	for name, text := range map[string][]byte{"ascii": text, "wide": []byte(strings.ToValidUTF8(strings.Repeat(wide(), 40), ""))} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			t := newTally(MaxTriples)
			for b.Loop() {
				t.text(Text{Unit: vocab.Rune, Bytes: text, Last: len(text)})
			}
		})
	}
}

// attempt counts lots as one bundle. A broken attempt stops after the first one.
func attempt(t *testing.T, f *countFn, work []Lot, broken bool) (parts []Statistics) {
	emit := func(s Statistics) { parts = append(parts, s) }
	f.StartBundle(t.Context(), emit)
	for i, b := range work {
		if broken && i > 0 {
			return nil
		}
		if err := f.ProcessElement(b, emit); err != nil {
			t.Error(err)
		}
	}
	if broken {
		return nil
	}
	if err := f.FinishBundle(emit); err != nil {
		t.Error(err)
	}
	return parts
}

// TestCountZombies counts a corpus many times as badly as an engine may: bundles of
// any ranges, several at once, some broken off, each attempt a DoFn of its own or
// one that has failed before, and sums added in any order. Of each bundle's whole
// attempts one counts. The statistics are those of one bundle.
func TestCountZombies(t *testing.T) {
	dir := t.TempDir()
	var all []Lot
	for i, text := range []string{wide(), "to be or not to be", nasty[len(nasty)-1]} {
		d := put(t, dir, string(rune('a'+i)), text)
		size := max(1, d.Bytes/9)
		all = append(all, lots([]Document{d}, i, size)...)
	}
	f := &countFn{Form: Form{Unit: vocab.Rune}, MaxTriples: MaxTriples}
	want := merge(attempt(t, f, all, false), MaxTriples)
	if err := f.Teardown(); err != nil {
		t.Fatal(err)
	}
	for seed := range zombieRuns {
		r := rand.New(rand.NewPCG(seed, 7))
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		var parts []Statistics
		for left := all; len(left) > 0; {
			n := 1 + r.IntN(len(left))
			bundle := left[:n]
			left = left[n:]
			results := make([][]Statistics, 1+r.IntN(2))
			fail := r.IntN(2) == 0
			var wg sync.WaitGroup
			for i := range results {
				wg.Go(func() {
					f := &countFn{Form: Form{Unit: vocab.Rune}, MaxTriples: MaxTriples}
					if fail {
						attempt(t, f, bundle, true)
					}
					results[i] = attempt(t, f, bundle, false)
					if err := f.Teardown(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			parts = append(parts, results[r.IntN(len(results))]...)
		}
		r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		if got := merge(parts, MaxTriples); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: the statistics are others", seed)
		}
	}
}
