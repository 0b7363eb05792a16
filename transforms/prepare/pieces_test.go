package prepare

import (
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/corpus"
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

func TestPieces(t *testing.T) {
	texts := []text{
		{"a.txt", strings.Repeat("Der Wolf, dreißig Schafe — und ein Hund. ", 60)},
		{"b.txt", ""},
		{"c.txt", "kurz"},
		{"d.txt", strings.Repeat("e\u0301te\u0301 ", 100) + strings.Repeat("No two lines here are the same, said line ", 40)},
	}
	docs := write(t, texts...)
	for _, o := range []Options{
		{SeqLength: 10, ValidationFraction: 0.1},
		{SeqLength: 10, ValidationFraction: 0.2, TestFraction: 0.1, BlockBytes: 37},
		{SeqLength: 7, ValidationFraction: 0.3, TestFraction: 0.2, ValidationBy: "block"},
		{SeqLength: 7, Stride: 3, ValidationFraction: 0.3, ValidationBy: "block", BlockBytes: 41},
		{SeqLength: 7, Stride: 1, ValidationFraction: 0.1, BlockBytes: 5},
		{SeqLength: 20, Unit: vocab.Byte, ValidationFraction: 0.3, ValidationBy: "block", BlockBytes: 100},
		{SeqLength: 10, Normalize: "nfc", ValidationFraction: 0.3, ValidationBy: "block", BlockBytes: 50},
		{SeqLength: 100},
	} {
		var chars []int64
		for _, x := range texts {
			rs, _ := runes(x.text, o)
			chars = append(chars, int64(len(rs)))
		}
		got := map[string][]string{}
		err := Pieces(t.Context(), docs, chars, o, func(p Piece) error {
			if p.Joins {
				got[p.Split][len(got[p.Split])-1] += string(p.Text)
			} else {
				got[p.Split] = append(got[p.Split], string(p.Text))
			}
			return nil
		})
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

// TestPiecesChanged gives documents that are not those of the set.
func TestPiecesChanged(t *testing.T) {
	docs := write(t, text{"a.txt", strings.Repeat("to be or not to be. ", 50)})
	for _, o := range []Options{{SeqLength: 10, ValidationFraction: 0.1}, {SeqLength: 10, ValidationFraction: 0.1, ValidationBy: "block"}} {
		for _, chars := range [][]int64{{999}, {1001}, {}} {
			if err := Pieces(t.Context(), docs, chars, o, func(Piece) error { return nil }); err == nil {
				t.Errorf("%+v: %d characters, but no error", o, chars)
			}
		}
	}
	err := Pieces(t.Context(), []corpus.Document{{Name: "gone.txt", Path: docs[0].Path + "x", Bytes: 4}}, []int64{4}, Options{SeqLength: 1}, func(Piece) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "gone.txt") {
		t.Errorf("a document that is gone: %v", err)
	}
}
