package dataset

import (
	"fmt"
	"math"
	"testing"
)

func TestBijective(t *testing.T) {
	seen := make([]int64, 2001)
	mark := int64(0)
	check := func(p Permutation, n int64, what string) {
		mark++
		for i := range n {
			x := p.At(i)
			if x < 0 || x >= n || seen[x] == mark {
				t.Fatalf("%s of %d: %d goes to %d, out of range or taken", what, n, i, x)
			}
			seen[x] = mark
		}
	}
	for n := range int64(2001) {
		check(NewPermutation(n, n*7-3000, uint64(n%3)), n, "permutation")
	}
	for _, seed := range []int64{0, -1, math.MinInt64, math.MaxInt64} {
		for _, n := range []int64{1, 2, 3, 4, 5, 16, 17, 1000, 1024} {
			check(NewPermutation(n, seed, math.MaxUint64), n, fmt.Sprint("permutation with seed ", seed))
			check(EpochOrder(n, seed, 2), n, "epoch 2")
		}
	}
}

// TestLarge looks at n that no table would hold.
func TestLarge(t *testing.T) {
	for _, n := range []int64{1 << 32, 1<<40 + 1, 1<<52 - 1, 1 << 62, math.MaxInt64} {
		p := NewPermutation(n, 1, 0)
		seen := map[int64]bool{}
		sum := 0.0
		const many = 20000
		for i := range int64(many) {
			x := p.At(i) // neighbours
			y := p.At(n - 1 - i)
			if x < 0 || x >= n || y < 0 || y >= n || seen[x] || seen[y] || x == y {
				t.Fatalf("n %d: %d goes to %d, %d to %d", n, i, x, n-1-i, y)
			}
			seen[x], seen[y] = true, true
			sum += float64(x)/float64(n) - 0.5
		}
		if z := sum / math.Sqrt(many/12.0); math.Abs(z) > 4 {
			t.Errorf("n %d: the mean of the first %d is %.1f standard deviations off", n, many, z)
		}
	}
}

// excess returns by how many standard deviations the χ² of counts, which should
// be equal, is above its mean. ties is the number of independent constraints.
func excess(counts []int, ties int) float64 {
	total := 0
	for _, c := range counts {
		total += c
	}
	want := float64(total) / float64(len(counts))
	chi := 0.0
	for _, c := range counts {
		chi += (float64(c) - want) * (float64(c) - want) / want
	}
	free := float64(len(counts) - ties)
	return (chi - free) / math.Sqrt(2*free)
}

// TestEveryPermutation counts how often each of the n! orders comes.
func TestEveryPermutation(t *testing.T) {
	const seeds = 50_000
	for n, orders := int64(2), 2; n <= 6; n, orders = n+1, orders*int(n+1) {
		counts := make([]int, orders)
		for seed := range int64(seeds) {
			p := NewPermutation(n, seed, 0)
			var at [6]int64
			for i := range n {
				at[i] = p.At(i)
			}
			number := 0 // of the order, by its inversions
			for i := range n {
				smaller := 0
				for j := i + 1; j < n; j++ {
					if at[j] < at[i] {
						smaller++
					}
				}
				number = number*int(n-i) + smaller
			}
			counts[number]++
		}
		if x := excess(counts, 1); math.Abs(x) > 4 {
			t.Errorf("n %d: χ² of the %d orders is %.1f standard deviations off: %v", n, orders, x, counts)
		}
	}
}

