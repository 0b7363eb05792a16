package charseq_test

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/charseq"
)

func Example() {
	// Two documents of 25 and 12 characters, a fifth of each for validation,
	// sequences of 3+1 characters.
	y := charseq.Tail(3, 4, 0.2, 0, []int64{25, 12})
	fmt.Println(y.Totals, "sequences,", y.Dropped, "characters dropped")

	// Those that start in the first 10 characters of the second document.
	for _, r := range y.Starting(1, 0, 10) {
		fmt.Printf("split %d: %d from number %d at character %d\n", r.Split, r.Count, r.Index, r.Char)
	}
	// Output:
	// [7 1 0] sequences, [1 4] characters dropped
	// split 0: 2 from number 5 at character 0
}
