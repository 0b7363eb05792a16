package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestAdjustedDraws pins draws with bias, penalty, ban and min-p. A few lines of Python,
// with Python's exp and SplitMix64, gave them, and those of TestDraws too.
func TestAdjustedDraws(t *testing.T) {
	logits := testLogits(13, 2)
	for _, c := range []struct {
		name   string
		o      Options
		seed   int64
		stream uint64
		prompt []int32
		want   []int32
	}{
		{"min_p", Options{Temperature: 1, TopP: 1, MinP: 0.3}, 0, 0, nil, []int32{0, 7, 1, 7, 6, 1, 7, 0, 0, 6}},
		{"min_p after top_p", Options{Temperature: 1.5, TopP: 0.9, MinP: 0.5}, 0, 0, nil, []int32{6, 1, 6, 1, 7, 6, 1, 6, 6, 7}},
		{"penalty", Options{Temperature: 1, TopP: 1, RepetitionPenalty: 1.8}, 0, 0, []int32{6}, []int32{0, 10, 1, 9, 7, 2, 8, 1, 1, 6}},
		{"penalty below 1", Options{Temperature: 0.5, TopP: 1, RepetitionPenalty: 0.5}, 0, 0, nil, []int32{0, 7, 0, 7, 0, 0, 7, 0, 0, 0}},
		{"greedy penalty", Options{TopP: 1, RepetitionPenalty: 1.3}, 0, 0, nil, []int32{6, 0, 6, 6, 6, 6, 6, 6, 6, 6}},
		{"penalty of 1", Options{Temperature: 1, TopP: 1, RepetitionPenalty: 1}, 0, 0, []int32{6}, []int32{0, 10, 1, 8, 6, 2, 8, 0, 0, 6}},
		{"ban", Options{Temperature: 1, TopP: 1, Ban: []int32{0, 6}}, 0, 0, nil, []int32{1, 11, 2, 9, 7, 3, 9, 1, 1, 7}},
		{"greedy ban", Options{TopP: 1, Ban: []int32{6}}, 0, 0, nil, []int32{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{"bias", Options{Temperature: 1, TopP: 1, Bias: map[int32]float64{3: 3, 6: -100}}, 0, 0, nil, []int32{0, 10, 3, 8, 3, 3, 7, 1, 1, 3}},
		{"all", Options{Temperature: 0.8, TopK: 8, TopP: 0.95, MinP: 0.05, RepetitionPenalty: 1.4, Ban: []int32{1}, Bias: map[int32]float64{2: 1.5}},
			11, 2, []int32{7, 0}, []int32{2, 7, 8, 2, 6, 6, 0, 2, 7, 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustNew(t, c.o, c.seed, c.stream)
			for _, id := range c.prompt {
				s.See(id)
			}
			if got := draw(t, s, logits, 10); !slices.Equal(got, c.want) {
				t.Errorf("drew %v, want %v", got, c.want)
			}
			if !slices.Equal(logits, testLogits(13, 2)) {
				t.Error("Next has changed the logits")
			}
		})
	}
}

// naive is the package comment in float64, step by step, without a thought of speed.
func naive(o Options, logits []float32, seen map[int32]bool) []float64 {
	V := len(logits)
	l := make([]float64, V)
	for i := range l {
		l[i] = float64(logits[i])
		if b, ok := o.Bias[int32(i)]; ok {
			l[i] = float64(float32(l[i] + b))
		}
		if p := o.RepetitionPenalty; p != 0 && seen[int32(i)] {
			if l[i] < 0 {
				l[i] = float64(float32(l[i] * p))
			} else {
				l[i] = float64(float32(l[i] / p))
			}
		}
		if slices.Contains(o.Ban, int32(i)) {
			l[i] = math.Inf(-1)
		}
	}
	order := make([]int, V)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case l[a] > l[b]:
			return -1
		case l[a] < l[b]:
			return 1
		}
		return 0
	})
	out := make([]float64, V)
	if o.Temperature == 0 {
		out[order[0]] = 1
		return out
	}
	if o.TopK > 0 {
		order = order[:min(o.TopK, V)]
	}
	softmax := func() {
		var sum float64
		top := l[order[0]]
		clear(out)
		for _, i := range order {
			out[i] = math.Exp((l[i] - top) / o.Temperature)
			sum += out[i]
		}
		for i := range out {
			out[i] /= sum
		}
	}
	softmax()
	for n, sum := 0, 0.0; o.TopP < 1 && n < len(order); n++ {
		if sum += out[order[n]]; sum >= o.TopP {
			order = order[:n+1]
		}
	}
	softmax()
	for n := len(order) - 1; n > 0 && out[order[n]] < o.MinP*out[order[0]]; n-- {
		order = order[:n]
	}
	softmax()
	return out
}

