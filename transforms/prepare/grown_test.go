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
	block int // characters
}

// more is text that is nowhere else.
func (s *shelf) more(chars int) string {
	var b strings.Builder
	for b.Len() < chars {
		fmt.Fprintf(&b, "%x ", s.r.Uint64())
	}
	return b.String()[:chars]
}

// change grows a document at its end, adds one, and edits one in place, not in what
// decides a block.
func (s *shelf) change(first int) {
	i := s.r.IntN(len(s.texts))
	s.texts[i] += s.more(500 + s.r.IntN(1000))
	s.texts = append(s.texts, s.more(1000+s.r.IntN(3000)))
	i = s.r.IntN(len(s.texts))
	at := s.r.IntN(len(s.texts[i])/s.block)*s.block + first + s.r.IntN(s.block-first-20)
	s.texts[i] = s.texts[i][:at] + s.more(20) + s.texts[i][at+20:]
	s.r.Shuffle(len(s.texts), func(i, j int) { s.texts[i], s.texts[j] = s.texts[j], s.texts[i] })
}

// documents names the texts anew: the round's names have another order.
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
	s := &shelf{r: rand.New(rand.NewPCG(1, 1)), block: 16 * (o.SeqLength + 1)}
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
		s.change(o.SeqLength + 1)
	}
	t.Logf("%d sequences trained on, %d and %d held out", len(rounds["train"]), len(rounds["validation"]), len(rounds["test"]))
}

// TestHeldOutEdited edits the beginning of a block, which decides what it is for:
// that block alone may change sides. Text of another length moves all that follow.
func TestHeldOutEdited(t *testing.T) {
	o := Options{SeqLength: 20, Seed: 1, ValidationFraction: 0.5, ValidationBy: "block"}
	s := &shelf{r: rand.New(rand.NewPCG(2, 1)), block: 16 * (o.SeqLength + 1)}
	before := s.more(20 * s.block)
	parts := func(text1 string) (train, held map[string]bool) {
		dir := made(t, "direct", write(t, text{"a.txt", text1}), o)
		return sequencesOf(t, dir, "train", o.SeqLength), sequencesOf(t, dir, "validation", o.SeqLength)
	}
	train, held := parts(before)
	for block := range 20 {
		at := block * s.block
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
		if moved != 0 && moved != 15 {
			t.Errorf("block %d: %d sequences changed sides, want none or the block's other 15", block, moved)
		}
	}
}
