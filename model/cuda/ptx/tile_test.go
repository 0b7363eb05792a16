package ptx

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
)

// tileFile parses testdata/tile.ptx, what clang makes of tile.cu.
func tileFile(t testing.TB) *Module {
	t.Helper()
	text, err := os.ReadFile("testdata/tile.ptx")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// floats allocates memory with n random values.
func floats(t testing.TB, m *Memory, r *rand.Rand, n int) (uint64, []float32) {
	t.Helper()
	list, bytes := make([]float32, n), []byte(nil)
	for i := range list {
		list[i] = float32(r.NormFloat64())
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(list[i]))
	}
	p := m.Alloc(len(bytes))
	if err := m.Write(p, bytes); err != nil {
		t.Fatal(err)
	}
	return p, list
}

// tileParams packs the parameters of tile.
func tileParams(M, N, K int, a, b, c uint64) []byte {
	var p []byte
	for _, n := range []int{M, N, K, 0} { // the last is padding
		p = binary.LittleEndian.AppendUint32(p, uint32(n))
	}
	for _, x := range []uint64{a, b, c} {
		p = binary.LittleEndian.AppendUint64(p, x)
	}
	return p
}

// TestTile compares a product that clang compiled, with tiles in shared memory and
// vectors of 4, with the sums as Go computes them.
func TestTile(t *testing.T) {
	const M, N, K = 128, 64, 48
	m, r := NewMemory(), rand.New(rand.NewPCG(1, 2))
	pa, a := floats(t, m, r, M*K)
	pb, b := floats(t, m, r, K*N)
	pc := m.Alloc(4 * M * N)
	if err := m.Launch(tileFile(t).Kernel("tile"), [3]uint32{N / 64, M / 64, 1}, [3]uint32{16, 16, 1}, 0, tileParams(M, N, K, pa, pb, pc)); err != nil {
		t.Fatal(err)
	}
	got := readWords(t, m, pc, M*N)
	for i := range M {
		for j := range N {
			var s float32
			for k := range K {
				s = kernel.FMA(a[i*K+k], b[k*N+j], s)
			}
			if got[i*N+j] != math.Float32bits(s) {
				t.Fatalf("c[%d,%d] is %g, want %g", i, j, math.Float32frombits(got[i*N+j]), s)
			}
		}
	}
}

// TestSquares compares sums that a warp makes by shuffles with the same order in Go.
func TestSquares(t *testing.T) {
	const rows, n = 3, 77
	m := NewMemory()
	px, x := floats(t, m, rand.New(rand.NewPCG(3, 4)), rows*n)
	ps := m.Alloc(8 * rows)
	params := binary.LittleEndian.AppendUint64(nil, n)
	params = binary.LittleEndian.AppendUint64(params, px)
	params = binary.LittleEndian.AppendUint64(params, ps)
	if err := m.Launch(tileFile(t).Kernel("squares"), [3]uint32{rows, 1, 1}, [3]uint32{32, 1, 1}, 0, params); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 8*rows)
	if err := m.Read(ps, b); err != nil {
		t.Fatal(err)
	}
	for row := range rows {
		var lanes [32]float64
		for i := range n {
			v := float64(x[row*n+i])
			lanes[i%32] += float64(v * v)
		}
		for w := 16; w > 0; w /= 2 {
			for l := range w {
				lanes[l] += lanes[l+w]
			}
		}
		if got := math.Float64frombits(binary.LittleEndian.Uint64(b[8*row:])); got != lanes[0] {
			t.Errorf("row %d: %v, want %v", row, got, lanes[0])
		}
	}
}

// BenchmarkTile executes a product and reports instructions of threads a second.
func BenchmarkTile(b *testing.B) {
	const M, N, K = 64, 64, 64
	m, r := NewMemory(), rand.New(rand.NewPCG(1, 2))
	pa, _ := floats(b, m, r, M*K)
	pb, _ := floats(b, m, r, K*N)
	k, params := tileFile(b).Kernel("tile"), tileParams(M, N, K, pa, pb, m.Alloc(4*M*N))
	for b.Loop() {
		if err := m.Launch(k, [3]uint32{1, 1, 1}, [3]uint32{16, 16, 1}, 0, params); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(m.Instructions())/b.Elapsed().Seconds()/1e6, "Minstructions/s")
}
