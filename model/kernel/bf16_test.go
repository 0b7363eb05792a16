package kernel

import (
	"fmt"
	"math"
	"runtime"
	"testing"
)

// rounded returns x rounded to bfloat16, by float64 arithmetic on the gap between
// two neighbours.
func rounded(x float32) float32 {
	if x == 0 || x != x || math.IsInf(float64(x), 0) {
		return x
	}
	_, e := math.Frexp(float64(x))
	gap := math.Ldexp(1, max(e-8, -133))
	return float32(math.RoundToEven(float64(x)/gap) * gap)
}

// pairNaive is the product of pairs by the definition of VDPBF16PS: the later
// term of a pair first, each added by one fused multiply-add, subnormals zero.
func pairNaive(M, N, K int, a, b []float32, at func(i, k int) int, c []float32) {
	flush := func(x float32) float32 {
		if abs(x) < 0x1p-126 {
			return float32(math.Copysign(0, float64(x)))
		}
		return x
	}
	term := func(c, x, y float32) float32 { return flush(FMA(flush(rounded(x)), flush(rounded(y)), flush(c))) }
	for i := 0; i < M; i++ {
		for j := 0; j < N; j++ {
			s := c[i*N+j]
			for k := 0; k < K; k += 2 {
				var x, y float32
				if k+1 < K {
					x, y = a[at(i, k+1)], b[(k+1)*N+j]
				}
				s = term(s, x, y)
				s = term(s, a[at(i, k)], b[k*N+j])
			}
			c[i*N+j] = s
		}
	}
}

func needBF16(t *testing.T) {
	if err := BF16.Check(); err != nil {
		t.Skip(err)
	}
}

func TestToBF16(t *testing.T) {
	for _, x := range append(harsh(1, 4000), 1+0x1p-8, 1+0x1.8p-7, 1+0x1.0002p-8, -1-0x1p-8, 0x1.ffp0, 3.4e38) {
		got, want := math.Float32frombits(uint32(toBF16(x))<<16), rounded(x)
		if !sameBits(got, want) {
			t.Fatalf("%x becomes %x, want %x", x, got, want)
		}
	}
}

// TestPairs compares the vector code with the plain one at every width.
func TestPairs(t *testing.T) {
	needBF16(t)
	for w := 1; w <= 70; w++ {
		for n := 1; n <= 5; n++ {
			x := harsh(uint64(w), n*(w+3))
			got, put := make([]float32, 3*(w+1)), make([]float32, BF16.Words(w+3))
			pairBF16(got, w+1, x, w+3, n, w)
			BF16.Put(put, 3, x[:w])
			for i := range got {
				row, col := i/(w+1), i%(w+1)
				var want uint32
				if col < w && 2*row < n {
					want = uint32(toBF16(x[2*row*(w+3)+col]))
				}
				if col < w && 2*row+1 < n {
					want |= uint32(toBF16(x[(2*row+1)*(w+3)+col])) << 16
				}
				if math.Float32bits(got[i]) != want {
					t.Fatalf("w %d n %d: word %d of row %d is %08x, want %08x", w, n, col, row, math.Float32bits(got[i]), want)
				}
			}
			for i := 0; i < w; i++ {
				if half := uint16(math.Float32bits(put[(i+3)/2]) >> (16 * ((i + 3) % 2))); half != toBF16(x[i]) {
					t.Fatalf("w %d: value %d is %04x, want %04x", w, i, half, toBF16(x[i]))
				}
			}
		}
	}
}

// TestBF16Products compares products, packed and transposed, of every small
// size with their definition, for 1 and 3 workers.
func TestBF16Products(t *testing.T) {
	needBF16(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, s := range [][3]int{{1, 1, 1}, {2, 3, 2}, {3, 33, 7}, {15, 17, 64}, {29, 70, 9}, {5, 300, 257}, {64, 40, 1031}, {17, 9, 2049}, {2100, 2, 5}} {
		M, N, K := s[0], s[1], s[2]
		a, at, b := random(1, M*K), make([]float32, M*K), random(2, K*N)
		for i := range a {
			at[i%K*M+i/K] = a[i]
		}
		want := make([]float32, M*N)
		pairNaive(M, N, K, a, b, func(i, k int) int { return i*K + k }, want)
		for _, procs := range []int{1, 3} {
			runtime.GOMAXPROCS(procs)
			team := NewTeam()
			got := make([]float32, M*N)
			team.GemmT(BF16, M, N, K, at, M, b, N, got, N)
			equalBits(t, fmt.Sprintf("M %d N %d K %d, transposed", M, N, K), got, want)

			words := BF16.Words(K)
			for form, turn := range map[string][]int{"rows": {N, 1}, "columns": {1, K}} {
				src := b
				if form == "columns" {
					src = make([]float32, K*N)
					for i := range b {
						src[i%N*K+i/N] = b[i]
					}
				}
				near := make([]float32, M*words)
				for i := 0; i < M; i++ {
					BF16.Put(near[i*words:(i+1)*words], 0, a[i*K:(i+1)*K])
				}
				p := NewPanels(K, N, BF16)
				packed := make([]float32, M*N)
				team.Run(1<<30, func(w *Worker) {
					lo, hi := w.Range(N, Columns())
					p.Pack(lo, hi, src, turn[0], turn[1])
					if lo < hi {
						p.Multiply(w, M, lo, hi, near, words, nil, 0, packed[lo:], N)
					}
				})
				equalBits(t, fmt.Sprintf("M %d N %d K %d, %s", M, N, K, form), packed, want)
			}
		}
	}
}

func TestPrecisionNames(t *testing.T) {
	for _, p := range []Precision{FP32, BF16} {
		if got, err := ParsePrecision(p.String()); got != p || err != nil {
			t.Errorf("%v: parsed as %v, %v", p, got, err)
		}
	}
	if _, err := ParsePrecision("fp16"); err == nil {
		t.Error("fp16 was taken")
	}
	old := use
	defer func() { use = old }()
	use = generic
	if err := BF16.Check(); err == nil {
		t.Error("plain Go has no bfloat16 products, but Check allows them")
	}
}
