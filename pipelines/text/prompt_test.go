package text_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/vocab"
)

// TestBeginning: the first characters of the training text, in any order of its
// sequences, up to a character that the vocabulary lacks; of bytes, whole characters.
func TestBeginning(t *testing.T) {
	long := strings.Repeat("Ночь, улица, фонарь, аптека. ", 40)
	for _, test := range []struct {
		text, want string
		set        []string
	}{
		{long, "Ночь, улица, фон", nil},
		{long, "Ночь, улица, фон", []string{"prep.validation.by=tail", "prep.seq_length=3", "prep.seed=9"}},
		{"a" + long, "aНочь, ул", []string{"prep.unit=byte"}}, // 15 of 16 bytes: the next character has 2
		{"abcq" + strings.Repeat("abc", 99), "abc", []string{"prep.min_count=2"}},
	} {
		c := tiny.Config(t, test.text, test.set...)
		set, done, err := text.OpenSet(t.Context(), prepared(t, c))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		if got, err := text.Beginning(t.Context(), set); err != nil || got != test.want {
			t.Errorf("%v: %q, %v, want %q", test.set, got, err, test.want)
		}
		if err := text.CheckPrompt(set, test.want, "error"); err != nil {
			t.Errorf("%v: %v", test.set, err)
		}
		if err := text.CheckPrompt(set, "Ω", ""); test.set == nil && !errors.Is(err, text.ErrPrompt) {
			t.Errorf("%v: Ω: %v", test.set, err)
		}
	}
}

// TestPlaces: ten characters are named, and the rest are counted.
func TestPlaces(t *testing.T) {
	for n, want := range map[int]string{1: "", 10: "", 11: ", and 1 more", 12: ", and 2 more"} {
		var lacking []*vocab.CharError
		for range n {
			lacking = append(lacking, &vocab.CharError{Char: 'x'})
		}
		got := text.Places(lacking)
		if named := strings.Count(got, "'x'"); named != min(n, 10) || !strings.HasSuffix(got, want) || want == "" && strings.Contains(got, "more") {
			t.Errorf("%d: %s", n, got)
		}
	}
}
