// Package shuffle decides where in a set a sequence goes.
//
// A split of n sequences is shuffled by a keyed permutation π of 0…n-1:
// sequence i has rank π(i), and shard k holds a contiguous range of ranks, in
// order. This is an exact uniform shuffle that needs no buffer: each sequence's
// place is computed from its number alone, on any worker and in any order.
package shuffle

import (
	"fmt"
	"sort"

	"github.com/quire-ml/quire/transforms/dataset"
)

// An Order is the order of a split's sequences and their division into shards.
// It is safe for concurrent use.
type Order struct {
	permutation dataset.Permutation
	ends        []int64 // first rank after each shard
}

// Seeded returns the order of n sequences in the given number of shards. Splits
// of a set share the seed and differ in stream. It panics if n < 0 or shards <
// 1.
func Seeded(n, seed int64, stream uint64, shards int) *Order {
	if n < 0 || shards < 1 {
		panic(fmt.Sprintf("shuffle.Seeded: %d sequences in %d shards", n, shards))
	}
	o := &Order{permutation: dataset.NewPermutation(n, seed, stream), ends: make([]int64, shards)}
	for k := range o.ends {
		_, o.ends[k] = dataset.ShardRange(n, shards, k)
	}
	return o
}

// Place returns the rank of sequence i of 0…n-1 and the shard that holds it.
func (o *Order) Place(i int64) (rank int64, shard int) {
	rank = o.permutation.At(i)
	return rank, sort.Search(len(o.ends), func(k int) bool { return rank < o.ends[k] })
}
