package dataset

import (
	"fmt"
	"math"
	"testing"
)

// TestEach compares Each with At, for every length and start of small permutations, and
// around the ends of large ones.
func TestEach(t *testing.T) {
	check := func(p Permutation, first int64, count int) {
		t.Helper()
		got := make([]int64, count)
		p.Each(got, first)
		for k, x := range got {
			if want := p.At(first + int64(k)); x != want {
				t.Fatalf("%d of %d from %d of %d: got %d, want %d", k, count, first, p.n, x, want)
			}
		}
	}
	for n := range int64(40) {
		for _, p := range []Permutation{NewPermutation(n, 7, uint64(n%3)), EpochOrder(n, 7, 1), EpochOrder(n, 7, 2)} {
			for first := range n + 1 {
				for count := 0; int64(count) <= n-first; count++ {
					check(p, first, count)
				}
			}
		}
	}
	for _, n := range []int64{1000, 1023, 1024, 1025, 11043, 1<<32 - 1, 1 << 40, 1 << 62, math.MaxInt64} {
		p := NewPermutation(n, -5, 1)
		for _, count := range []int{1, 3, 4, 5, 64, 999} {
			for _, first := range []int64{0, 1, n / 2, n - int64(count)} {
				check(p, first, min(count, int(min(n-first, 1<<20))))
			}
		}
	}
}

// BenchmarkEach measures against BenchmarkAt, whose results it has.
func BenchmarkEach(b *testing.B) {
	p, to := NewPermutation(1e8, 1, 0), make([]int64, 1000)
	for i := 0; i < b.N; i += len(to) {
		p.Each(to, int64(i)%9e7)
	}
}

func BenchmarkAt(b *testing.B) {
	p, sum := NewPermutation(1e8, 1, 0), int64(0)
	for i := range b.N {
		sum += p.At(int64(i) % 9e7)
	}
	_ = fmt.Sprint(sum)
}
