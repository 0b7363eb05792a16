package score_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/memory"
	"github.com/quire-ml/quire/transforms/vocab"
)

// adapt returns the sums of models and of those that learn, and what each character cost them.
func adapt(t *testing.T, rate float64, in string, models ...*text.Model) (sums []score.Sum, nats [][]float64) {
	t.Helper()
	sums, err := score.Adapt(t.Context(), models, strings.NewReader(in), plain, rate, func(c score.Char) error {
		nats = append(nats, slices.Clone(c.Nats))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums, nats
}

// TestAdapt: the plain losses are those of Text, and those beside them are of train.Adaptive. Two
// models learn as each does alone, a second text as if there had been no first, and the models
// stay as they are.
func TestAdapt(t *testing.T) {
	const rate = 0.3
	a, b := model(t, vocab.Rune, "none", "abc", nil), model(t, vocab.Rune, "none", "abcd", nil)
	in := strings.Repeat("abcabbbcca", 30)
	before := [][]float32{slices.Clone(a.Weights.Flat), slices.Clone(b.Weights.Flat)}
	sums, nats := adapt(t, rate, in, a, b)
	if len(sums) != 4 || len(nats) != len(in) || nats[0] != nil {
		t.Fatalf("%d sums, %d characters, of the first %v", len(sums), len(nats), nats[0])
	}
	for i, m := range []*text.Model{a, b} {
		alone, _, list := measure(t, m, strings.NewReader(in))
		ids, err := m.Vocab.Encode(nil, []byte(in))
		if err != nil {
			t.Fatal(err)
		}
		own, err := train.NewAdaptive(m.Weights, rate)
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		learned := 0.0
		for k := 1; k < len(ids); k++ {
			losses, err := own.Losses(ids[k-1:k], ids[k:k+1])
			if err != nil {
				t.Fatal(err)
			}
			learned += losses[0]
			if want := []float64{list[k-1], losses[0]}; nats[k][i] != want[0] || nats[k][2+i] != want[1] {
				t.Fatalf("model %d, character %d: %v, want %v", i, k, nats[k], want)
			}
		}
		if want := (score.Sum{Nats: learned, Chars: alone.Chars}); sums[i] != alone || sums[2+i] != want || learned == alone.Nats {
			t.Errorf("model %d: %+v and %+v, want %+v and %+v", i, sums[i], sums[2+i], alone, want)
		}
		if again, _ := adapt(t, rate, in, m); again[1] != sums[2+i] {
			t.Errorf("model %d: %+v, a second time and alone %+v", i, sums[2+i], again[1])
		}
		if !slices.Equal(m.Weights.Flat, before[i]) {
			t.Errorf("model %d has changed", i)
		}
	}
}

// TestAdaptShort: nothing is learned before the first passage has been read.
func TestAdaptShort(t *testing.T) {
	m := model(t, vocab.Rune, "none", "abc", nil)
	for _, chars := range []int{0, 1, 2, train.AdaptChars, train.AdaptChars + 1, train.AdaptChars + 2} {
		sums, _ := adapt(t, 0.3, strings.Repeat("abc", 99)[:chars], m)
		if same := chars < train.AdaptChars+2; (sums[0] == sums[1]) != same {
			t.Errorf("%d characters: %+v", chars, sums)
		}
	}
}

// TestAdaptRefuses: a rate that is none, one that is too large for the text, and too little
// memory.
func TestAdaptRefuses(t *testing.T) {
	m := model(t, vocab.Rune, "none", "ab", nil)
	for _, rate := range []float64{0, -0.1, 10.1, math.NaN(), math.Inf(1)} {
		_, err := score.Adapt(t.Context(), []*text.Model{m}, strings.NewReader("ab"), plain, rate, nil)
		if want := fmt.Sprintf("score: the learning rate is %g, want above 0 and at most 10", rate); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// Where all weights are zero, the gradient is that of the last bias alone, (-½, ½): after a passage of a
	// and a step of rate r, a b costs ln(1+exp(r)) nats, and ln 2 without.
	even := model(t, vocab.Rune, "none", "ab", []float64{1, 1})
	turn := strings.Repeat("a", train.AdaptChars+1) + strings.Repeat("b", train.AdaptChars)
	sums, _ := adapt(t, 1, turn, even)
	if want := train.AdaptChars * (math.Ln2 + math.Log(1+math.E)); math.Abs(sums[1].Nats-want) > 1e-4 {
		t.Errorf("%v nats, want %v", sums[1].Nats, want)
	}
	var wrong *score.AdaptError
	_, err := score.Adapt(t.Context(), []*text.Model{even}, strings.NewReader(turn+"a"), plain, 1.2, nil)
	if want := fmt.Sprintf("score: %s, which learns at a rate of 1.2, at character %d: a passage costs 1.463 nats a character; the model that does not learn pays 0.6931", even.Path, len(turn)); err == nil || err.Error() != want || !errors.As(err, &wrong) {
		t.Errorf("%v, want %s", err, want)
	}
	broken := model(t, vocab.Rune, "none", "ab", nil)
	broken.Weights.Flat[0] = float32(math.NaN())
	var diverged *train.DivergedError
	_, err = score.Adapt(t.Context(), []*text.Model{broken}, strings.NewReader(turn), plain, 0.1, nil)
	if !errors.As(err, &wrong) || wrong.Chars != train.AdaptChars+1 || errors.As(err, &diverged) {
		t.Errorf("a model whose losses are NaN: %v", err)
	}
	room := memory.Limit() - 4*int64(len(m.Weights.Flat)) - decode.Memory(m.Weights.Shape, 1)
	for _, c := range []struct {
		bytes        int64
		plain, adapt bool
	}{{room, true, false}, {room - train.AdaptiveMemory(m.Weights.Shape), true, true}, {room + 1, false, false}} {
		m.Bytes = c.bytes
		_, err1 := score.Text(t.Context(), []*text.Model{m}, strings.NewReader("a"), plain, nil)
		_, err2 := score.Adapt(t.Context(), []*text.Model{m}, strings.NewReader("a"), plain, 0.1, nil)
		var short *memory.ShortError
		if got := []bool{err1 == nil, err2 == nil}; !reflect.DeepEqual(got, []bool{c.plain, c.adapt}) || !c.adapt && !errors.As(err2, &short) {
			t.Errorf("%d bytes: %v, %v", c.bytes, err1, err2)
		}
	}
}
