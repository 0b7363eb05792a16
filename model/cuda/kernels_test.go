package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"os"
	"sync"
	"testing"

	"github.com/quire-ml/quire/model/cuda/ptx"
	"github.com/quire-ml/quire/model/kernel"
)

// A target executes kernels: an interpreter, or the machine's GPU.
type target interface {
	alloc(n int) (Ptr, error)
	write(p Ptr, b []byte) error
	read(b []byte, p Ptr) error
	launcher
}

// interpreter executes kernels.ptx without a driver.
type interpreter struct {
	module *ptx.Module
	memory *ptx.Memory
}

var parsed = sync.OnceValues(func() (*ptx.Module, error) { return ptx.Parse(ptxText) })

func (i *interpreter) alloc(n int) (Ptr, error)    { return Ptr(i.memory.Alloc(n)), nil }
func (i *interpreter) write(p Ptr, b []byte) error { return i.memory.Write(uint64(p), b) }
func (i *interpreter) read(b []byte, p Ptr) error  { return i.memory.Read(uint64(p), b) }
func (i *interpreter) launch(f function, x, y int, a *args) error {
	e := &entries[f]
	if a.n != len(e.params) {
		return fmt.Errorf("%s: %d parameters, want %d", e.name, a.n, len(e.params))
	}
	var packed []byte // each at a multiple of its size
	for k, size := range e.params {
		for len(packed)%size != 0 {
			packed = append(packed, 0)
		}
		packed = append(packed, binary.LittleEndian.AppendUint64(nil, a.values[k])[:size]...)
	}
	return i.memory.Launch(i.module.Kernel(e.name), [3]uint32{uint32(x), uint32(y), 1}, [3]uint32{uint32(e.threads), 1, 1}, 0, packed)
}

// gpuTarget returns the machine's GPU; nil in a build without a driver.
var gpuTarget func(testing.TB) target

// kernelBench launches kernels on a target.
type kernelBench struct {
	t  testing.TB
	on target
	kernels

	large    bool // computes products by large blocks, however small they are
	launches [functionCount]int
}

// newKernelBench returns a bench of the interpreter, or with QUIRE_GPU=1 of the machine's
// GPU.
func newKernelBench(t testing.TB) *kernelBench {
	s := &kernelBench{t: t}
	s.kernels.launcher = s
	if os.Getenv("QUIRE_GPU") == "1" && gpuTarget != nil {
		s.on = gpuTarget(t)
		return s
	}
	m, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	i := &interpreter{m, ptx.NewMemory()}
	i.memory.Seed = 1
	s.on = i
	return s
}

func (s *kernelBench) launch(f function, x, y int, a *args) error {
	if s.large {
		f-- // of a product that the launch gave to small blocks
		x, y = blocks(int(a.values[0]), 128), blocks(int(a.values[1]), 64)
	}
	s.launches[f]++
	return s.on.launch(f, x, y, a)
}

// put copies float32, float64, int32 or uint64 values to new memory, and fetch
// copies the values there back.
func put[V any](s *kernelBench, x []V) Ptr {
	b, err := binary.Append(nil, binary.LittleEndian, x)
	s.check(err)
	p, err := s.on.alloc(max(len(b), 1))
	s.check(err)
	if len(b) > 0 {
		s.check(s.on.write(p, b))
	}
	return p
}

func fetch[V any](s *kernelBench, p Ptr, n int) []V {
	x := make([]V, n)
	b := make([]byte, binary.Size(x))
	s.check(s.on.read(b, p))
	_, err := binary.Decode(b, binary.LittleEndian, x)
	s.check(err)
	return x
}

// check ends the test for an error.
func (s *kernelBench) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// same and same64 report the first value at p that is not the one wanted. A NaN is
// any NaN.
func same(s *kernelBench, what string, p Ptr, want []float32) {
	s.t.Helper()
	for i, got := range fetch[float32](s, p, len(want)) {
		if math.Float32bits(got) != math.Float32bits(want[i]) && (got == got || want[i] == want[i]) {
			s.t.Errorf("%s: value %d is %g (%#x), want %g (%#x)", what, i, got, math.Float32bits(got), want[i], math.Float32bits(want[i]))
			return
		}
	}
}

