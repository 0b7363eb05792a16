package gate

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func runeIDs(s string) []int32 {
	return []int32(slices.Collect(func(yield func(int32) bool) {
		for _, r := range s {
			if !yield(r) {
				return
			}
		}
	}))
}

// TestOverlap compares the automaton with a search, on random texts of few
// characters, which have much in common.
func TestOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		var b strings.Builder
		for b.Len() < n {
			b.WriteString([]string{"ab", "abba", "a", "bab", "abbabbabbaabbabbabbabbab", "baababababababababababababaabababababababababababbababababa"}[r.IntN(6)])
		}
		return b.String()[:n]
	}
	var seen [len(grams)][4]int // n-grams of each kind
	for round := range 60 {
		samples := []string{text(10 + r.IntN(120)), text(r.IntN(30)), text(100)}
		streams := [2][]string{{text(r.IntN(400)), text(80)}, {text(r.IntN(200))}}
		var ids [][]int32
		for _, s := range samples {
			ids = append(ids, runeIDs(s))
		}
		x := newIndex(ids)
		for stream, pieces := range streams {
			c := &cursor{x: x, stream: stream}
			for _, p := range pieces {
				c.reset()
				for _, id := range runeIDs(p) {
					c.feed(id)
				}
			}
		}
		times := func(pieces []string, gram string) (n int) {
			for _, p := range pieces {
				for i := range p {
					if strings.HasPrefix(p[i:], gram) {
						n++
					}
				}
			}
			return n
		}
		for own := range 2 {
			kind := func(gram string) kind {
				train, held := times(streams[0], gram), times(streams[1], gram)
				switch {
				case train >= 8 || train > 0 && held > own:
					return formula
				case train > 0:
					return copied
				case held > 0:
					return leaked
				}
				return novel
			}
			for k, n := range grams {
				wantAll, want := 0, [4]int{}
				for _, s := range samples {
					for i := n; i <= len(s); i++ {
						wantAll++
						want[kind(s[i-n:i])]++
					}
				}
				if all, of := x.count(k, own); all != wantAll || of != want {
					t.Errorf("round %d, own %d: of %d %d-grams %v, want %v of %d", round, own, all, n, of, want, wantAll)
				}
				for i := range want {
					seen[k][i] += want[i]
				}
			}
			want := 0
			for _, s := range samples {
				for i := range s {
					for j := i + want + 1; j <= len(s) && times(streams[0], s[i:j]) > 0; j++ {
						if !within(s, i, j, func(gram string) bool { return kind(gram) == formula }) {
							want = j - i
						}
					}
				}
			}
			if got := x.span(own); got != want {
				t.Errorf("round %d, own %d: the longest span is %d, want %d", round, own, got, want)
			}
		}
	}
	for k, n := range grams {
		if slices.Contains(seen[k][:], 0) {
			t.Errorf("the %d-grams are %v of each kind: one is not tried", n, seen[k])
		}
	}
}

// within reports whether a 50-gram of s that is marked ends in s[i:j].
func within(s string, i, j int, marked func(gram string) bool) bool {
	for end := i + 1; end <= j; end++ {
		if end >= 50 && marked(s[end-50:end]) {
			return true
		}
	}
	return false
}

// TestSeams: neither the seam of two samples nor that of two pieces of the stream is
// inside of a span, and an id that no sample has ends a span.
func TestSeams(t *testing.T) {
	for _, test := range []struct {
		ids   []int32
		reset int // before this character; 0: not at all
		want  int
	}{
		{runeIDs("abcdefghijklmnopqrst"), 0, 10},
		{runeIDs("abcdefghij"), 5, 5},
		{append(runeIDs("abcd"), -1, 'e', 'f'), 0, 4},
	} {
		x := newIndex([][]int32{runeIDs("abcdefghij"), runeIDs("klmnopqrst")})
		c := &cursor{x: x, stream: trainStream}
		for i, id := range test.ids {
			if i > 0 && i == test.reset {
				c.reset()
			}
			c.feed(id)
		}
		if got := x.span(0); got != test.want {
			t.Errorf("%v: the longest span is %d, want %d", test.ids, got, test.want)
		}
	}
}

// TestFormula: a passage that the training text has is a formula of it at its 8th place,
// and where the held-out text has it at another place too. Of a text whose sequences
// overlap nothing is.
func TestFormula(t *testing.T) {
	passage := "Permission is hereby granted, free of charge, to any person."
	for _, test := range []struct {
		train, held, own int
		overlaps         bool
		want             kind
	}{
		{0, 0, 0, false, novel}, {0, 1, 0, false, leaked}, {1, 0, 0, false, copied}, {7, 0, 0, false, copied}, {8, 0, 0, false, formula},
		{600, 0, 0, false, formula}, {1, 1, 0, false, formula}, {1, 1, 1, false, copied}, {1, 2, 1, false, formula}, {0, 2, 1, false, leaked},
		{1, 256, 1, false, formula}, {256, 1, 1, false, formula}, {600, 600, 0, true, copied},
	} {
		x := newIndex([][]int32{runeIDs(passage)})
		x.overlaps = test.overlaps
		for stream, n := range []int{trainStream: test.train, heldStream: test.held} {
			c := &cursor{x: x, stream: stream}
			for range n {
				c.reset()
				for _, id := range runeIDs(passage) {
					c.feed(id)
				}
			}
		}
		want := overlap{}
		for k := range grams {
			all, of := x.count(k, test.own)
			if all != len(passage)-grams[k]+1 || of[test.want] != all {
				t.Errorf("%+v: of %d %d-grams %v", test, all, grams[k], of)
			}
			switch test.want {
			case copied:
				want.longest, want.copied[k] = len(passage), 1
			case formula:
				want.longest, want.formula[k] = grams[gram50]-1, 1
			case leaked:
				want.leaked[k] = 1
			}
		}
		if got := x.overlap(test.own); got != want {
			t.Errorf("%+v: got %+v, want %+v", test, got, want)
		}
	}
}