// TestNaive compares distributions with the naive ones, for random options and logits.
func TestNaive(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		V := 2 + r.IntN(20)
		o := Options{Temperature: []float64{0, 0.5, 1, 2.5}[r.IntN(4)], TopK: r.IntN(2) * r.IntN(V+2), TopP: 1 - 0.9*r.Float64()*float64(r.IntN(2)),
			MinP: r.Float64() * float64(r.IntN(2)), RepetitionPenalty: []float64{0, 0.7, 1, 1.3, 10}[r.IntN(5)]}
		logits, seen := make([]float32, V), map[int32]bool{}
		for i := range logits {
			logits[i] = float32(r.NormFloat64() * 3)
		}
		s := mustNew(t, o, 1, 0)
		if r.IntN(2) == 0 {
			o.Bias = map[int32]float64{int32(r.IntN(V)): r.NormFloat64() * 5, int32(r.IntN(V)): 2}
			o.Ban = []int32{int32(r.IntN(V))}
			s = mustNew(t, o, 1, 0)
		}
		for range r.IntN(6) {
			id := int32(r.IntN(V))
			seen[id] = true
			s.See(id)
		}
		got, err := probabilities(s, logits)
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range naive(o, logits, seen) {
			if math.Abs(got[id]-want) > 1e-12 {
				t.Fatalf("%+v, seen %v, of %v: probability %d is %v, want %v", o, seen, logits, id, got[id], want)
			}
		}
		drawn, err := s.Next(logits)
		if err != nil || got[drawn] == 0 || slices.Contains(o.Ban, drawn) {
			t.Fatalf("%+v: drew %d of probability %v, %v", o, drawn, got[drawn], err)
		}
	}
}

// TestMinPKeepsEquals: a character that has the share exactly stays.
func TestMinPKeepsEquals(t *testing.T) {
	p, err := probabilities(mustNew(t, Options{Temperature: 1, TopP: 1, MinP: 1}, 1, 0), []float32{2, 1, 2})
	if err != nil || !slices.Equal(p, []float64{0.5, 0, 0.5}) {
		t.Errorf("probabilities %v, %v", p, err)
	}
}

// TestAdjustErrors: an id that there is not, and logits that a bias or a penalty makes
// infinite, are errors that use up no random number.
// TestTopPReached: the shortest prefix whose sum is p stays, also where it is p exactly.
func TestTopPReached(t *testing.T) {
	for _, k := range []int{0, 2} { // of all ids, and of those that top-k has left
		p, err := probabilities(mustNew(t, Options{Temperature: 1, TopP: 0.5, TopK: k}, 1, 0), []float32{float32(math.Inf(-1)), 3, 3})
		if err != nil || !slices.Equal(p, []float64{0, 1, 0}) {
			t.Errorf("top-k %d: probabilities %v, %v", k, p, err)
		}
	}
}

func TestAdjustErrors(t *testing.T) {
	logits := []float32{1, math.MaxFloat32, -2}
	for want, o := range map[string]Options{
		"bias of id 3, which is outside the vocabulary of 3":  {Bias: map[int32]float64{3: 1}},
		"bias of id -1, which is outside the vocabulary of 3": {Bias: map[int32]float64{-1: 1, 7: 1}},
		"ban of id 3, which is outside the vocabulary of 3":   {Ban: []int32{3}},
		"ban of id -1, which is outside the vocabulary of 3":  {Ban: []int32{1, -1}},
		"none of 3 logits is above -Inf":                      {Ban: []int32{1, 0, 2}},
		"logit of id 1 is +Inf":                               {RepetitionPenalty: 0.1},
		"logit of id 0 is +Inf":                               {Bias: map[int32]float64{0: math.MaxFloat64}},
	} {
		o.TopP, o.Temperature = 1, 1
		s := mustNew(t, o, 1, 0)
		for id := range int32(3) {
			s.See(id)
		}
		before := s.random
		if _, err := s.Next(logits); err == nil || err.Error() != "sample: "+want || s.random != before {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
	if got := fmt.Sprint(mustNew(t, Options{TopP: 1, RepetitionPenalty: 2}, 1, 0).adjust.seen); !strings.Contains(got, "[]") {
		t.Errorf("a new sampler has seen %v", got)
	}
}
