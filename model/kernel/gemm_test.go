package kernel

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// random returns n values of both signs over a few binades.
func random(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// naive is the definition of a product, one chain after another, by exact
// arithmetic.
func naive(M, N, K int, a []float32, ars, acs int, b []float32, brs, bcs int, c []float32, crs int) {
	for i := 0; i < M; i++ {
		for j := 0; j < N; j++ {
			for k := 0; k < K; k++ {
				c[i*crs+j] = exactFMA(a[i*ars+k*acs], b[k*brs+j*bcs], c[i*crs+j])
			}
		}
	}
}

func equalBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !sameBits(got[i], want[i]) {
			t.Fatalf("%s: value %d is %x, want %x", name, i, got[i], want[i])
		}
	}
}

// every runs f once for each variant of this processor.
func every(t *testing.T, f func(t *testing.T)) {
	old := use
	defer func() { use = old }()
	for _, v := range variants() {
		use = v
		t.Run(v.name, f)
	}
}

// TestVariants logs the variants that this run covers, and demands that the named
// variant is in use.
func TestVariants(t *testing.T) {
	name, err := Variant()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range variants() {
		t.Logf("covered: %s", v.name)
	}
	t.Logf("in use: %s", name)
	if err := choose("sse9"); err == nil || use.name != name {
		t.Errorf("variant sse9: error %v, %s in use", err, use.name)
	}
}

// TestGemm compares every small size, plain and with each input transposed,
// with exact arithmetic.
func TestGemm(t *testing.T) {
	every(t, func(t *testing.T) {
		team := NewTeam()
		for M := 1; M <= 5; M++ {
			for N := 1; N <= 9; N++ {
				for K := 0; K <= 5; K++ {
					for form := 0; form < 4; form++ {
						ars, acs, brs, bcs := K, 1, N, 1
						if form&1 == 1 {
							ars, acs = 1, M
						}
						if form&2 == 2 {
							brs, bcs = 1, K
						}
						a, b, c := random(1, M*K), random(2, K*N), random(3, M*(N+2))
						want := append([]float32(nil), c...)
						naive(M, N, K, a, ars, acs, b, brs, bcs, want, N+2)
						team.Gemm(M, N, K, a, ars, acs, b, brs, bcs, c, N+2, c, N+2)
						equalBits(t, fmt.Sprintf("M %d N %d K %d form %d", M, N, K, form), c, want)
					}
				}
			}
		}
	})
}

// TestGemmSizes compares every variant with plain Go at sizes around the borders
// of tiles, blocks and workers, with every kind of init.
func TestGemmSizes(t *testing.T) {
	type size struct{ M, N, K int }
	var sizes []size
	for M := 1; M <= 29; M++ {
		sizes = append(sizes, size{M, 33 + M%3, 7})
	}
	for N := 1; N <= 70; N++ {
		sizes = append(sizes, size{3, N, 5})
	}
	sizes = append(sizes, size{4500, 3, 5}, size{64, 96, 300}, size{17, 530, 260}, size{40, 257, 513}, size{1, 300, 1030}, size{129, 31, 255})
	r := rand.New(rand.NewPCG(5, 6))
	for range 12 {
		sizes = append(sizes, size{1 + r.IntN(200), 1 + r.IntN(700), 1 + r.IntN(400)})
	}
	for _, s := range sizes {
		M, N, K := s.M, s.N, s.K
		a, at, b := random(1, M*K), make([]float32, M*K), random(2, K*N)
		for i := range a {
			at[i%K*M+i/K] = a[i]
		}
		row, full := random(3, N), random(4, M*N)
		for kind, init := range map[string][]float32{"zeros": nil, "row": row, "matrix": full} {
			irs := 0
			if kind == "matrix" {
				irs = N
			}
			var want []float32
			every(t, func(t *testing.T) {
				got, turned, packed := make([]float32, M*N), make([]float32, M*N), make([]float32, M*N)
				team := NewTeam()
				team.Gemm(M, N, K, a, K, 1, b, N, 1, init, irs, got, N)
				team.Gemm(M, N, K, at, 1, M, b, N, 1, init, irs, turned, N)
				p := NewPanels(K, N, FP32)
				team.Run(1<<30, func(w *Worker) {
					lo, hi := w.Range(N, Columns())
					p.Pack(lo, hi, b, N, 1)
					if lo < hi {
						start := init
						if start != nil {
							start = init[lo:]
						}
						p.Multiply(w, M, lo, hi, a, K, start, irs, packed[lo:], N)
					}
				})
				if want == nil {
					want = got
				}
				name := fmt.Sprintf("M %d N %d K %d from %s", M, N, K, kind)
				equalBits(t, name, got, want)
				equalBits(t, name+", a transposed", turned, want)
				equalBits(t, name+", packed", packed, want)
			})
		}
	}
}

// TestThreads demands the same bits for any number of goroutines.
func TestThreads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const M, N, K = 37, 301, 129
	a, b := random(1, M*K), random(2, K*N)
	var want []float32
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		c := random(4, M*N)
		NewTeam().Gemm(M, N, K, a, K, 1, b, N, 1, c, N, c, N)
		if want == nil {
			want = c
		}
		equalBits(t, fmt.Sprintf("GOMAXPROCS %d", procs), c, want)
	}
}

// TestTeam demands that every item is done once, and that values written before a
// barrier are seen after it.
func TestTeam(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, procs := range []int{1, 2, 3, 8} {
		runtime.GOMAXPROCS(procs)
		team := NewTeam()
		for n := 0; n < 40; n++ {
			for grain := 1; grain < 12; grain++ {
				seen, sums := make([]int, n), make([]int, procs)
				team.Run(1<<30, func(w *Worker) {
					lo, hi := w.Range(n, grain)
					for round := 1; round <= 3; round++ {
						for i := lo; i < hi; i++ {
							seen[i]++
						}
						w.Barrier()
						for _, k := range seen {
							sums[w.ID] += k
						}
						w.Barrier()
					}
				})
				for _, s := range sums {
					if s != 6*n {
						t.Fatalf("%d workers, n %d grain %d: sum %d, want %d", procs, n, grain, s, 6*n)
					}
				}
			}
		}
	}
}

// TestNoAllocation demands that a product allocates nothing from its second run
// on.
func TestNoAllocation(t *testing.T) {
	const M, N, K = 64, 300, 100
	a, b, c := random(1, M*K), random(2, K*N), random(3, M*N)
	team := NewTeam()
	run := func() { team.Gemm(M, N, K, a, K, 1, b, N, 1, nil, 0, c, N) }
	run()
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations a product, want none", n)
	}
}
