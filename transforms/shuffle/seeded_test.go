package shuffle

import (
	"fmt"
	"math"
	"testing"

	"github.com/quire-ml/quire/transforms/dataset"
)

// TestRank makes sets of up to three splits, in many numbers of shards: every
// rank comes once, those of a split follow one another, and each split's order is
// its permutation.
func TestRank(t *testing.T) {
	for _, totals := range [][]int64{{0}, {1}, {1000}, {3, 0, 4}, {16, 17, 1}, {11043, 500}} {
		o := Seeded(totals, 1)
		seen := make([]bool, o.Ranks())
		first := int64(0)
		for split, n := range totals {
			pi := dataset.NewPermutation(n, 1, uint64(split))
			ranks := make([]int64, n/2)
			o.Each(ranks, split, n/3)
			for k, rank := range ranks {
				if want := first + pi.At(n/3+int64(k)); rank != want {
					t.Fatalf("%v: sequence %d of split %d has rank %d, want %d", totals, n/3+int64(k), split, rank, want)
				}
			}
			for i := range n {
				rank := o.Rank(split, i)
				if rank != first+pi.At(i) || seen[rank] {
					t.Fatalf("%v: sequence %d of split %d has rank %d, which is taken: %v", totals, i, split, rank, seen[rank])
				}
				seen[rank] = true
			}
			for _, shards := range []int{1, 2, 7, 16} {
				end := first
				for k := range shards {
					lo, hi := o.Shard(split, shards, k)
					if lo != end || hi < lo || hi-lo > (n+int64(shards)-1)/int64(shards) {
						t.Errorf("%v: shard %d of %d of split %d has the ranks %d to %d, the one before ends at %d", totals, k, shards, split, lo, hi, end)
					}
					end = hi
				}
				if end != first+n {
					t.Errorf("%v: %d shards of split %d end at rank %d, want %d", totals, shards, split, end, first+n)
				}
			}
			first += n
		}
		if o.Ranks() != first {
			t.Errorf("%v: %d ranks", totals, o.Ranks())
		}
	}
}

func TestSeededPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Seeded([]int64{3, -1}, 0)
}

func ExampleOrder() {
	o := Seeded([]int64{4, 2}, 1) // 4 sequences for training, 2 for validation, seed 1
	for split, n := range []int64{4, 2} {
		for i := range n {
			fmt.Printf("split %d, sequence %d: rank %d\n", split, i, o.Rank(split, i))
		}
	}
	// Output:
	// split 0, sequence 0: rank 1
	// split 0, sequence 1: rank 0
	// split 0, sequence 2: rank 3
	// split 0, sequence 3: rank 2
	// split 1, sequence 0: rank 5
	// split 1, sequence 1: rank 4
}

// TestNoStructure looks for traces of the corpus' order in the ranks of n
// sequences, with 20 seeds.
//
// Positions: sequences and ranks are each divided in 16 ranges. In a uniform
// shuffle each of the 256 pairs of ranges has n/256 sequences, and χ² over them has
// 15·15 = 225 degrees of freedom: mean 225, standard deviation √450 = 21. The mean
// of 20 has 4.7. Above 225+5·21 once, or 5·4.7 from 225 on average, has a chance
// below one in a million.
//
// Serial correlation, of a sequence's rank with that of the sequence lag places
// later, is 0 in the mean with standard deviation 1/√n; 5 of these in 20·6 tests
// have a chance of about one in ten thousand. So has that of neighbours in rank,
// by their places in the corpus.
//
// Both tests would see a shuffle by a buffer, a shuffle of shards, or a stride: that
// of tf.data with a buffer of n/10 has χ² of more than 4n.
func TestNoStructure(t *testing.T) {
	const n, ranges, seeds = 40_000, 16, 20
	sum := 0.0
	for seed := range int64(seeds) {
		o := Seeded([]int64{n}, seed)
		ranks, places := make([]int64, n), make([]int64, n)
		var table [ranges][ranges]float64
		for i := range int64(n) {
			rank := o.Rank(0, i)
			ranks[i], places[rank] = rank, i
			table[i*ranges/n][rank*ranges/n]++
		}
		chi := 0.0
		for _, row := range table {
			for _, count := range row {
				const want = float64(n) / ranges / ranges
				chi += (count - want) * (count - want) / want
			}
		}
		sum += chi
		if chi > 225+5*21.3 {
			t.Errorf("seed %d: χ² of positions is %.0f", seed, chi)
		}
		for _, lag := range []int{1, 2, 3, 7, 64, 200} {
			for name, order := range map[string][]int64{"ranks": ranks, "places": places} {
				if c := correlation(order, lag) * math.Sqrt(n); math.Abs(c) > 5 {
					t.Errorf("seed %d: serial correlation of %s, lag %d, is %.1f standard deviations", seed, name, lag, c)
				}
			}
		}
	}
	if mean := sum / seeds; math.Abs(mean-225) > 5*4.8 {
		t.Errorf("χ² is %.1f on average, want about 225", mean)
	}
}

// correlation returns that of x and x moved by lag, in a circle.
func correlation(x []int64, lag int) float64 {
	mean := float64(len(x)-1) / 2
	var above, below float64
	for i := range x {
		a, b := float64(x[i])-mean, float64(x[(i+lag)%len(x)])-mean
		above += a * b
		below += a * a
	}
	return above / below
}
