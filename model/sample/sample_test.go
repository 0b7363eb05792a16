package sample

import (
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func mustNew(t testing.TB, o Options, seed int64, stream uint64) *Sampler {
	t.Helper()
	s, err := New(o, seed, stream)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func options(temperature float64, topK int, topP float64) Options {
	return Options{Temperature: temperature, TopK: topK, TopP: topP}
}

// testLogits are V logits in ±range, all different, from a fixed formula.
func testLogits(V int, width float32) []float32 {
	out := make([]float32, V)
	for i := range out {
		out[i] = width * (float32((i*37+11)%V)/float32(V)*2 - 1)
	}
	return out
}

func draw(t testing.TB, s *Sampler, logits []float32, n int) []int32 {
	t.Helper()
	var out []int32
	for i := 0; i < n; i++ {
		id, err := s.Next(logits)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, id)
	}
	return out
}

// TestDraws pins the draws, which are the same on every processor. A few lines of
// Python, with Python's exp and SplitMix64, gave them too.
func TestDraws(t *testing.T) {
	logits := testLogits(13, 2)
	for _, c := range []struct {
		name   string
		o      Options
		seed   int64
		stream uint64
		want   []int32
	}{
		{"plain", Options{Temperature: 1, TopP: 1}, 0, 0, []int32{0, 10, 1, 8, 6, 2, 8, 0, 0, 6}},
		{"seed", Options{Temperature: 1, TopP: 1}, -7, 0, []int32{7, 6, 1, 6, 0, 0, 8, 7, 0, 1}},
		{"stream", Options{Temperature: 1, TopP: 1}, 0, 1, []int32{6, 0, 10, 7, 0, 1, 6, 1, 6, 0}},
		{"temperature", Options{Temperature: 0.3, TopP: 1}, 0, 0, []int32{0, 7, 6, 6, 6, 6, 6, 0, 0, 6}},
		{"top_k", Options{Temperature: 1, TopK: 4, TopP: 1}, 0, 0, []int32{6, 1, 6, 1, 7, 6, 1, 6, 6, 0}},
		{"top_p", Options{Temperature: 1, TopP: 0.6}, 0, 0, []int32{6, 7, 6, 7, 0, 6, 7, 6, 6, 0}},
		{"both", Options{Temperature: 1.5, TopK: 5, TopP: 0.7}, 0, 0, []int32{6, 7, 6, 7, 0, 6, 7, 6, 6, 0}},
		{"greedy", Options{Temperature: 0, TopP: 1}, 0, 0, []int32{6, 6, 6, 6, 6, 6, 6, 6, 6, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := draw(t, mustNew(t, c.o, c.seed, c.stream), logits, 10); !slices.Equal(got, c.want) {
				t.Errorf("drew %v, want %v", got, c.want)
			}
		})
	}
}

// probabilities returns those from which Next would draw.
func probabilities(s *Sampler, logits []float32) ([]float64, error) {
	if err := s.keep(logits); err != nil {
		return nil, err
	}
	p := make([]float64, len(logits))
	for i, id := range s.ids {
		p[id] = s.weights[i] / s.sum
	}
	return p, nil
}

// TestFrequencies draws often and compares with the probabilities by a χ² test;
// the seed is fixed, so the outcome is too.
func TestFrequencies(t *testing.T) {
	logits := testLogits(11, 1.5)
	for _, o := range []Options{{Temperature: 1, TopP: 1}, {Temperature: 0.7, TopK: 5, TopP: 1}, {Temperature: 1.2, TopP: 0.8}} {
		s := mustNew(t, o, 3, 0)
		p, err := probabilities(s, logits)
		if err != nil {
			t.Fatal(err)
		}
		const n = 200000
		counts := make([]float64, len(logits))
		for _, id := range draw(t, s, logits, n) {
			counts[id]++
		}
		var chi2, cells float64
		for id, c := range counts {
			if p[id] == 0 {
				if c > 0 {
					t.Errorf("%+v: id %d of probability 0 was drawn %g times", o, id, c)
				}
				continue
			}
			cells++
			chi2 += (c - n*p[id]) * (c - n*p[id]) / (n * p[id])
		}
		if limit := cells + 4*math.Sqrt(2*cells); chi2 > limit {
			t.Errorf("%+v: χ² is %.1f over %g cells, want at most %.1f", o, chi2, cells, limit)
		}
	}
}

func TestTemperatureZero(t *testing.T) {
	s := mustNew(t, Options{Temperature: 0, TopK: 3, TopP: 0.5}, 1, 0)
	id, err := s.Next([]float32{1, 5, negInf, 5, 2})
	if id != 1 || err != nil {
		t.Errorf("drew %d, %v, want the first of the largest, 1", id, err)
	}
	p, err := probabilities(s, []float32{1, 5, negInf, 5, 2})
	if err != nil || !slices.Equal(p, []float64{0, 1, 0, 0, 0}) {
		t.Errorf("probabilities %v, %v", p, err)
	}
}

// TestExtremes: no temperature makes NaN of finite logits.
func TestExtremes(t *testing.T) {
	huge := float32(math.MaxFloat32)
	for _, temperature := range []float64{5e-324, 1e-300, 1e-5, 1, 1e5, math.MaxFloat64} {
		for _, logits := range [][]float32{{huge, -huge, 0}, {1e-45, 0, -1e-45}, {negInf, -huge, negInf}, {3}} {
			for _, o := range []Options{options(temperature, 0, 1), options(temperature, 2, 1), options(temperature, 0, 0.5)} {
				p, err := probabilities(mustNew(t, o, 1, 0), logits)
				if err != nil {
					t.Fatal(err)
				}
				var sum float64
				for _, x := range p {
					sum += x
				}
				if math.Abs(sum-1) > 1e-15 || len(p) != len(logits) {
					t.Errorf("%+v of %v: %v", o, logits, p)
				}
			}
		}
	}
}

func TestErrors(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		logits []float32
		want   string
	}{
		{nil, "sample: none of 0 logits is above -Inf"},
		{[]float32{negInf, negInf}, "sample: none of 2 logits is above -Inf"},
		{[]float32{1, nan}, "sample: logit of id 1 is NaN"},
		{[]float32{inf, nan}, "sample: logit of id 1 is NaN"},
		{[]float32{1, 2, inf}, "sample: logit of id 2 is +Inf"},
	} {
		for _, temperature := range []float64{0, 1} {
			s := mustNew(t, Options{Temperature: temperature, TopP: 1}, 9, 0)
			if _, err := s.Next(c.logits); err == nil || err.Error() != c.want {
				t.Errorf("Next(%v): %v, want %s", c.logits, err, c.want)
			}
			if _, err := probabilities(s, c.logits); err == nil || err.Error() != c.want {
				t.Errorf("probabilities(%v): %v, want %s", c.logits, err, c.want)
			}
			fresh := mustNew(t, Options{Temperature: temperature, TopP: 1}, 9, 0)
			if a, b := draw(t, s, testLogits(50, 1), 20), draw(t, fresh, testLogits(50, 1), 20); !slices.Equal(a, b) {
				t.Errorf("after an error draws are %v, want %v", a, b)
			}
		}
	}
	for want, o := range map[string]Options{
		"temperature is -1": options(-1, 0, 1), "temperature is NaN": options(math.NaN(), 0, 1), "temperature is +Inf": options(math.Inf(1), 0, 1),
		"top_k is -1": options(1, -1, 1), "top_p is 0": options(1, 0, 0), "top_p is -0.5": options(1, 0, -0.5), "top_p is NaN": options(1, 0, math.NaN()),
		"min_p is 1.5": {TopP: 1, MinP: 1.5}, "min_p is -0.1": {TopP: 1, MinP: -0.1}, "min_p is NaN": {TopP: 1, MinP: math.NaN()},
		"repetition_penalty is -1": {TopP: 1, RepetitionPenalty: -1}, "repetition_penalty is NaN": {TopP: 1, RepetitionPenalty: math.NaN()},
		"repetition_penalty is +Inf": {TopP: 1, RepetitionPenalty: math.Inf(1)},
		"bias of id 3 is NaN":        {TopP: 1, Bias: map[int32]float64{1: 0, 3: math.NaN()}},
		"bias of id 1 is -Inf":       {TopP: 1, Bias: map[int32]float64{1: math.Inf(-1), 3: math.NaN()}},
	} {
		if _, err := New(o, 0, 0); err == nil || !strings.HasPrefix(err.Error(), "sample: "+want+", want ") {
			t.Errorf("New(%+v): %v, want %s", o, err, want)
		}
	}
}

