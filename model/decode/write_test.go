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
				err := decode.Write(t.Context(), m, newSamplers(t, len(prompts)), prompts, length, func(text int, id int32) error {
					got[text] = append(got[text], id)
					return nil
				})
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Fatalf("%d streams wrote %v, error %v, want %v", B, got, err, want)
				}
			}
		}
	})
}

func TestWriteRefuses(t *testing.T) {
	w, samplers := weights(rnn.GRU, 1, 4), newSamplers(t, 2)
	count := 0
	emit := func(int, int32) error { count++; return nil }
	cause := errors.New("the pipe is closed")
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		prompts [][]int32
		emit    func(int, int32) error
		want    string
	}{
		{"fewer prompts", t.Context(), [][]int32{{1}}, emit, "decode: 2 samplers for 1 prompts"},
		{"id", t.Context(), [][]int32{{1}, {2, V}}, emit, "decode: id 9 at position 1 of prompt 1 is outside the vocabulary of 9"},
		{"negative id", t.Context(), [][]int32{{-1}, {2}}, emit, "decode: id -1 at position 0 of prompt 0 is outside the vocabulary of 9"},
		{"emit", t.Context(), [][]int32{{1}, {2}}, func(text int, _ int32) error { count++; return cause }, cause.Error()},
		{"cancelled", cancelled, [][]int32{{1}, {2}}, func(text int, _ int32) error { count++; cancel(); return nil }, context.Canceled.Error()},
	} {
		count = 0
		err := decode.Write(c.ctx, decode.New(w, 1), samplers, c.prompts, 100, c.emit)
		if err == nil || err.Error() != c.want || count > 1 {
			t.Errorf("%s: error %v after %d characters, want %s", c.name, err, count, c.want)
		}
	}
	if err := decode.Write(t.Context(), decode.New(w, 1), samplers, [][]int32{{1}, {2}}, 0, emit); err != nil || count != 1 {
		t.Errorf("texts of no characters: error %v", err)
	}
	w.Flat[len(w.Flat)-1] = float32(math.NaN())
	err := decode.Write(t.Context(), decode.New(w, 1), samplers, [][]int32{{1, 2}, {2}}, 1, emit)
	if want := "decode: text 0, character 2: sample: logit of id 8 is NaN"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
