package dataset_test

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/dataset"
)

func ExampleEpochOrder() {
	const n, seed = 6, 1
	for epoch := 1; epoch <= 3; epoch++ {
		order := dataset.EpochOrder(n, seed, epoch)
		fmt.Printf("epoch %d visits", epoch)
		for position := range int64(n) {
			fmt.Print(" ", order.At(position))
		}
		fmt.Println()
	}
	// Output:
	// epoch 1 visits 0 1 2 3 4 5
	// epoch 2 visits 3 0 2 5 1 4
	// epoch 3 visits 5 2 3 1 4 0
}

func ExampleShardRange() {
	for k := range 3 {
		lo, hi := dataset.ShardRange(11043, 3, k)
		fmt.Println(dataset.ShardName("train", k, 3), lo, hi)
	}
	// Output:
	// train-00000-of-00003.tfrecord 0 3681
	// train-00001-of-00003.tfrecord 3681 7362
	// train-00002-of-00003.tfrecord 7362 11043
}

func ExampleEntropies() {
	// abab: each character half of the text, and each follows the other.
	counts := map[rune]int64{'a': 2, 'b': 2}
	pairs := map[[2]rune]int64{{'a', 'b'}: 2, {'b', 'a'}: 1}
	unigram, bigram := dataset.Entropies(counts, pairs)
	fmt.Printf("%.4f %.4f\n", unigram, bigram)
	// Output: 0.6931 0.0000
}
