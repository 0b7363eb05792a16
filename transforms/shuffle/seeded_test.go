package shuffle

import (
	"fmt"
	"math"
	"testing"

	"github.com/quire-ml/quire/transforms/dataset"
)

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		n      int64
		shards int
	}{{0, 1}, {0, 5}, {1, 1}, {1, 16}, {3, 16}, {16, 16}, {17, 16}, {1000, 1}, {1000, 7}, {11043, 16}} {
		o := Seeded(c.n, 1, 0, c.shards)
		pi := dataset.NewPermutation(c.n, 1, 0)
		seen := make([]bool, c.n)
		held := make([]int64, c.shards)
		for i := range c.n {
			rank, shard := o.Place(i)
			lo, hi := dataset.ShardRange(c.n, c.shards, shard)
			if rank != pi.At(i) || seen[rank] || rank < lo || rank >= hi {
				t.Fatalf("%v: sequence %d has rank %d in shard %d of ranks %d to %d", c, i, rank, shard, lo, hi)
			}
			seen[rank] = true
			held[shard]++
		}
		for k, got := range held {
			if lo, hi := dataset.ShardRange(c.n, c.shards, k); got != hi-lo {
				t.Errorf("%v: shard %d has %d sequences, want %d", c, k, got, hi-lo)
			}
		}
	}
}

// TestShardsDoNotMatter: the order of all sequences is the same in any number
// of shards.
func TestShardsDoNotMatter(t *testing.T) {
	one, many := Seeded(500, 9, 1, 1), Seeded(500, 9, 1, 33)
	for i := range int64(500) {
		a, _ := one.Place(i)
		if b, _ := many.Place(i); a != b {
			t.Fatalf("sequence %d has rank %d or %d", i, a, b)
		}
	}
}

func TestSeededPanics(t *testing.T) {
	for name, f := range map[string]func(){"n": func() { Seeded(-1, 0, 0, 1) }, "shards": func() { Seeded(1, 0, 0, 0) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func ExampleOrder() {
	o := Seeded(6, 1, 0, 2) // 6 sequences, seed 1, in 2 shards
	for i := range int64(6) {
		rank, shard := o.Place(i)
		fmt.Printf("sequence %d: rank %d, shard %d\n", i, rank, shard)
	}
	// Output:
	// sequence 0: rank 1, shard 0
	// sequence 1: rank 2, shard 0
	// sequence 2: rank 4, shard 1
	// sequence 3: rank 5, shard 1
	// sequence 4: rank 0, shard 0
	// sequence 5: rank 3, shard 1
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
		o := Seeded(n, seed, 0, 7)
		ranks, places := make([]int64, n), make([]int64, n)
		var table [ranges][ranges]float64
		for i := range int64(n) {
			rank, _ := o.Place(i)
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
