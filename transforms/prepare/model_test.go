package prepare

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

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
}

const unk = '\x01' // stands for [UNK]; no text here has it

// runes returns a text's characters, those of bytes as U+00xx.
func runes(text string, unit vocab.Unit) []rune {
	if unit != vocab.Byte {
		return []rune(text)
	}
	var all []rune
	for _, b := range []byte(text) {
		all = append(all, rune(b))
	}
	return all
}

func newModel(texts []text, o Options, tenths int) *model {
	m := &model{ids: map[string][][]int32{}}
	counts := map[rune]int64{}
	var all [][]rune
	for _, x := range texts {
		rs := runes(x.text, o.Unit)
		all = append(all, rs)
		m.total += int64(len(rs))
		for _, c := range rs {
			counts[c]++
		}
	}
	folded := map[rune]int64{}
	for c, n := range counts {
		if n < o.MinCount {
			c = unk
		}
		folded[c] += n
	}
	for i := range all {
		for j, c := range all[i] {
			if counts[c] < o.MinCount {
				all[i][j] = unk
			}
		}
	}
	chars := slices.Sorted(maps.Keys(folded)) // unk comes first: texts have no \x00
	m.chars = string(chars)
	m.entropies(all, folded)
	for split, name := range []string{"train", "validation"} {
		var sequences [][]int32
		for _, rs := range all {
			train := len(rs) * (10 - tenths) / 10
			part := [][]rune{rs[:train], rs[train:]}[split]
			for ; len(part) > o.SeqLength; part = part[o.SeqLength+1:] {
				var ids []int32
				for _, c := range part[:o.SeqLength+1] {
					ids = append(ids, int32(slices.Index(chars, c)))
				}
				sequences = append(sequences, ids)
			}
			m.dropped += int64(len(part))
		}
		n := int64(len(sequences))
		pi := dataset.NewPermutation(n, o.Seed, uint64(split))
		ranks := make([][]int32, n)
		for i, ids := range sequences {
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
		want := dataset.Document{Name: d.Name, Bytes: d.Bytes, Chars: int64(len(runes(string(data), o.Unit))), SHA256: digest(data)}
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

// TestModel makes sets of small corpora on both engines, in 1, 3 and 16 shards,
// with blocks and windows of many sizes: all agree with the model, and all of
// one corpus and number of shards are the same, file by file.
func TestModel(t *testing.T) {
	play := strings.Repeat("First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n", 20)
	for _, c := range []struct {
		name   string
		texts  []text
		o      Options
		tenths int // of each document for validation
	}{
		{"one", []text{{"play.txt", play}}, Options{SeqLength: 10, Seed: 1}, 0},
		{"validation", []text{{"play.txt", play}}, Options{SeqLength: 7, Seed: 2, MinCount: 50}, 2},
		{"many", []text{{"a/b.txt", play[:100]}, {"a/c.txt", ""}, {"b.txt", "short"}, {"c.txt", wide(500)}, {"d.txt", play}}, Options{SeqLength: 4, Seed: -5}, 1},
		{"bytes", []text{{"x", wide(300)}, {"y", "\xff\xfe\x80" + play[:50]}}, Options{SeqLength: 12, Unit: vocab.Byte, MinCount: 2}, 3},
		{"invalid", []text{{"x", wide(200) + "\x80\xe2\x82" + wide(9)}, {"y", "\xf0\x9d\x84"}}, Options{SeqLength: 5, InvalidUTF8: "replace"}, 0},
		{"barely", []text{{"x", "abcde"}}, Options{SeqLength: 4}, 0},
		{"long", []text{{"x", play}}, Options{SeqLength: 700}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			docs := write(t, c.texts...)
			c.o.ValidationFraction = float64(c.tenths) / 10
			m := newModel(c.texts, c.o, c.tenths)
			for i, shards := range []int{1, 3, 16} {
				o := c.o
				o.Shards = shards
				o.BlockBytes = []int64{101, 1 << 20, 777}[i]
				o.WindowBytes = []int64{1, 300, 1 << 20}[i]
				first := made(t, "direct", docs, o)
				m.check(t, first, docs, o)
				o.BlockBytes, o.WindowBytes = []int64{1 << 20, 97, 3000}[i], 1<<20
				second := made(t, "prism", docs, o)
				want, got := files(t, first), files(t, second)
				if !maps.Equal(got, want) {
					t.Errorf("%d shards: direct and prism differ:\n%v\n%v", shards, want, got)
				}
				if n := shards + 2; len(want) < n || c.tenths == 0 && len(want) != n {
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
	m := newModel([]text{{docs[0].Name, string(data)}}, o, 0)
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
	if want := "d4a98f4c0d555bd2c235973c5e3736b33e63d00de48d993b1cd6e59880c6b2d9"; sums[0] != want || sums[1] != want {
		t.Errorf("manifest has sha256 %q, want %s", sums, want)
	}
}
