package prepare

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/vocab"
)

// stretchesOf returns the text of a set's sequences by the shortest code: of each
// split, the stretches that follow one another in a document without a gap.
func stretchesOf(texts []text, o Options) map[string][]string {
	names := []string{"train", "validation", "test"}
	out := map[string][]string{}
	stride := o.Stride
	if stride == 0 {
		stride = o.SeqLength + 1
	}
	for _, x := range texts {
		rs, _ := runes(x.text, o)
		stretches, splits := parts(rs, o)
		last, end, at := "", -1, 0
		for i, part := range stretches {
			covered := 0
			for start := 0; start+o.SeqLength < len(part); start += stride {
				covered = start + o.SeqLength + 1
			}
			if covered > 0 {
				name, s := names[splits[i]], shown(part[:covered], o)
				if n := len(out[name]); last == name && end == at {
					out[name][n-1] += s
				} else {
					out[name] = append(out[name], s)
				}
				last, end = name, at+covered
			}
			at += len(part)
		}
	}
	return out
}

// shown is characters as a document has them.
func shown(rs []rune, o Options) string {
	if o.Unit != vocab.Byte {
		return string(rs)
	}
	b := make([]byte, len(rs))
	for i, r := range rs {
		b[i] = byte(r)
	}
	return string(b)
}

func TestSplitText(t *testing.T) {
	texts := []text{
		{"a.txt", strings.Repeat("Der Wolf, dreißig Schafe — und ein Hund. ", 60)},
		{"b.txt", ""},
		{"c.txt", "kurz"},
		{"d.txt", strings.Repeat("e\u0301te\u0301 ", 100) + strings.Repeat("No two lines here are the same, said line ", 40)},
	}
	docs := write(t, texts...)
	for _, o := range []Options{
		{SeqLength: 10, ValidationFraction: 0.1},
		{SeqLength: 10, ValidationFraction: 0.2, TestFraction: 0.1, RangeBytes: 37},
		{SeqLength: 7, ValidationFraction: 0.3, TestFraction: 0.2, ValidationBy: "block"},
		{SeqLength: 7, Stride: 3, ValidationFraction: 0.3, ValidationBy: "block", RangeBytes: 41},
		{SeqLength: 7, Stride: 1, ValidationFraction: 0.1, RangeBytes: 5},
		{SeqLength: 20, Unit: vocab.Byte, ValidationFraction: 0.3, ValidationBy: "block", RangeBytes: 100},
		{SeqLength: 10, Normalize: "nfc", ValidationFraction: 0.3, ValidationBy: "block", RangeBytes: 50},
		{SeqLength: 100},
	} {
		var chars []int64
		for _, x := range texts {
			rs, _ := runes(x.text, o)
			chars = append(chars, int64(len(rs)))
		}
		got := map[string][]string{}
		c := o.complete(corpus.Bytes(docs))
		w := &walker{rule: c.rule(), form: c.form(), rangeBytes: c.RangeBytes, visit: func(x Text) error {
			if x.Continues {
				got[x.Split][len(got[x.Split])-1] += string(x.Bytes)
			} else {
				got[x.Split] = append(got[x.Split], string(x.Bytes))
			}
			return nil
		}}
		err := w.walk(t.Context(), docs, chars)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
		}
		want := stretchesOf(texts, o)
		for _, split := range []string{"train", "validation", "test"} {
			if !slices.Equal(got[split], want[split]) {
				t.Errorf("%+v: %s is\n%.300q\nwant\n%.300q", o, split, got[split], want[split])
			}
		}
	}
}

// TestSplitTextChanged gives documents that are not those of the set, and a manifest
// without a valid rule.
func TestSplitTextChanged(t *testing.T) {
	docs := write(t, text{"a.txt", strings.Repeat("to be or not to be. ", 50)})
	manifest := func(by string, chars ...int64) *dataset.Manifest {
		m := &dataset.Manifest{SeqLength: 10, Unit: "rune", Normalize: "none"}
		m.Validation.Fraction, m.Validation.By = 0.1, by
		for _, n := range chars {
			m.Documents = append(m.Documents, dataset.Document{Chars: n})
		}
		return m
	}
	ignore := func(Text) error { return nil }
	for _, by := range []string{"tail", "block"} {
		if err := SplitText(t.Context(), docs, manifest(by, 1000), ignore); err != nil {
			t.Errorf("by %s: %v", by, err)
		}
		for _, m := range []*dataset.Manifest{manifest(by, 999), manifest(by, 1001), manifest(by), manifest(by+"s", 1000)} {
			if err := SplitText(t.Context(), docs, m, ignore); err == nil || !strings.HasPrefix(err.Error(), "prepare: ") {
				t.Errorf("%+v: %v", m, err)
			}
		}
	}
	if _, err := corpus.Digests(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	if err := SplitText(t.Context(), docs, manifest("tail", 1000), ignore); err != nil {
		t.Errorf("digested: %v", err)
	}
	if err := os.WriteFile(docs[0].Path, []byte(strings.Repeat("or not to be to be. ", 50)), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := SplitText(t.Context(), docs, manifest("tail", 1000), ignore); !errors.Is(err, ErrChanged) {
		t.Errorf("other text of as many characters: %v", err)
	}
	two := write(t, text{"a.txt", strings.Repeat("to be or not to be. ", 50)}, text{"b.txt", strings.Repeat("that is the question", 20)})
	if _, err := corpus.Digests(t.Context(), two); err != nil {
		t.Fatal(err)
	}
	if err := SplitText(t.Context(), two, manifest("tail", 1000, 400), ignore); err != nil {
		t.Errorf("two digested documents: %v", err)
	}
	if err := os.WriteFile(two[1].Path, []byte(strings.Repeat("that is the answer, ", 20)), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := SplitText(t.Context(), two, manifest("tail", 1000, 400), ignore); !errors.Is(err, ErrChanged) ||
		!strings.HasPrefix(err.Error(), "prepare: b.txt: ") {
		t.Errorf("another text in the second: %v", err)
	}
	err := SplitText(t.Context(), []corpus.Document{{Name: "gone.txt", Path: docs[0].Path + "x", Bytes: 4}}, manifest("tail", 4), ignore)
	if err == nil || !strings.Contains(err.Error(), "gone.txt") {
		t.Errorf("a document that is gone: %v", err)
	}
}
