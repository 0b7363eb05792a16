package gate

import (
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

func TestFigures(t *testing.T) {
	for text, want := range map[string]float64{
		"": 0, "no, no, no": 0, "no, no, no, no, ": 1, "He said: no, no, no, no, no, no!": 23.0 / 32, "aaaaaaaaaaa": 0, "aaaaaaaaaaaa": 1,
		"the quick brown fox jumps over the lazy dog": 0, "abcabcabcabcXabcabcabcabc": 24.0 / 25,
	} {
		if got := looped(runeIDs(text)); got != want {
			t.Errorf("%q is looped to %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]float64{"": 0, "text": 0, "\xff\xffab": 0.5, "\xc3\xa9t\xc3": 0, "\xa9\xa9té": 0, "a\uFFFDb\uFFFD": 0.5,
		"t\xc3t": 1.0 / 3} {
		if got := invalid([]byte(text)); got != want {
			t.Errorf("%q is invalid to %v, want %v", text, got, want)
		}
	}
	v, err := vocab.New(vocab.Byte, map[rune]int64{0xe9: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	latin := [][]int32{slices.Repeat([]int32{0}, 100)}
	c := &candidate{model: &text.Model{Vocab: v}, written: latin, held: latin}
	if k := c.utf8(); !k.Passed || *k.Limit != 0 || !strings.HasSuffix(k.Text, "it must be 0 %") {
		t.Errorf("bytes of another encoding, as those of the held-out part are: %+v of %v", k, *k.Limit)
	}
	if got := coverage([][]int32{runeIDs("ab")}, [][]int32{runeIDs("aab"), runeIDs("c")}); got != 0.75 {
		t.Errorf("coverage is %v, want 0.75", got)
	}
	for _, c := range []struct {
		texts []string
		want  float64
	}{
		{nil, 1}, {[]string{"abc"}, 1}, {[]string{"abc", "abc"}, 1}, {[]string{"aab", "ac"}, 0.6}, {[]string{"aa", "bb", "ab", "cccc"}, 0.6},
		{[]string{"ab", "cd"}, 0},
	} {
		var texts [][]int32
		for _, text := range c.texts {
			texts = append(texts, runeIDs(text))
		}
		if got := coverageOfRest(texts); got != c.want {
			t.Errorf("%q cover %v of each other, want %v", c.texts, got, c.want)
		}
	}
}
