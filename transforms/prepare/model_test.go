package prepare

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A model is what a set must be, by the shortest code: the whole corpus in
// memory, one character after another.
type model struct {
	ids     map[string][][]int32 // of each split, by rank
	chars   string               // in id order, [UNK] as \x01
	total   int64
	dropped int64
	unigram float64
	bigram  float64
	trigram float64
	docs    []dataset.Document // characters, dropped and replaced
}

const unk = '\x01' // stands for [UNK]; no text here has it

// runes returns a text's characters, those of bytes as U+00xx, and how many were
// invalid bytes.
func runes(text string, o Options) (all []rune, replaced int64) {
	if o.Unit == vocab.Byte {
		for _, b := range []byte(text) {
			all = append(all, rune(b))
		}
		return all, 0
	}
	for len(text) > 0 {
		c, size := utf8.DecodeRuneInString(text)
		if c == utf8.RuneError && size == 1 {
			replaced++
		}
		all = append(all, c)
		text = text[size:]
	}
	if o.Normalize == "nfc" {
		all = []rune(norm.NFC.String(string(all)))
	}
	return all, replaced
}

// parts divides a document in stretches, each for one of the three splits.
func parts(rs []rune, o Options) (stretches [][]rune, splits []int) {
	if o.ValidationBy != "block" {
		part := func(fraction float64) int { return (len(rs)*int(math.Round(fraction*10)) + 9) / 10 }
		validation := min(len(rs), part(o.ValidationFraction))
		test := min(len(rs)-validation, part(o.TestFraction))
		train := len(rs) - validation - test
		return [][]rune{rs[:train], rs[train : train+validation], rs[train+validation:]}, []int{0, 1, 2}
	}
	size := o.SeqLength + 1
	if o.Stride != 0 && o.Stride != size {
		size *= max(1, min(16, 65536/size))
	}
	for len(rs) > o.SeqLength {
		block := rs[:min(size, len(rs))]
		rs = rs[len(block):]
		var first []byte
		for _, c := range block[:o.SeqLength+1] {
			if o.Unit == vocab.Byte {
				first = append(first, byte(c))
			} else {
				first = utf8.AppendRune(first, c)
			}
		}
		sum := sha256.Sum256(first)
		split, hash := 0, float64(binary.BigEndian.Uint64(sum[:]))/(1<<64)
		if hash < o.ValidationFraction {
			split = 1
		} else if hash >= 1-o.TestFraction {
			split = 2
		}
		stretches, splits = append(stretches, block), append(splits, split)
	}
	return stretches, splits
}

func newModel(texts []text, o Options) *model {
	m := &model{ids: map[string][][]int32{}}
	counts := map[rune]int64{}
	var all [][]rune
	for _, x := range texts {
		rs, replaced := runes(x.text, o)
		all = append(all, rs)
		m.docs = append(m.docs, dataset.Document{Chars: int64(len(rs)), ReplacedChars: replaced})
		m.total += int64(len(rs))
		for _, c := range rs {
			counts[c]++
		}
	}
	folded := map[rune]int64{}
	fold := func(c rune) rune {
		if counts[c] < o.MinCount {
			return unk
		}
		return c
	}
	for c, n := range counts {
		folded[fold(c)] += n
	}
	chars := slices.Sorted(maps.Keys(folded)) // unk comes first: texts have no \x00
	m.chars = string(chars)
	stride := o.Stride
	if stride == 0 {
		stride = o.SeqLength + 1
	}
	var sequences [3][][]int32
	for i, rs := range all {
		dropped := len(rs)
		stretches, splits := parts(rs, o)
		for k, part := range stretches {
			last := 0 // character after those of a sequence
			for start := 0; start+o.SeqLength < len(part); start += stride {
				var ids []int32
				for _, c := range part[start : start+o.SeqLength+1] {
					ids = append(ids, int32(slices.Index(chars, fold(c))))
				}
				sequences[splits[k]] = append(sequences[splits[k]], ids)
				last = start + o.SeqLength + 1
			}
			dropped -= last
		}
		m.docs[i].DroppedChars = int64(dropped)
		m.dropped += int64(dropped)
	}
	for i := range all {
		for j, c := range all[i] {
			all[i][j] = fold(c)
		}
	}
	m.entropies(all, folded)
	for split, name := range []string{"train", "validation", "test"} {
		n := int64(len(sequences[split]))
		pi := dataset.NewPermutation(n, o.Seed, uint64(split))
		ranks := make([][]int32, n)
		for i, ids := range sequences[split] {
			ranks[pi.At(int64(i))] = ids
		}
		m.ids[name] = ranks
	}
	return m
}

