package decode_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
)

// prompts differ in length; the third is empty.
var prompts = [][]int32{{1, 2, 3}, {4}, {}, {5, 6, 7, 8, 0}, {2, 2}}

func newSamplers(t testing.TB, n int) []*sample.Sampler {
	t.Helper()
	var list []*sample.Sampler
	for i := range n {
		s, err := sample.New(sample.Options{Temperature: 1, TopP: 1}, 3, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// TestWrite compares texts that are written side by side with a plain loop that
// writes each of them alone.
func TestWrite(t *testing.T) {
	const length = 7
	models(t, func(t *testing.T, w *rnn.Weights) {
		var want [][]int32
		for i, s := range newSamplers(t, len(prompts)) {
			m, logits, text := decode.New(w, 1), make([]float32, V), []int32(nil)
			for at := 0; at < len(prompts[i])+length; at++ {
				var id int32
				var err error
				if at < len(prompts[i]) {
					id = prompts[i][at]
				} else if id, err = s.Next(logits); err != nil {
					t.Fatal(err)
				} else {
					text = append(text, id)
				}
				if logits, err = m.Step([]int32{id}); err != nil {
					t.Fatal(err)
				}
			}
			want = append(want, text)
		}
		for _, B := range []int{1, 2, 4, 5, 7} {
			m := decode.New(w, B)
			for range 2 { // the second time the streams still have the hidden of the first
				got := make([][]int32, len(prompts))
				err := decode.Write(t.Context(), m, newTexts(t, prompts, length, func(text int, id int32) bool {
					got[text] = append(got[text], id)
					return true
				}))
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%d streams wrote %v, error %v, want %v", B, got, err, want)
				}
			}
		}
	})
}

// newTexts returns texts of the samplers that newSamplers returns.
func newTexts(t testing.TB, prompts [][]int32, length int, emit func(text int, id int32) bool) []*decode.Text {
	var list []*decode.Text
	for i, s := range newSamplers(t, len(prompts)) {
		list = append(list, &decode.Text{Prompt: prompts[i], Length: length, Sampler: s, Emit: func(c decode.Char) bool { return emit(i, c.ID) }})
	}
	return list
}

func TestWriteRefuses(t *testing.T) {
	w := weights(rnn.GRU, 1, 4)
	for _, c := range []struct {
		prompts [][]int32
		want    string
	}{
		{[][]int32{{1}, {2, V}}, "decode: id 9 at position 1 of the prompt is outside the vocabulary of 9, in text 1"},
		{[][]int32{{-1}, {2}}, "decode: id -1 at position 0 of the prompt is outside the vocabulary of 9, in text 0"},
	} {
		err := decode.Write(t.Context(), decode.New(w, 1), newTexts(t, c.prompts, 9, func(int, int32) bool { t.Error("a character was drawn"); return true }))
		if err == nil || err.Error() != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	count := 0
	err := decode.Write(cancelled, decode.New(w, 1), newTexts(t, [][]int32{{1}, {2}}, 9, func(int, int32) bool { count++; cancel(); return true }))
	if !errors.Is(err, context.Canceled) || count != 1 {
		t.Errorf("cancelled: error %v after %d characters", err, count)
	}
	ends := 0
	texts := newTexts(t, [][]int32{{1}, {}}, 0, func(int, int32) bool { t.Error("a text of no length has a character"); return true })
	for _, text := range texts {
		text.End = func(err error) { ends++ }
	}
	if err := decode.Write(t.Context(), decode.New(w, 1), texts); err != nil || ends != 2 {
		t.Errorf("texts of no characters: error %v, %d ends", err, ends)
	}
	w.Flat[len(w.Flat)-1] = float32(math.NaN())
	for B := 1; B <= 2; B++ { // side by side, both fail in one step
		err = decode.Write(t.Context(), decode.New(w, B), newTexts(t, [][]int32{{2}, {1}}, 1, func(int, int32) bool { return true }))
		if want := "decode: character 1: sample: logit of id 8 is NaN, in text 0"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}
