package text_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/quire-ml/quire/pipelines/text"
)

// endOf is where a text ends, by the definition: before the stop string that is complete
// first, and of several the longest.
func endOf(all string, stops []string) (end int, stopped bool) {
	for n := range len(all) + 1 {
		longest := 0
		for _, s := range stops {
			if s != "" && strings.HasSuffix(all[:n], s) {
				longest = max(longest, len(s))
			}
		}
		if longest > 0 {
			return n - longest, true
		}
	}
	return len(all), false
}

// prompt begins every text of checkEnding: no stop string is looked for in it, nor from its end on.
const prompt = "ab\xc3"

// checkEnding adds a text character by character, and compares with the definition.
func checkEnding(t *testing.T, all string, cuts func() int, stops []string, whole bool) {
	t.Helper()
	e, got, given, stopped := text.NewEnding([]byte(prompt), stops, whole), "", 0, false
	for rest := all; rest != "" && !stopped; {
		n := min(len(rest), cuts())
		var ready []byte
		ready, stopped = e.Add([]byte(rest[:n]))
		given, rest = given+n, rest[n:]
		got += string(ready)
		if strings.HasPrefix(all, got) && !stopped {
			if held := all[len(got):given]; !holds(held, stops, whole) {
				t.Fatalf("%q of %q: %q is held back, which begins none of %q", got, all, held, stops)
			}
		}
		if whole && !stopped && utf8.ValidString(all) && !utf8.ValidString(got) {
			t.Fatalf("%q of %q has a part of a character", got, all)
		}
	}
	if !stopped {
		got += string(e.Rest())
	}
	want, ends := endOf(all, stops)
	if got != all[:want] || stopped != ends {
		t.Fatalf("%q with the stops %q is %q, stopped %v; want %q, %v", all, stops, got, stopped, all[:want], ends)
	}
	finish := map[bool]text.Finish{false: text.Whole, true: text.Stopped}[stopped]
	if whole := prompt + got; string(e.Text()) != whole || e.Finish() != finish {
		t.Fatalf("%q with the stops %q is %q, finish %q; want %q, %q", all, stops, e.Text(), e.Finish(), whole, finish)
	}
	if stopped {
		if ready, again := e.Add([]byte("x")); len(ready) != 0 || !again || len(e.Rest()) != 0 {
			t.Fatalf("after its end a text goes on with %q", ready)
		}
	}
}

// holds reports whether held may be the beginning of a stop string, with at most three
// bytes of a character before it.
func holds(held string, stops []string, whole bool) bool {
	before := 0
	if whole {
		before = 3
	}
	for skip := 0; skip <= min(before, len(held)); skip++ {
		if held[skip:] == "" {
			return true
		}
		for _, s := range stops {
			if strings.HasPrefix(s, held[skip:]) {
				return true
			}
		}
	}
	return held == ""
}

// TestEnding: cases, and random texts of few characters, in which stop strings overlap.
func TestEnding(t *testing.T) {
	one := func() int { return 1 }
	for _, c := range []struct {
		all   string
		stops []string
	}{
		{"", nil}, {"abc", nil}, {"abc", []string{""}}, {"abc", []string{"abc"}}, {"xabcy", []string{"abc"}}, {"ababac", []string{"abac"}},
		{"aaab", []string{"aab"}}, {"abcd", []string{"bc", "abc"}}, {"abcd", []string{"abcx", "bc"}}, {"ab\n\nc", []string{"\n\n"}},
		{"a[UNK]b", []string{"K"}}, {"größe", []string{"ö"}}, {"größe", []string{"\xb6"}}, {"ab", []string{"abc"}}, {"\xff\xfe", []string{"\xfe"}},
	} {
		checkEnding(t, c.all, one, c.stops, false)
		checkEnding(t, c.all, func() int { return 5 }, c.stops, false)
		checkEnding(t, c.all, one, c.stops, true)
	}
	r := rand.New(rand.NewPCG(1, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "aabé"[r.IntN(5)]
		}
		return string(b)
	}
	for range 20000 {
		var stops []string
		for range r.IntN(4) {
			stops = append(stops, word(r.IntN(6)))
		}
		checkEnding(t, word(r.IntN(20)), func() int { return 1 + r.IntN(3) }, stops, r.IntN(2) == 0)
	}
}

// FuzzEnding: any text, any stop strings.
func FuzzEnding(f *testing.F) {
	f.Add("The end.\n\nMore", "\n\n", "end", false)
	f.Fuzz(func(t *testing.T, all, a, b string, whole bool) {
		if len(all) < 1000 && len(a) < 100 && len(b) < 100 {
			checkEnding(t, all, func() int { return 1 }, []string{a, b}, whole)
		}
	})
}