func (m *model) entropies(all [][]rune, counts map[rune]int64) {
	for _, n := range counts {
		m.unigram -= float64(n) / float64(m.total) * math.Log(float64(n)/float64(m.total))
	}
	pairs, firsts, total := map[[2]rune]float64{}, map[rune]float64{}, 0.0
	for _, rs := range all {
		for i := 1; i < len(rs); i++ {
			pairs[[2]rune{rs[i-1], rs[i]}]++
			firsts[rs[i-1]]++
			total++
		}
	}
	for p, n := range pairs {
		m.bigram -= n / total * math.Log(n/firsts[p[0]])
	}
	triples, seconds, total := map[[3]rune]float64{}, map[[2]rune]float64{}, 0.0
	for _, rs := range all {
		for i := 2; i < len(rs); i++ {
			triples[[3]rune(rs[i-2:i+1])]++
			seconds[[2]rune(rs[i-2:i])]++
			total++
		}
	}
	for t, n := range triples {
		m.trigram -= n / total * math.Log(n/seconds[[2]rune(t[:2])])
	}
}

// check compares the set in dir with the model.
func (m *model) check(t *testing.T, dir string, docs []corpus.Document, o Options) {
	t.Helper()
	s := openSet(t, dir)
	f := s.Manifest()
	if f.Chars != m.total || f.DroppedChars != m.dropped || f.SeqLength != o.SeqLength || f.Seed != o.Seed || len(f.Documents) != len(docs) {
		t.Errorf("manifest has %d characters, %d dropped, want %d, %d: %+v", f.Chars, f.DroppedChars, m.total, m.dropped, f)
	}
	if math.Abs(f.Entropy.UnigramNats-m.unigram) > 1e-12 || math.Abs(f.Entropy.BigramNats-m.bigram) > 1e-12 {
		t.Errorf("entropies %v, want %v and %v", f.Entropy, m.unigram, m.bigram)
	}
	if n := f.Entropy.TrigramNats; n == nil || math.Abs(*n-m.trigram) > 1e-12 {
		t.Errorf("trigram entropy %v, want %v", n, m.trigram)
	}
	var chars string
	for id := range int32(s.Vocab().Size()) {
		if c := string(s.Vocab().AppendText(nil, id)); c == "[UNK]" {
			chars += string(unk)
		} else if o.Unit == vocab.Byte {
			chars += string(rune(c[0]))
		} else {
			chars += c
		}
	}
	if chars != m.chars {
		t.Errorf("characters %q, want %q", chars, m.chars)
	}
	for i, d := range docs {
		data, err := os.ReadFile(d.Path)
		if err != nil {
			t.Fatal(err)
		}
		want := m.docs[i]
		want.Name, want.Bytes, want.SHA256 = d.Name, d.Bytes, digest(data)
		if f.Documents[i] != want {
			t.Errorf("document %+v, want %+v", f.Documents[i], want)
		}
	}
	for name, want := range m.ids {
		r := s.Split(name)
		if r == nil {
			if len(want) > 0 {
				t.Errorf("there is no split %s", name)
			}
			continue
		}
		if r.Len() != int64(len(want)) {
			t.Errorf("%s has %d sequences, want %d", name, r.Len(), len(want))
			continue
		}
		got := make([]int32, o.SeqLength+1)
		for rank, ids := range want {
			if err := r.Read(t.Context(), int64(rank), got); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, ids) {
				t.Fatalf("%s: rank %d is %v, want %v", name, rank, got, ids)
			}
		}
	}
}

// wide has more characters than fit in one byte of a varint, of all sizes.
func wide(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune([]rune{rune('a' + i%7), rune('а' + i*i%30), rune('一' + i*31%211), rune(0x1f600 + i%13), '\n'}[i*i%5])
	}
	return b.String()
}

