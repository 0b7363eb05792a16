package text_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// inWindows returns the mean loss of texts in windows, a decoder for each, and the number of
// characters that are predicted.
func inWindows(t *testing.T, m *text.Model, window int, parts ...string) (nats float64, chars int64) {
	t.Helper()
	for _, part := range parts {
		ids, err := m.Vocab.Encode(nil, []byte(part))
		if err != nil {
			t.Fatal(err)
		}
		for from := 0; from+1 < len(ids); from += window {
			d := decode.New(m.Weights, 1)
			for i := from; i < min(from+window, len(ids)-1); i++ {
				losses, err := d.Losses(ids[i:i+1], ids[i+1:i+2])
				if err != nil {
					t.Fatal(err)
				}
				nats += losses[0]
				chars++
			}
		}
	}
	return nats / float64(chars), chars
}

// TestEvaluateWindows measures each split of a set of three documents: windows begin with each
// document's part, and the figure beside them stays.
func TestEvaluateWindows(t *testing.T) {
	const letters = "abcdefghijklmnopqrstuvw"
	documents := map[string]string{}
	for name, n := range map[string]int{"a.txt": 400, "b.txt": 9, "c.txt": 97} {
		for i := range n {
			documents[name] += letters[i*i%23:][:1]
		}
	}
	a, c := documents["a.txt"], documents["c.txt"]
	set := prepared(t, tiny.Documents(t, documents, "prep.validation.fraction=0.2", "prep.test.fraction=0.15"))
	known := tiny.Vocab(t, vocab.Rune, a, false)
	for _, cell := range rnn.Cells() {
		m := open(t, tiny.Model{Shape: rnn.Shape{Cell: cell, Layers: 2, Hidden: 7}, Vocab: known, Weigh: tiny.Drawn(3, 4)}.Save(t, t.TempDir()))
		for split, parts := range map[string][]string{"train": {a[:253], c[:55]}, "validation": {a[260:][:77], c[62:][:11]}, "test": {a[340:][:55], c[82:][:11]}} {
			carried, err := text.Evaluate(t.Context(), m, set, split)
			if err != nil || carried.Windowed != nil {
				t.Fatalf("%+v, %v", carried, err)
			}
			for _, window := range []int{1, 9, 10, 11, 54, 76, 77, 256, 65536} {
				r, err := text.EvaluateWindows(t.Context(), m, set, split, window)
				if err != nil {
					t.Fatal(err)
				}
				want, chars := inWindows(t, m, window, parts...)
				w := r.Windowed
				if w.WindowChars != window || !(math.Abs(w.NatsPerChar-want) <= 1e-12) || w.BitsPerChar != w.NatsPerChar/math.Ln2 || r.Chars != chars {
					t.Errorf("%s, %s, windows of %d: %+v over %d characters, want %v nats over %d", cell, split, window, w, r.Chars, want, chars)
				}
				if line := fmt.Sprintf("\n%.4f nats, %.4f bits a character over the same characters in windows of %d, each read from nothing",
					want, want/math.Ln2, window); r.String() != carried.String()+line {
					t.Errorf("%s, want after\n%s%s", r, carried, line)
				}
				if window < 54 && w.NatsPerChar == r.NatsPerChar {
					t.Errorf("%s, %s, windows of %d: %v nats, as carried", cell, split, window, w.NatsPerChar)
				}
				if r.Windowed = nil; !reflect.DeepEqual(r, carried) {
					t.Errorf("%s, windows of %d: %+v, without %+v", split, window, r, carried)
				}
			}
		}
	}
}

// TestEvaluateWindowsApart: sequences that do not follow one another are texts of their own, and no
// window is longer.
func TestEvaluateWindowsApart(t *testing.T) {
	long := strings.Repeat(tiny.Line(), 3)
	m := open(t, tiny.Model{Vocab: tiny.Vocab(t, vocab.Rune, long, false), Weigh: tiny.Drawn(3, 4)}.Save(t, t.TempDir()))
	for _, how := range [][]string{{"prep.validation.by=block"}, {"prep.stride=5"}, {"prep.validation.by=block", "prep.stride=5"}} {
		set := prepared(t, tiny.Config(t, long, how...))
		r, err := text.EvaluateWindows(t.Context(), m, set, "", 10)
		if err != nil || r.Windowed.NatsPerChar != r.NatsPerChar || r.Chars%10 != 0 {
			t.Errorf("%s, windows of whole sequences: %+v, %v", how, r, err)
		}
		if r, err = text.EvaluateWindows(t.Context(), m, set, "", 9); err != nil || r.Windowed.NatsPerChar == r.NatsPerChar {
			t.Errorf("%s, windows of 9: %+v, %v", how, r, err)
		}
		_, err = text.EvaluateWindows(t.Context(), m, set, "", 11)
		var wrong *text.WindowError
		if want := fmt.Sprintf("text: windows of 11 characters: the sequences of the set %s do not follow one another, and each predicts 10 characters",
			set); !errors.As(err, &wrong) || wrong.SeqLength != 10 || err.Error() != want {
			t.Errorf("%s: %v, want %s", how, err, want)
		}
	}
	for _, window := range []int{-1, 65537} {
		_, err := text.EvaluateWindows(t.Context(), m, t.TempDir(), "", window)
		if want := fmt.Sprintf("text: a window of %d characters, want 1 to 65536", window); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
