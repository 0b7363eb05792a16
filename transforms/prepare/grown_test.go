package prepare

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// sequencesOf returns the text of every sequence of a split.
func sequencesOf(t *testing.T, dir, split string, l int) map[string]bool {
	t.Helper()
	s := openSet(t, dir)
	out, ids := map[string]bool{}, make([]int32, l+1)
	r := s.Split(split)
	for i := range r.Len() {
		if err := r.Read(t.Context(), i, ids); err != nil {
			t.Fatal(err)
		}
		var b []byte
		for _, id := range ids {
			b = s.Vocab().AppendText(b, id)
		}
		out[string(b)] = true
	}
	return out
}

// A shelf is documents that change from round to round.
type shelf struct {
	r     *rand.Rand
	texts []string
}

// more is text that is nowhere else.
func (s *shelf) more(chars int) string {
	var b strings.Builder
	for b.Len() < chars {
		fmt.Fprintf(&b, "%x ", s.r.Uint64())
	}
	return b.String()[:chars]
}

// change grows a document at its end, adds one, and edits ten anywhere: in place, and
// once with text of another length.
func (s *shelf) change() {
	i := s.r.IntN(len(s.texts))
	s.texts[i] += s.more(500 + s.r.IntN(1000))
	s.texts = append(s.texts, s.more(1000+s.r.IntN(3000)))
	for k := range 10 {
		i = s.r.IntN(len(s.texts))
		at := s.r.IntN(len(s.texts[i]) - 20)
		s.texts[i] = s.texts[i][:at] + s.more(20+k/9) + s.texts[i][at+20:]
	}
	s.r.Shuffle(len(s.texts), func(i, j int) { s.texts[i], s.texts[j] = s.texts[j], s.texts[i] })
}

// documents gives the texts new names: those of each round have another order.
func (s *shelf) documents(round int) []text {
	var docs []text
	for i, x := range s.texts {
		docs = append(docs, text{fmt.Sprintf("%03d-of-round-%d.txt", i, round), x})
	}
	return docs
}

// TestHeldOut makes sets of a corpus that is grown, shuffled, renamed and edited, ten
// times: no text that was held out in any round was trained on in any round.
func TestHeldOut(t *testing.T) {
	o := Options{SeqLength: 20, Seed: 1, ValidationFraction: 0.2, TestFraction: 0.1, ValidationBy: "block"}
	s := &shelf{r: rand.New(rand.NewPCG(1, 1))}
	s.texts = []string{s.more(5000), s.more(9000), s.more(700)}
	rounds := map[string]map[string]int{"train": {}, "validation": {}, "test": {}} // the round in which a sequence came first
	for round := range 10 {
		dir := made(t, "direct", write(t, s.documents(round)...), o)
		for split, seen := range rounds {
			for sequence := range sequencesOf(t, dir, split, o.SeqLength) {
				if _, ok := seen[sequence]; !ok {
					seen[sequence] = round
				}
				for other, theirs := range rounds {
					if at, ok := theirs[sequence]; ok && other != split {
						t.Errorf("round %d: %q is in %s, and was in %s in round %d", round, sequence, split, other, at)
					}
				}
			}
		}
		s.change()
	}
	t.Logf("%d sequences trained on, %d and %d held out", len(rounds["train"]), len(rounds["validation"]), len(rounds["test"]))
}

// TestHeldOutOverlap edits documents whose sequences overlap: a block of them may
// change sides when its first L+1 characters do, no other.
func TestHeldOutOverlap(t *testing.T) {
	o := Options{SeqLength: 20, Stride: 7, Seed: 1, ValidationFraction: 0.5, ValidationBy: "block"}
	s := &shelf{r: rand.New(rand.NewPCG(2, 1))}
	block := 16 * (o.SeqLength + 1)
	before := s.more(20 * block)
	parts := func(text1 string) (train, held map[string]bool) {
		dir := made(t, "direct", write(t, text{"a.txt", text1}), o)
		return sequencesOf(t, dir, "train", o.SeqLength), sequencesOf(t, dir, "validation", o.SeqLength)
	}
	train, held := parts(before)
	for i := range 20 {
		at := i * block
		if i%2 == 1 {
			at += o.SeqLength + 1 + s.r.IntN(block-o.SeqLength-11)
		}
		edited := before[:at] + s.more(10) + before[at+10:]
		train2, held2 := parts(edited)
		moved := 0
		for sequence := range train2 {
			if held[sequence] {
				moved++
			}
		}
		for sequence := range held2 {
			if train[sequence] {
				moved++
			}
		}
		// A block has 46 sequences, of which the first two have the edited text.
		if moved != 0 && (i%2 == 1 || moved != 44) {
			t.Errorf("block %d: %d sequences changed sides, want none, or the 44 that were not edited where its beginning was", i, moved)
		}
	}
}