// TestModel makes sets of small corpora, in 1, 3 and 16 shards, on both engines
// in 3, with ranges and slabs of many sizes: all agree with the model, and all of
// one corpus and number of shards are the same, file by file.
func TestModel(t *testing.T) {
	play := strings.Repeat("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n", 20)
	marks := strings.Repeat("e\u0301 a\u0323\u0307b\u212b\u1100\u1161\u11a8 q\u0307\u0323\ufb2c \u0344é ", 30)
	odd := "\ufeffBOM\r\nand a\x00b\r\n\r" + strings.Repeat("x", 999)
	for _, c := range []struct {
		name  string
		texts []text
		o     Options
	}{
		{"one", []text{{"play.txt", play}}, Options{SeqLength: 10, Seed: 1}},
		{"validation", []text{{"play.txt", play}}, Options{SeqLength: 7, Seed: 2, MinCount: 50, ValidationFraction: 0.2}},
		{"many", []text{{"a/b.txt", play[:100]}, {"a/c.txt", ""}, {"b.txt", "short"}, {"c.txt", wide(500)}, {"d.txt", play}},
			Options{SeqLength: 4, Seed: -5, ValidationFraction: 0.1}},
		{"bytes", []text{{"x", wide(300)}, {"y", "\xff\xfe\x80" + play[:50]}}, Options{SeqLength: 12, Unit: vocab.Byte, MinCount: 2, ValidationFraction: 0.3}},
		{"invalid", []text{{"x", wide(200) + "\x80\xe2\x82" + wide(9)}, {"y", "\xf0\x9d\x84"}}, Options{SeqLength: 5, InvalidUTF8: "replace"}},
		{"barely", []text{{"x", "abcde"}}, Options{SeqLength: 4}},
		{"long", []text{{"x", play}}, Options{SeqLength: 700}},
		{"odd", []text{{"bom", odd}, {"empty", ""}, {"nul", "\x00\x00\x00\x00\x00\r\n"}}, Options{SeqLength: 3}},
		{"test", []text{{"a", play}, {"b", wide(400)}, {"c", "x"}}, Options{SeqLength: 6, Seed: 3, ValidationFraction: 0.2, TestFraction: 0.1}},
		{"only test", []text{{"a", play}}, Options{SeqLength: 6, Seed: 3, TestFraction: 0.3}},
		{"stride", []text{{"a", play[:700]}, {"b", wide(300)}}, Options{SeqLength: 9, Stride: 3, Seed: 4, ValidationFraction: 0.2}},
		{"nfc", []text{{"a", marks}, {"b", "\u0301\u0301" + wide(200) + "\u0301"}, {"c", "\u1161\u11a8"}},
			Options{SeqLength: 4, Normalize: "nfc", ValidationFraction: 0.1}},
		{"nfc, invalid", []text{{"a", "e\xcc\u0301" + marks + "\xff\u0301\xe1\x84"}},
			Options{SeqLength: 4, Normalize: "nfc", InvalidUTF8: "replace", MinCount: 20}},
		{"block", []text{{"a", wide(3000)}, {"b", wide(700)}, {"c", play[:30]}},
			Options{SeqLength: 4, Seed: 6, ValidationBy: "block", ValidationFraction: 0.2, TestFraction: 0.2}},
		{"block, stride, nfc", []text{{"a", marks + wide(3000)}}, Options{SeqLength: 5, Stride: 2, Normalize: "nfc", ValidationBy: "block",
			ValidationFraction: 0.3}},
		{"block, bytes", []text{{"a", wide(3000) + "\xff"}}, Options{SeqLength: 5, Stride: 6, Unit: vocab.Byte, ValidationBy: "block",
			ValidationFraction: 0.3}},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := write(t, c.texts...)
			m := newModel(c.texts, c.o)
			for i, shards := range []int{1, 3, 16} {
				o := c.o
				o.Shards = shards
				o.RangeBytes = []int64{101, 1 << 20, 777}[i]
				o.SlabBytes = []int64{1, 300, 1 << 20}[i]
				o.InlineBytes = []int64{0, 1, 200}[i]
				first := made(t, "direct", docs, o)
				m.check(t, first, docs, o)
				o.RangeBytes, o.SlabBytes, o.InlineBytes = []int64{1 << 20, 97, 3000}[i], 1<<20, []int64{1, 1, 0}[i]
				second := made(t, []string{"direct", "prism", "direct"}[i], docs, o)
				want, got := files(t, first), files(t, second)
				if !maps.Equal(got, want) {
					t.Errorf("%d shards: two differ:\n%v\n%v", shards, want, got)
				}
				if n := shards + 2; len(want) < n || c.o.ValidationFraction+c.o.TestFraction == 0 && len(want) != n {
					t.Errorf("%d shards: files %v", shards, want)
				}
			}
		})
	}
}

// shakespeare returns the corpus of the TensorFlow tutorial.
func shakespeare(t testing.TB) []corpus.Document {
	t.Helper()
	const file = "../../../shared/corpus/tinyshakespeare.txt"
	info, err := os.Stat(file)
	if err != nil {
		t.Skip("no corpus beside the repository: ", err)
	}
	docs, err := corpus.Resolve(t.Context(), []string{file}, &corpus.ResolveOptions{SHA256: "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"})
	if err != nil || docs[0].Bytes != info.Size() {
		t.Fatal(err)
	}
	return docs
}

// TestShakespeare makes the set of the tutorial on both engines.
func TestShakespeare(t *testing.T) {
	docs := shakespeare(t)
	data, err := os.ReadFile(docs[0].Path)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{SeqLength: 100, Seed: 1}
	m := newModel([]text{{docs[0].Name, string(data)}}, o)
	var sums []string
	for _, runner := range []string{"direct", "prism"} {
		dir := made(t, runner, docs, o)
		m.check(t, dir, docs, o)
		s := openSet(t, dir)
		f := s.Manifest()
		got := fmt.Sprintf("%d sequences, %d characters, %d dropped, vocabulary %d, %.4f and %.4f nats",
			f.Splits[0].Sequences, f.Chars, f.DroppedChars, f.Vocab.Size, f.Entropy.UnigramNats, f.Entropy.BigramNats)
		if want := "11043 sequences, 1115394 characters, 51 dropped, vocabulary 65, 3.3128 and 2.4526 nats"; got != want {
			t.Errorf("%s: got %s, want %s", runner, got, want)
		}
		sums = append(sums, s.SHA256())
	}
	// The bytes of a set are a promise: if this changes, so does every key of
	// every round.
	if want := "9ed2958c3346adac6aa577823080cab3d5571b7e92478ce3bd080c7a3f496068"; sums[0] != want || sums[1] != want {
		t.Errorf("manifest has sha256 %q, want %s", sums, want)
	}
}
