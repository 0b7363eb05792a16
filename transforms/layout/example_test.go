package layout_test

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Two documents of 25 and 12 characters, the last fifth of each for validation,
// sequences of 3+1 characters.
func ExampleTail() {
	r := layout.Rule{SeqLength: 3, Stride: 4, By: layout.ByTail, Validation: 0.2}
	y := layout.Tail(r, []int64{25, 12})
	fmt.Println(y.Totals, "sequences,", y.Dropped, "characters dropped")

	// Those that start in the first 10 characters of the second document.
	for _, s := range y.Starting(1, layout.Span{From: 0, To: 10}) {
		fmt.Printf("%s: %d from number %d, characters %v\n", layout.Names[s.Split], s.Count, s.First, r.Span(s))
	}
	// Output:
	// [7 1 0] sequences, [1 4] characters dropped
	// train: 2 from number 5, characters {0 8}
}

// The same text is for the same split wherever it stands.
func ExampleBlocks() {
	r := layout.Rule{SeqLength: 3, Stride: 4, By: layout.ByBlock, Validation: 0.5}
	for _, text := range []string{"sun moonsea ", "moonsun "} {
		all := layout.Span{From: 0, To: int64(len(text))}
		found, _, _ := r.Blocks().Starting(all, all.To, vocab.Byte, []byte(text))
		for _, s := range found {
			c := r.Span(s)
			fmt.Printf("%-10s %q\n", layout.Names[s.Split], text[c.From:c.To])
		}
	}
	// Output:
	// validation "sun "
	// train      "moon"
	// validation "sea "
	// train      "moon"
	// validation "sun "
}
