package rnn

import (
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
)

// fullTable is the definition of a Table: a row for each character of the vocabulary.
type fullTable struct{ values, dEmbedding, dwih, dbih []float32 }

func newFullTable(team *kernel.Team, V, I, N int, ids []int32, embedding, wih, bih, d []float32) *fullTable {
	f := &fullTable{make([]float32, V*N), make([]float32, V*I), make([]float32, N*I), make([]float32, N)}
	team.Gemm(V, N, I, embedding, I, 1, wih, 1, I, bih, 0, f.values, N)
	sums := make([]float32, V*N)
	kernel.SegmentSum(sums, N, d, N, ids, len(ids), 0, N)
	team.Gemm(V, I, N, sums, N, 1, wih, I, 1, nil, 0, f.dEmbedding, I)
	team.Gemm(N, I, V, sums, 1, N, embedding, I, 1, nil, 0, f.dwih, I)
	kernel.ColumnSum(f.dbih, sums, N, V, 0, N)
	return f
}

// TestTable compares the table of a batch's characters with that of all characters:
// batches that have few of them, all of them, one alone.
func TestTable(t *testing.T) {
	const V, I, N = 33, 7, 12
	team := kernel.NewTeam()
	embedding, wih, bih := wave(V*I, 0.7), wave(N*I, 1.3), wave(N, 2.1)
	all := make([]int32, 2*V)
	for r := range all {
		all[r] = int32(r * 5 % V)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{1, 3} {
		runtime.GOMAXPROCS(procs)
		tables := map[int]*Table{} // by R; a table serves one batch after another
		for _, ids := range [][]int32{{4, 32, 0, 4, 9}, all, {7, 7, 7, 7, 7}, {32, 31, 30, 29, 28}, all[:V-1], append(all[1:V:V], 1)} {
			t.Run(fmt.Sprintf("%d ids, GOMAXPROCS %d", len(ids), procs), func(t *testing.T) {
				R := len(ids)
				if tables[R] == nil {
					tables[R] = NewTable(team, R, V, I, N)
				}
				x, d := tables[R], wave(R*N, 0.9)
				want := newFullTable(team, V, I, N, ids, embedding, wih, bih, d)
				x.Forward(ids, embedding, wih, bih)
				for r, id := range ids {
					row := int(x.Rows()[r])
					sameBits(t, fmt.Sprintf("row of id %d", id), x.Values()[row*N:(row+1)*N], want.values[int(id)*N:int(id+1)*N])
				}
				sums := make([]float32, len(x.Values()))
				kernel.SegmentSum(sums, N, d, N, x.Rows(), R, 0, N)
				dEmbedding, dwih, dbih := wave(V*I, 1), wave(N*I, 1), wave(N, 1)
				x.Grads(sums, embedding, wih, dEmbedding, dwih, dbih)
				sameBits(t, "gradient of the embedding", dEmbedding, want.dEmbedding)
				sameBits(t, "gradient of wih", dwih, want.dwih)
				sameBits(t, "gradient of bih", dbih, want.dbih)
			})
		}
	}
}

// TestTableSmallValues has products that are too small for a float32: a sum of -0 is
// 0 or -0 by the sign of the embedding of characters that the batch lacks.
func TestTableSmallValues(t *testing.T) {
	const V, I, N = 6, 3, 2
	team := kernel.NewTeam()
	ids, minus := []int32{1, 3, 3}, 0
	for signs := range 1 << V {
		embedding, wih, bih, d := make([]float32, V*I), wave(N*I, 1.3), wave(N, 2.1), make([]float32, len(ids)*N)
		for i := range embedding {
			embedding[i] = 1e-30
			if signs>>(i/I)&1 == 1 {
				embedding[i] = -1e-30
			}
		}
		for i := range d {
			d[i] = -1e-30
		}
		want := newFullTable(team, V, I, N, ids, embedding, wih, bih, d)
		x := NewTable(team, len(ids), V, I, N)
		x.Forward(ids, embedding, wih, bih)
		sums := make([]float32, len(x.Values()))
		kernel.SegmentSum(sums, N, d, N, x.Rows(), len(ids), 0, N)
		dEmbedding, dwih, dbih := make([]float32, V*I), make([]float32, N*I), make([]float32, N)
		x.Grads(sums, embedding, wih, dEmbedding, dwih, dbih)
		sameBits(t, fmt.Sprintf("gradient of wih, signs %b", signs), dwih, want.dwih)
		if math.Signbit(float64(want.dwih[0])) {
			minus++
		}
	}
	if minus == 0 || minus == 1<<V {
		t.Errorf("%d of %d sums are -0: both signs must come", minus, 1<<V)
	}
}
