package prepare

import (
	"slices"
	"testing"
)

// TestText reads every split of sets as text: it is the text that the documents
// have there.
func TestText(t *testing.T) {
	texts := map[byte]string{'a': "", 'b': "", 'c': ""}
	for name, n := range map[byte]int{'a': 400, 'b': 9, 'c': 97} {
		for i := range n {
			texts[name] += string(rune('a' + i*i%23))
		}
	}
	docs := write(t, text{"a.txt", texts['a']}, text{"b.txt", texts['b']}, text{"c.txt", texts['c']})
	type span struct {
		document    byte
		from, chars int
	}
	for _, c := range []struct {
		o    Options
		want map[string][]span
	}{
		{Options{SeqLength: 10, ValidationFraction: 0.1}, map[string][]span{"train": {{'a', 0, 352}, {'c', 0, 77}}, "validation": {{'a', 360, 33}}}},
		{Options{SeqLength: 10, ValidationFraction: 0.2, TestFraction: 0.15, Seed: 9, Shards: 3},
			map[string][]span{"train": {{'a', 0, 253}, {'c', 0, 55}}, "validation": {{'a', 260, 77}, {'c', 62, 11}}, "test": {{'a', 340, 55}, {'c', 82, 11}}}},
		{Options{SeqLength: 10}, map[string][]span{"train": {{'a', 0, 396}, {'c', 0, 88}}}},
	} {
		set := openSet(t, made(t, "direct", docs, c.o))
		for _, split := range []string{"train", "validation", "test"} {
			d, err := set.Text(split, 0)
			if err != nil {
				t.Fatal(err)
			}
			var want string
			var lengths []int64
			for _, s := range c.want[split] {
				want, lengths = want+texts[s.document][s.from:s.from+s.chars], append(lengths, int64(s.chars))
			}
			if !slices.Equal(d.Stretches(), lengths) {
				t.Errorf("%+v: %s has stretches %v, want %v", c.o, split, d.Stretches(), lengths)
			}
			ids := make([]int32, len(want))
			if err := d.ReadAt(t.Context(), 0, ids); err != nil {
				t.Fatal(err)
			}
			var got []byte
			for _, id := range ids {
				got = set.Vocab().AppendText(got, id)
			}
			if string(got) != want {
				t.Errorf("%+v: %s is\n%s, want\n%s", c.o, split, got, want)
			}
		}
	}
}
