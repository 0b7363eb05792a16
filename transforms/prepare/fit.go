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
