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
		in := func(pieces []string, gram string) bool {
			return slices.ContainsFunc(pieces, func(p string) bool { return strings.Contains(p, gram) })
		}
		for k, n := range grams {
			var want [3]int
			for _, s := range samples {
				for i := n; i <= len(s); i++ {
					want[0]++
					if in(streams[0], s[i-n:i]) {
						want[1]++
					} else if in(streams[1], s[i-n:i]) {
						want[2]++
					}
				}
			}
			if all, train, held := x.count(k); [3]int{all, train, held} != want {
				t.Errorf("round %d: of %d-grams %d, %d, %d, want %v", round, n, all, train, held, want)
			}
		}
		for stream, pieces := range streams {
			want := 0
			for _, s := range samples {
				for i := range s {
					for j := i + want + 1; j <= len(s) && in(pieces, s[i:j]); j++ {
						want = j - i
					}
				}
			}
			if x.longest[stream] != want {
				t.Errorf("round %d: the longest span is %d, want %d", round, x.longest[stream], want)
			}
		}
	}
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
		c := &cursor{x: x}
		for i, id := range test.ids {
			if i > 0 && i == test.reset {
				c.reset()
			}
			c.feed(id)
		}
		if x.longest != [streams]int{trainStream: test.want} {
			t.Errorf("%v: the longest spans are %v, want %d in the training text", test.ids, x.longest, test.want)
		}
	}
}
