package dataset

import (
	"math"
	"testing"
)

// TestDrift compares with the figures of a program in Python, written from the text of Drift.
func TestDrift(t *testing.T) {
	base := func(rank, i int) int { return (rank*rank + i*(rank%3+1)) % 6 }
	caps := func(rank, i int) int { return 6 + base(rank, i) }
	for name, c := range map[string]struct {
		train, held int
		rule        func(rank, i int) int
		want        Drift
		says        string
	}{
		"the same": {200, 40, base, Drift{}, ""},
		"other characters": {200, 40, caps, Drift{5.926156697358655, 0.6930953200533174},
			"a model of pairs of characters loses 5.93 nats a character more on it, and the frequencies of its characters are 0.69 nats away"},
		"in every fourth": {200, 40, func(rank, i int) int { return []int{caps(rank, i), base(rank, i)}[min(rank%4, 1)] },
			Drift{0.5729911058002676, 0.09782560761331331}, "a model of pairs of characters loses 0.57 nats a character more on it"},
		"backwards": {200, 40, func(rank, i int) int { return ((rank*rank-i*(rank%3+1))%6 + 6) % 6 }, Drift{2.475349215095627, 0},
			"a model of pairs of characters loses 2.48 nats a character more on it"},
		"the shortest": {200, 25, caps, Drift{5.926156697358657, 0.6924352624588845},
			"a model of pairs of characters loses 5.93 nats a character more on it, and the frequencies of its characters are 0.69 nats away"},
		"too short": {200, 24, caps, Drift{}, ""},
		"fewer to train on": {60, 40, caps, Drift{4.686198552347021, 0.6931471805599453},
			"a model of pairs of characters loses 4.69 nats a character more on it, and the frequencies of its characters are 0.69 nats away"},
		"too few to train on": {48, 40, caps, Drift{}, ""},
	} {
		dir := t.TempDir()
		sketch{seqLength: 9, vocab: 12, splits: map[string]int{"train": c.train, "validation": c.held}, shards: 1,
			rule: map[string]func(rank, i int) int{"train": base, "validation": c.rule}}.write(t, dir)
		got, err := open(t, dir).Drift(t.Context())
		if err != nil || got == nil || math.Abs(got.PairNats-c.want.PairNats) > 1e-12 || math.Abs(got.CharNats-c.want.CharNats) > 1e-12 ||
			got.Large() != (c.says != "") || got.String() != c.says {
			t.Errorf("%s: %+v %q, %v, want %+v %q", name, got, got, err, c.want, c.says)
		}
	}
	for text, d := range map[string]Drift{
		"": {0.25, 0.1}, "the frequencies of its characters are 0.11 nats away": {0, 0.11},
		"a model of pairs of characters loses 0.26 nats a character more on it": {0.26, 0.1},
	} {
		if d.String() != text || d.Large() != (text != "") {
			t.Errorf("%+v is %q, want %q", d, d, text)
		}
	}
	dir := t.TempDir()
	sketch{seqLength: 9, vocab: 12, splits: map[string]int{"train": 40}, shards: 1}.write(t, dir)
	if got, err := open(t, dir).Drift(t.Context()); got != nil || err != nil {
		t.Errorf("without a validation part: %v, %v", got, err)
	}
}
