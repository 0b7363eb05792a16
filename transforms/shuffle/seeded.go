// Package shuffle decides where in a set a sequence goes.
//
// The n sequences of a split are shuffled by a keyed permutation π of 0…n-1, and
// the splits of a set follow one another: sequence i of a split has the rank f +
// π(i) in the set, where f is the number of sequences of the splits before it.
// Each shard holds a contiguous range of ranks, in order. This is an exact uniform
// shuffle that needs no buffer: each sequence's place is computed from its number
// alone, on any worker and in any order.
package shuffle

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/dataset"
)

// An Order is the order of a set's sequences. It is safe for concurrent use.
type Order struct {
	permutations []dataset.Permutation // of each split
	first        []int64               // rank of its first sequence
	ranks        int64
}

// Seeded returns the order of a set whose split k has totals[k] sequences. It
// panics if one of these is negative.
func Seeded(totals []int64, seed int64) *Order {
	o := new(Order)
	for k, n := range totals {
		if n < 0 {
			panic(fmt.Sprintf("shuffle.Seeded: %d sequences", n))
		}
		o.permutations = append(o.permutations, dataset.SplitOrder(n, seed, k))
		o.first = append(o.first, o.ranks)
		o.ranks += n
	}
	return o
}

// Ranks returns the number of ranks: that of all sequences.
func (o *Order) Ranks() int64 { return o.ranks }

// Rank returns the rank of sequence i, from 0, of a split.
func (o *Order) Rank(split int, i int64) int64 { return o.first[split] + o.permutations[split].At(i) }

// Each sets to[k] to Rank(split, first+k).
func (o *Order) Each(to []int64, split int, first int64) {
	o.permutations[split].Each(to, first)
	for k := range to {
		to[k] += o.first[split]
	}
}

// Shard returns the ranks [lo, hi) of shard k, from 0, of a split that has the given
// number of shards.
func (o *Order) Shard(split, shards, k int) (lo, hi int64) {
	next := o.ranks
	if split+1 < len(o.first) {
		next = o.first[split+1]
	}
	lo, hi = dataset.ShardRange(next-o.first[split], shards, k)
	return o.first[split] + lo, o.first[split] + hi
}