func same64(s *kernelBench, what string, p Ptr, want []float64) {
	s.t.Helper()
	for i, got := range fetch[float64](s, p, len(want)) {
		if math.Float64bits(got) != math.Float64bits(want[i]) && (got == got || want[i] == want[i]) {
			s.t.Errorf("%s: value %d is %g, want %g", what, i, got, want[i])
			return
		}
	}
}

// special are the values at which arithmetic has corners.
var special = []float32{0, float32(math.Copysign(0, -1)), 1, -1, math.SmallestNonzeroFloat32, -1e-40, 1.1754944e-38, 3e-20, -88.4, 87.1, 0.625, -0.625, 1e18, -3e38}

// random returns values of which one in eight is special.
func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		if r.Intn(8) == 0 {
			x[i] = special[r.Intn(len(special))]
		}
	}
	return x
}

// ordinary returns values of which no product of this file's sizes overflows.
func ordinary(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 0.5)
		if r.Intn(16) == 0 {
			x[i] = special[r.Intn(7)]
		}
	}
	return x
}

// either is ordinary in most cases, and random in every third.
func either(r *rand.Rand, n int) []float32 {
	if r.Intn(3) == 0 {
		return random(r, n)
	}
	return ordinary(r, n)
}

func indexes(r *rand.Rand, n, below int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(r.Intn(below))
	}
	return x
}

// TestGemm has every form of a product at sizes around those of a tile, with and
// without an initial value, rows that are longer than they need, and no terms.
func TestGemm(t *testing.T) {
	r, team := rand.New(rand.NewSource(1)), kernel.NewTeam()
	for f, form := range []string{"nt", "nn", "tn"} {
		for i, size := range [][3]int{{1, 1, 0}, {1, 1, 1}, {5, 3, 2}, {3, 66, 7}, {31, 2, 8}, {32, 32, 9}, {33, 1, 33}, {2, 31, 31}, {65, 33, 32}, {127, 63, 1}, {128, 64, 17},
			{129, 65, 5}, {1, 4, 64}, {12, 70, 40}, {130, 8, 36}, {5, 7, 130}} {
			M, N, K := size[0], size[1], size[2]
			pad := i % 2 * 3
			ars, acs, brs, bcs, crs := K+pad, 1, N+pad, 1, N+pad
			if form == "tn" {
				ars, acs = 1, M+pad
			}
			if form == "nt" {
				brs, bcs = 1, K+pad
			}
			start := (i + f) % 3 // zeros, a row, rows
			for _, large := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%dx%dx%d/%d/%v", form, M, N, K, start, large), func(t *testing.T) {
					s := newKernelBench(t)
					s.large = large
					a, b := either(r, max(M*(ars+acs)*max(K, 1), 1)), either(r, max(N*(brs+bcs)*max(K, 1), 1))
					if form == "tn" {
						a = a[:max(K*acs, 1)]
					} else {
						a = a[:max(M*ars, 1)]
					}
					if form == "nt" {
						b = b[:max(N*bcs, 1)]
					} else {
						b = b[:max(K*brs, 1)]
					}
					c := random(r, M*crs)
					var init []float32
					var pi Ptr
					irs := 0
					if start > 0 {
						irs = (start - 1) * (N + 1)
						init = random(r, M*(N+1))
						pi = put(s, init)
					}
					pc := put(s, c)
					s.check(s.gemm(M, N, K, put(s, a), ars, acs, put(s, b), brs, bcs, pi, irs, pc, crs))
					team.Gemm(M, N, K, a, ars, acs, b, brs, bcs, init, irs, c, crs)
					same(s, "c", pc, c)
				})
			}
		}
	}
}

// steps are (B, H) around the tiles of the recurrent kernels: 32 rows by 16 units,
// 32 terms forward, 64 terms back.
var steps = [][2]int{{1, 1}, {2, 3}, {5, 4}, {17, 7}, {16, 12}, {31, 16}, {32, 16}, {33, 17}, {3, 20}, {5, 32}, {1, 33}, {2, 36}, {7, 64}, {1, 68}, {3, 100}, {65, 5}}

