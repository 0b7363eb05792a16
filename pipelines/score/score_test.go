package score_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

var plain = configs.Corpus{Encoding: "utf-8", Newlines: "keep"}

// model saves a GRU with these characters and opens it. With weights, it predicts them with
// probabilities in proportion, whatever it has read; without, it is untrained.
func model(t *testing.T, unit vocab.Unit, normalize, characters string, weights []float64) *text.Model {
	t.Helper()
	m := tiny.Model{Shape: rnn.Shape{Embedding: 3, Hidden: 7}, Vocab: tiny.Vocab(t, unit, characters, false), Normalize: normalize,
		Weigh: tiny.Drawn(1, 5)}
	if weights != nil {
		m.Weigh = tiny.Constant(weights...)
	}
	return tiny.Open(t, m.Save(t, t.TempDir()))
}

// measure returns the characters of a text and what each cost.
func measure(t *testing.T, m *text.Model, r io.Reader) (sum score.Sum, chars []string, nats []float64) {
	t.Helper()
	sums, err := score.Text(t.Context(), []*text.Model{m}, r, plain, func(c score.Char) error {
		chars, nats = append(chars, string(c.Text)), append(nats, slices.Clone(c.Nats)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums[0], chars, nats
}

// TestText: the losses of a model of known probabilities.
func TestText(t *testing.T) {
	m := model(t, vocab.Rune, "none", "abc", []float64{2, 1, 1}) // probabilities 1/2, 1/4, 1/4
	for _, test := range []struct {
		text string
		bits float64 // of all predicted characters together
	}{{"ca", 1}, {"abc", 4}, {"aaaab", 5}} {
		sum, chars, nats := measure(t, m, strings.NewReader(test.text))
		n := len(test.text) - 1
		mean, bits := sum.Mean()
		if sum.Chars != int64(n) || math.Abs(sum.Nats-test.bits*math.Ln2) > 1e-6 ||
			math.Abs(*bits-test.bits/float64(n)) > 1e-6 || *mean != sum.Nats/float64(n) {
			t.Errorf("%s: %+v, %v nats, %v bits", test.text, sum, *mean, *bits)
		}
		if strings.Join(chars, "") != test.text || len(nats) != n {
			t.Errorf("%s: %q, %v", test.text, chars, nats)
		}
	}
	for _, short := range []string{"", "a"} {
		sum, chars, nats := measure(t, m, strings.NewReader(short))
		if mean, bits := sum.Mean(); mean != nil || bits != nil || sum != (score.Sum{}) || len(chars) != len(short) || nats != nil {
			t.Errorf("%q: %+v, %q, %v", short, sum, chars, nats)
		}
	}
}

// TestBlocks: a text of several blocks has the losses of one that is read at once, to the
// last bit: in characters of several bytes, in NFC that is made of parts, and in bytes.
func TestBlocks(t *testing.T) {
	for _, c := range []struct {
		unit      vocab.Unit
		normalize string
	}{{vocab.Rune, "none"}, {vocab.Rune, "nfc"}, {vocab.Byte, "none"}, {vocab.Byte, "nfc"}} {
		for _, shift := range []int{0, 5, 6} { // a block ends in €, between the marks, and in one
			part := "aé€e\u0301\u0327b"
			whole := strings.Repeat("x", shift) + strings.Repeat(part, 70_000/len(part))
			known := whole[:100] + string(corpus.NFC([]byte(whole[:100])))
			m := model(t, c.unit, c.normalize, known, nil)
			in := m.Text([]byte(whole))
			ids, err := m.Vocab.Encode(nil, in)
			if err != nil {
				t.Fatal(err)
			}
			plainModel, want := decode.New(m.Weights, 1), 0.0
			for i := 1; i < len(ids); i++ {
				losses, err := plainModel.Losses(ids[i-1:i], ids[i:i+1])
				if err != nil {
					t.Fatal(err)
				}
				want += losses[0]
			}
			r := io.Reader(strings.NewReader(whole))
			if shift == 6 {
				r = iotest.HalfReader(r)
			}
			sum, chars, _ := measure(t, m, r)
			if sum.Nats != want || sum.Chars != int64(len(ids)-1) || strings.Join(chars, "") != string(in) {
				t.Errorf("%s, %s, %d: %+v, want %v nats over %d characters", c.unit, c.normalize, shift, sum, want, len(ids)-1)
			}
		}
	}
}

// TestRefuses: an error says the place in the whole text.
func TestRefuses(t *testing.T) {
	m := model(t, vocab.Rune, "none", "aé", nil)
	var missing *vocab.CharError
	long := strings.Repeat("é", 70_000)
	_, err := score.Text(t.Context(), []*text.Model{m}, strings.NewReader(long+"x"), plain, nil)
	if !errors.As(err, &missing) || missing.Index != 70_000 || missing.Byte != 140_000 ||
		!strings.Contains(err.Error(), "text: score: vocab: character 'x' (U+0078) at position 70000 (byte 140000)") {
		t.Errorf("a character that the model lacks: %v", err)
	}
	_, err = score.Text(t.Context(), []*text.Model{m}, strings.NewReader("a\xff"), plain, nil)
	if err == nil || !strings.Contains(err.Error(), "byte 1 of the text is not valid UTF-8") {
		t.Errorf("a byte that is no text: %v", err)
	}
	_, err = score.Text(t.Context(), []*text.Model{m}, strings.NewReader("a\xd9"), configs.Corpus{Encoding: "windows-1255", Newlines: "keep"}, nil)
	if err == nil || err.Error() != "text: byte 1 (0xd9) is not valid windows-1255, the first of 1" {
		t.Errorf("a byte that the encoding lacks: %v", err)
	}
	broken := errors.New("the disk is broken")
	if _, err := score.Text(t.Context(), []*text.Model{m}, iotest.ErrReader(broken), plain, nil); !errors.Is(err, broken) {
		t.Errorf("a reader that fails: %v", err)
	}
	cut := io.MultiReader(strings.NewReader("aa"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := score.Text(t.Context(), []*text.Model{m}, cut, plain, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a text that is cut off: %v", err)
	}
	_, err = score.Text(t.Context(), []*text.Model{m}, strings.NewReader("aa"), plain, func(score.Char) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("a visitor that fails: %v", err)
	}
	for _, other := range []*text.Model{model(t, vocab.Rune, "nfc", "aé", nil), model(t, vocab.Byte, "none", "aé", nil)} {
		_, err := score.Text(t.Context(), []*text.Model{m, other}, strings.NewReader("a"), plain, nil)
		if !errors.Is(err, score.ErrUnlike) || !strings.Contains(err.Error(), other.Path) {
			t.Errorf("models that read another text: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = score.Text(ctx, []*text.Model{m}, strings.NewReader(long), plain, func(score.Char) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	m.Bytes = 1 << 60
	var short *memory.ShortError
	_, err = score.Text(t.Context(), []*text.Model{m}, strings.NewReader("a"), plain, nil)
	if !errors.As(err, &short) || short.Work != "to score with "+m.Path {
		t.Errorf("a model that is too large: %v", err)
	}
}

// TestCompare: two models read one text, each as it does alone, and the passages on which
// they differ most are found.
func TestCompare(t *testing.T) {
	a := model(t, vocab.Rune, "none", "ab", []float64{1, 1})     // 1 bit each
	b := model(t, vocab.Rune, "none", "abc", []float64{8, 4, 4}) // 1 and 2 bits
	block := func(n int) string { return strings.Repeat("a", 48-n) + strings.Repeat("b", n) }
	var p score.Passages
	p.Begin("one")
	var order []string
	for i, n := range []int{3, 0, 9, 1, 30, 2, 7} {
		order = append(order, fmt.Sprint(48*i, " ", n))
		sums, err := score.Text(t.Context(), []*text.Model{a, b}, strings.NewReader("a"+block(n)), plain, func(c score.Char) error {
			if c.Nats != nil {
				p.Add(c)
			}
			return nil
		})
		if err != nil || math.Abs(sums[0].Nats-48*math.Ln2) > 1e-4 || math.Abs(sums[1].Nats-float64(48+n)*math.Ln2) > 1e-4 {
			t.Errorf("%d: %+v, %v", n, sums, err)
		}
	}
	p.Begin("two")
	p.Add(score.Char{Text: []byte("x")}) // no prediction, no passage
	most := p.Most()
	var got []string
	for _, m := range most {
		got = append(got, fmt.Sprint(m.At, " ", strings.Count(m.Text, "b")))
		want := 1 + float64(strings.Count(m.Text, "b"))/48
		if m.File != "one" || math.Abs(m.Bits[0]-1) > 1e-6 || math.Abs(m.Bits[1]-want) > 1e-6 || len(m.Text) != 48 {
			t.Errorf("%+v, want 1 and %v bits", m, want)
		}
	}
	if want := []string{order[4], order[2], order[6], order[0], order[5]}; !slices.Equal(got, want) {
		t.Errorf("the passages are %q, want %q", got, want)
	}
}

// TestShortPassage: the last passage of a text is as long as what is left, counts its text from
// its own beginning, and stands behind an earlier one of the same gap.
func TestShortPassage(t *testing.T) {
	var p score.Passages
	add := func(text string, a, b float64) {
		for _, c := range text {
			p.Add(score.Char{Text: []byte(string(c)), Nats: []float64{a * math.Ln2, b * math.Ln2}})
		}
	}
	p.Begin("one")
	add(strings.Repeat("o", 48), 1, 1)
	add("né", 1, 4)
	p.Begin("two")
	p.Add(score.Char{Text: []byte("t")}) // without a prediction: it belongs to the passage that it begins
	add("wo", 4, 2)
	want := []score.Passage{{File: "one", At: 48, Text: "né", Bits: [2]float64{1, 4}}, {File: "two", Text: "two", Bits: [2]float64{4, 2}},
		{File: "one", Text: strings.Repeat("o", 48), Bits: [2]float64{1, 1}}}
	got := p.Most()
	if len(got) != len(want) {
		t.Fatalf("%+v, want %+v", got, want)
	}
	for i, m := range got {
		w := want[i]
		if m.File != w.File || m.At != w.At || m.Text != w.Text || math.Abs(m.Bits[0]-w.Bits[0])+math.Abs(m.Bits[1]-w.Bits[1]) > 1e-9 {
			t.Errorf("passage %d is %+v, want %+v", i, m, w)
		}
	}
}