// TestUniform counts where each number goes, in at most 50 ranges, and how far
// apart neighbours come to lie.
func TestUniform(t *testing.T) {
	for n, seeds := range map[int64]int64{7: 20000, 16: 10000, 64: 3000, 200: 1000, 1000: 200, 1024: 1000, 2000: 1000} {
		bins := min(n, 50)
		for n%bins != 0 {
			bins--
		}
		places := make([]int, bins*bins)
		gaps := make([]int, n-1)
		fixed := int64(0)
		for seed := range seeds {
			p := NewPermutation(n, seed, 1)
			last := p.At(n - 1)
			for i := range n {
				x := p.At(i)
				places[i*bins/n*bins+x*bins/n]++
				gaps[(x-last+n)%n-1]++
				last = x
				if x == i {
					fixed++
				}
			}
		}
		if x := excess(places, int(2*bins-1)); math.Abs(x) > 4 {
			t.Errorf("n %d: χ² of places is %.1f standard deviations off", n, x)
		}
		if x := excess(gaps, 1); math.Abs(x) > 4 {
			t.Errorf("n %d: χ² of gaps is %.1f standard deviations off", n, x)
		}
		if z := float64(fixed-seeds) / math.Sqrt(float64(seeds)); math.Abs(z) > 4 {
			t.Errorf("n %d: %d fixed points in %d permutations", n, fixed, seeds)
		}
	}
}

// TestUnrelated compares orders that differ in one input by one.
func TestUnrelated(t *testing.T) {
	const n = 20000
	base := NewPermutation(n, 1, 0)
	for name, p := range map[string]Permutation{
		"seed": NewPermutation(n, 2, 0), "stream": NewPermutation(n, 1, 1), "n": NewPermutation(n+1, 1, 0),
		"epoch 2": EpochOrder(n, 1, 2), "epoch 3": EpochOrder(n, 1, 3), "identity": EpochOrder(n, 1, 1),
	} {
		same := 0
		product := 0.0
		for i := range int64(n) {
			x, y := base.At(i), p.At(i)
			if x == y {
				same++
			}
			product += (float64(x)/n - 0.5) * (float64(y)/n - 0.5) * 12
		}
		if z := product / math.Sqrt(n); same > 8 || math.Abs(z) > 4 {
			t.Errorf("%s: %d of %d the same, correlation %.1f standard deviations off", name, same, n, z)
		}
	}
}

// TestPermutationGolden holds the order that sets and trainings of today have:
// if it changes, so do all their bytes. The
// numbers are those of a Python program written from the comment on Permutation.
func TestPermutationGolden(t *testing.T) {
	for _, c := range []struct {
		p    Permutation
		want string
	}{
		{NewPermutation(10, 1, 0), "[1 3 0 7 9 6 8 5 2 4]"},
		{NewPermutation(10, 1, 1), "[1 0 3 9 5 2 4 6 7 8]"},
		{NewPermutation(10, -1, 0), "[2 4 6 9 0 7 5 1 3 8]"},
		{EpochOrder(10, 1, 1), "[0 1 2 3 4 5 6 7 8 9]"},
		{EpochOrder(10, 1, 2), "[5 9 4 3 2 1 7 0 8 6]"},
	} {
		var got []int64
		for i := range int64(10) {
			got = append(got, c.p.At(i))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("got %v, want %s", got, c.want)
		}
	}
	if got := NewPermutation(1<<40, 1, 0).At(123456789); got != 4374769664 {
		t.Errorf("got %d", got)
	}
}

func TestPermutationPanics(t *testing.T) {
	for name, f := range map[string]func(){
		"negative n": func() { NewPermutation(-1, 0, 0) },
		"epoch 0":    func() { EpochOrder(1, 0, 0) },
		"below":      func() { NewPermutation(3, 0, 0).At(-1) },
		"above":      func() { NewPermutation(3, 0, 0).At(3) },
		"identity":   func() { EpochOrder(3, 0, 1).At(3) },
		"nothing":    func() { Permutation{}.At(0) },

		"each below":    func() { NewPermutation(3, 0, 0).Each(make([]int64, 1), -1) },
		"each above":    func() { NewPermutation(9, 0, 0).Each(make([]int64, 4), 6) },
		"each identity": func() { EpochOrder(3, 0, 1).Each(make([]int64, 2), 2) },
	} {
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

func BenchmarkPermutation(b *testing.B) {
	for _, n := range []int64{11043, 1 << 40} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := NewPermutation(n, 1, 0)
			i := int64(0)
			for b.Loop() {
				i = (i + p.At(i)) % n
			}
		})
	}
}