// TestExp compares with e^x computed with 200 bits.
func TestExp(t *testing.T) {
	worst := 0.0
	for i := 0; i <= 20000; i++ {
		x := -708 * float64(i) / 20000
		want, _ := bigExp(x).Float64()
		if d := math.Abs(exp(x)-want) / want; d > worst {
			worst = d
		}
	}
	if worst > 5e-16 {
		t.Errorf("relative error %.3g, want at most 5e-16", worst)
	}
	for x, want := range map[float64]float64{0: 1, math.Copysign(0, -1): 1, -709: 0, math.Inf(-1): 0, -5e-324: 1} {
		if got := exp(x); got != want {
			t.Errorf("exp(%g) = %g, want %g", x, got, want)
		}
	}
}

// bigExp returns e^x by the Taylor series of x/1024, squared ten times.
func bigExp(x float64) *big.Float {
	f := func(v float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(v) }
	r, term, sum := f(x/1024), f(1), f(1)
	for n := 1; n < 60; n++ {
		term.Mul(term, r).Quo(term, f(float64(n)))
		sum.Add(sum, term)
	}
	for i := 0; i < 10; i++ {
		sum.Mul(sum, sum)
	}
	return sum
}

// TestRandom pins the generator: SplitMix64's published first numbers from 0,
// and the start from seed and stream.
func TestRandom(t *testing.T) {
	var r random
	for _, want := range []uint64{0xe220a8397b1dcdaf, 0x6e789e6aa1b965f4, 0x06c45d188009454f} {
		if got := r.next(); got != want {
			t.Errorf("next is %#x, want %#x", got, want)
		}
	}
	for _, c := range []struct {
		seed   int64
		stream uint64
		want   uint64
	}{{0, 0, 0x238275bc38fcbe91}, {1, 0, 0xb18a02f46d8d86c3}, {0, 1, 0x94926c2e801cb6f9}, {-1, 1 << 63, 0xe447897adec0a36e}} {
		r := newRandom(c.seed, c.stream)
		if got := r.next(); got != c.want {
			t.Errorf("first number of seed %d, stream %d is %#x, want %#x", c.seed, c.stream, got, c.want)
		}
	}
}

// TestNoAllocations: a character costs no memory after the first.
func TestNoAllocations(t *testing.T) {
	logits := testLogits(65, 3)
	for _, o := range []Options{options(0, 0, 1), options(1, 0, 1), options(1, 10, 1), options(1, 0, 0.9), options(1, 10, 0.9),
		{Temperature: 1, TopP: 0.9, MinP: 0.1, RepetitionPenalty: 1.2, Ban: []int32{3}, Bias: map[int32]float64{1: 2, 9: -1}}} {
		s := mustNew(t, o, 1, 0)
		draw(t, s, logits, 1)
		if n := testing.AllocsPerRun(100, func() { s.Next(logits) }); n != 0 {
			t.Errorf("%+v: %g allocations a draw", o, n)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Options
		V    int
	}{
		{"plain", options(1, 0, 1), 65}, {"greedy", options(0, 0, 1), 65}, {"top_k", options(1, 10, 1), 65},
		{"top_p", options(1, 0, 0.9), 65}, {"plain_V5000", options(1, 0, 1), 5000}, {"top_p_V5000", options(1, 0, 0.9), 5000},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, logits := mustNew(b, c.o, 1, 0), testLogits(c.V, 5)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Next(logits); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
