package shuffle

import (
	"fmt"
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