// TestForward has both cells: rows of x by ids and by themselves, with and without
// the values for the way back, the memory in place and not.
func TestForward(t *testing.T) {
	r, team := rand.New(rand.NewSource(2)), kernel.NewTeam()
	for _, G := range []int{3, 4} {
		for i, step := range steps {
			B, H := step[0], step[1]
			t.Run(fmt.Sprintf("%d/%dx%d", G, B, H), func(t *testing.T) {
				s := newKernelBench(t)
				rows, W := B, kernel.TmpWidth(H)
				var ids []int32
				var pids Ptr
				if i%2 == 0 {
					rows = 5
					ids = indexes(r, B, rows)
					pids = put(s, ids)
				}
				x, whh, bhh, h, c := either(r, rows*G*H), either(r, G*H*H), either(r, G*H), either(r, B*H), either(r, B*H)
				tmp, out, cOut := make([]float32, B*W), make([]float32, B*H), make([]float32, B*H)
				px, pwhh, pbhh, ph, pc, pout, ptmp := put(s, x), put(s, whh), put(s, bhh), put(s, h), put(s, c), put(s, out), put(s, tmp)
				pcOut := pc
				if i%3 == 0 {
					pcOut = put(s, cOut)
				}
				if i%4 == 3 {
					ptmp = 0
				}
				team.Gemm(B, G*H, H, h, H, 1, whh, 1, H, bhh, 0, tmp, W)
				if G == 3 {
					s.check(s.gruForward(B, H, px, pids, pwhh, pbhh, ph, pout, ptmp))
					kernel.GRUForward(x, ids, tmp, h, out, B, H, 0, H)
				} else {
					s.check(s.lstmForward(B, H, px, pids, pwhh, pbhh, ph, pc, pcOut, pout, ptmp))
					kernel.LSTMForward(x, ids, tmp, c, cOut, out, B, H, 0, H)
					same(s, "c after the step", pcOut, cOut)
				}
				same(s, "hidden after the step", pout, out)
				if ptmp != 0 {
					same(s, "tmp", ptmp, tmp)
				}
			})
		}
	}
}

// TestBackward has both cells at the last step, which nothing follows, and at
// another.
func TestBackward(t *testing.T) {
	r, team := rand.New(rand.NewSource(3)), kernel.NewTeam()
	for _, G := range []int{3, 4} {
		for i, step := range steps {
			B, H, last := step[0], step[1], i%4 == 3
			t.Run(fmt.Sprintf("%d/%dx%d/%v", G, B, H, last), func(t *testing.T) {
				s := newKernelBench(t)
				W := kernel.TmpWidth(H)
				next, tmp, whh := either(r, B*W), either(r, B*W), either(r, G*H*H)
				h, c, cOut, dout, dh := either(r, B*H), either(r, B*H), either(r, B*H), either(r, B*H), either(r, B*H)
				for b := range B { // no kernel may use what lies behind the gates
					for j := 4 * H; j < W; j++ {
						next[b*W+j], tmp[b*W+j] = float32(math.NaN()), -1
					}
				}
				ptmp, pdh, pnext := put(s, tmp), put(s, dh), put(s, next)
				if last {
					pnext, next = 0, nil
				}
				past := make([]float32, B*H) // the gradient of the hidden after the step
				if next != nil {
					var init []float32
					if G == 3 {
						init = dh
					}
					team.Gemm(B, H, G*H, next, W, 1, whh, H, 1, init, H, past, H)
				}
				if G == 3 {
					s.check(s.gruBackward(B, H, pnext, put(s, whh), ptmp, put(s, h), put(s, dout), pdh))
					kernel.GRUBackward(tmp, h, dout, past, B, H, 0, H)
					dh = past
				} else {
					s.check(s.lstmBackward(B, H, pnext, put(s, whh), ptmp, put(s, c), put(s, cOut), put(s, dout), pdh))
					if last {
						clear(dh)
					}
					kernel.LSTMBackward(tmp, c, cOut, dout, past, dh, B, H, 0, H)
				}
				same(s, "tmp", ptmp, tmp)
				same(s, "gradient of the state before", pdh, dh)
			})
		}
	}
}
