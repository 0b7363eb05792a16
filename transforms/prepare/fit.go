package prepare

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/quire-ml/quire/transforms/layout"
)

// shorter advises a smaller seq_length for documents with the given numbers of
// characters: the largest with which each split has a sequence, and the training as many
// as Batch, is named where it is known. It is "" where no seq_length is small enough.
func (o Options) shorter(chars []int64) string {
	if o.ValidationBy == layout.ByBlock {
		return "a smaller seq_length" // the sides depend on the text
	}
	most := sort.Search(o.SeqLength-1, func(i int) bool { return !o.fits(i+1, chars) })
	if most == 0 {
		return ""
	}
	return fmt.Sprintf("a smaller seq_length (%d at most)", most)
}

// fits reports whether sequences of n+1 characters are enough.
func (o Options) fits(n int, chars []int64) bool {
	o.Stride = min(o.Stride, n+1)
	o.SeqLength = n
	totals := layout.Tail(o.rule(), chars).Totals
	for _, s := range o.splits() {
		if totals[s.Kind] == 0 {
			return false
		}
	}
	return totals[layout.Train] >= int64(o.Batch)
}

// either joins the items of a list that are not empty: a, b or c.
func either(list ...string) string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " or " + list[last]
}

// checkTotals refuses a corpus that leaves a split without sequences. chars are the characters
// of the documents.
func (p *plan) checkTotals(o Options, chars []int64) error {
	need, totals := o.SeqLength+1, p.Totals
	longest, join := slices.Max(chars), ""
	if len(chars) > 1 && p.Chars >= int64(need) {
		join = "join the documents with pack newline, or "
	}
	if totals[layout.Train] == 0 && longest < int64(need) {
		if len(chars) == 1 {
			return fmt.Errorf("prepare: a sequence takes seq_length+1 = %d characters, and the corpus has %d; use %s",
				need, p.Chars, either("more text", o.shorter(chars)))
		}
		return fmt.Errorf("prepare: a sequence takes seq_length+1 = %d characters of one document, and the longest of %d has %d; %suse %s",
			need, len(chars), longest, join, either("longer ones", o.shorter(chars)))
	}
	for _, s := range o.splits() {
		fraction, change, without := o.ValidationFraction, "a larger fraction", "fraction 0 for no "+s.Name
		switch {
		case totals[s.Kind] > 0:
			continue
		case s.Kind == layout.Train:
			return fmt.Errorf("prepare: with validation.fraction %v no document has a sequence of seq_length+1 = %d characters left for training "+
				"(the longest has %d in all); use %s",
				fraction+o.TestFraction, need, longest, either("more text", "a smaller fraction", o.shorter(chars)))
		case s.Kind == layout.Test:
			fraction = o.TestFraction
		}
		return fmt.Errorf("prepare: with %s.fraction %v no document has a sequence of seq_length+1 = %d characters left for %s "+
			"(the longest has %d in all); %suse %s",
			s.Name, fraction, need, s.Name, longest, join, either("more text", change, o.shorter(chars), without))
	}
	return nil
}
