package dataset

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"unicode/utf8"
)

// tally counts the characters and the adjacent pairs of text.
func tally(text string) (counts map[rune]int64, pairs map[[2]rune]int64) {
	counts, pairs = map[rune]int64{}, map[[2]rune]int64{}
	last := utf8.RuneError
	for i, c := range text {
		counts[c]++
		if i > 0 {
			pairs[[2]rune{last, c}]++
		}
		last = c
	}
	return counts, pairs
}

func TestEntropies(t *testing.T) {
	for _, c := range []struct {
		text            string
		unigram, bigram float64
	}{
		{"", 0, 0},
		{"a", 0, 0},
		{"aaaa", 0, 0},
		{"ab", math.Ln2, 0},
		{"abab", math.Ln2, 0},
		{"aab", (2*math.Log(1.5) + math.Log(3)) / 3, math.Ln2},
		{"aabb", math.Ln2, (math.Ln2 + math.Ln2) / 3},
		{"日本日日", (3*math.Log(4.0/3) + math.Log(4)) / 4, 2 * math.Ln2 / 3},
	} {
		counts, pairs := tally(c.text)
		unigram, bigram := Entropies(counts, pairs)
		if math.Abs(unigram-c.unigram) > 1e-15 || math.Abs(bigram-c.bigram) > 1e-15 {
			t.Errorf("%q: got %v, %v, want %v, %v", c.text, unigram, bigram, c.unigram, c.bigram)
		}
	}
}

// TestEntropiesOfShakespeare compares with the numbers of an independent
// program.
func TestEntropiesOfShakespeare(t *testing.T) {
	var want struct {
		InSample map[string]struct{ Nats float64 } `json:"in_sample"`
	}
	data, err := os.ReadFile("../../../shared/vectors/text_baselines.json")
	if err != nil {
		t.Skip("no vectors beside the repository: ", err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../shared/corpus/tinyshakespeare.txt")
	if err != nil {
		t.Skip("no corpus beside the repository: ", err)
	}
	counts, pairs := tally(string(text))
	unigram, bigram := Entropies(counts, pairs)
	if w := want.InSample["unigram"].Nats; math.Abs(unigram-w) > 1e-14 {
		t.Errorf("unigram is %v, want %v", unigram, w)
	}
	if w := want.InSample["bigram"].Nats; math.Abs(bigram-w) > 1e-14 {
		t.Errorf("bigram is %v, want %v", bigram, w)
	}
	// To the last bit, on every machine.
	if math.Float64bits(unigram) != 0x400a809acb2955a4 || math.Float64bits(bigram) != 0x40039eda9b710252 {
		t.Errorf("unigram is %#x, bigram %#x", math.Float64bits(unigram), math.Float64bits(bigram))
	}
	for range 5 { // whatever order the maps have
		if u, b := Entropies(counts, pairs); u != unigram || b != bigram {
			t.Errorf("now %v, %v", u, b)
		}
	}
}

func TestLn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(x float64) {
		got, want := ln(x), math.Log(x)
		if ulp := math.Abs(math.Nextafter(want, 1)-want) + 1e-300; math.Abs(got-want) > 2*ulp {
			t.Fatalf("ln %v is %v, want %v", x, got, want)
		}
	}
	for range 200_000 {
		of := 1 + r.Int64N(1<<(1+r.IntN(50)))
		check(float64(1+r.Int64N(of)) / float64(of))
	}
	for x := 0.5; x < 1; x += 1.0 / 4096 {
		check(x)
		check(math.Nextafter(x, 0))
	}
	for x := 1.0; x > 0x1p-60; x /= 2 {
		check(x)
		check(math.Nextafter(x, 0))
		check(math.Nextafter(x, 1))
	}
}
