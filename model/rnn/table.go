package rnn

import (
	"math"

	"github.com/quire-ml/quire/model/kernel"
)

// Table is the input pre-activations of layer 0 by character, and their gradients: a
// row for each character that a batch has, in order of id.
//
//	row = embedding[character]·wihᵀ + bih
//
// A character that the batch lacks has no row. The terms that it would add to a
// gradient are zeros.
//
// A Table is for one goroutine at a time; a team does the work.
type Table struct {
	V, I, N int // N = G·H, the width of a row
	team    *kernel.Team
	values  []float32 // (min(V, R), N)
	rows    []int32   // (R): the row of each id
	chars   []int32   // the character of each row
	of      []int32   // (V): the row of each character, absent for none
	packed  []float32 // (min(V, R), I): the embedding's rows of chars, or their gradients

	args          tableGrads
	scatter, sums func(*kernel.Worker)
}

// tableGrads are the arguments of the Grads that runs.
type tableGrads struct{ d, dEmbedding, dbih []float32 }

// absent is the row of a character without one.
const absent = -1

// NewTable returns the table of batches of R ids out of V, for embeddings of I values.
func NewTable(team *kernel.Team, R, V, I, N int) *Table {
	n := min(V, R)
	t := &Table{V: V, I: I, N: N, team: team, values: kernel.Floats(n * N), rows: make([]int32, R), chars: make([]int32, 0, n),
		of: make([]int32, V), packed: kernel.Floats(n * I)}
	t.scatter, t.sums = t.runScatter, t.runSums
	return t
}

// Values returns the rows, (min(V, R), N), valid until the next Forward.
func (t *Table) Values() []float32 { return t.values }

// Rows returns the row of each id, (R), valid until the next Forward.
func (t *Table) Rows() []int32 { return t.rows }

// Forward computes the rows of ids (R).
//
//	embedding (V, I)   wih (N, I)   bih (N)
func (t *Table) Forward(ids []int32, embedding, wih, bih []float32) {
	t.find(ids)
	x, n := embedding, len(t.chars)
	if n < t.V {
		x = t.packed
		for k, v := range t.chars {
			copy(x[k*t.I:(k+1)*t.I], embedding[int(v)*t.I:])
		}
	}
	t.team.Gemm(n, t.N, t.I, x, t.I, 1, wih, 1, t.I, bih, 0, t.values, t.N)
}

// find gives each character of ids its row.
func (t *Table) find(ids []int32) {
	for v := range t.of {
		t.of[v] = absent
	}
	for _, id := range ids {
		t.of[id] = 0
	}
	t.chars = t.chars[:0]
	for v, row := range t.of {
		if row != absent {
			t.of[v] = int32(len(t.chars))
			t.chars = append(t.chars, int32(v))
		}
	}
	for r, id := range ids {
		t.rows[r] = t.of[id]
	}
}

// Grads computes the gradients from d, that of the last Forward's Values. It changes the
// memory of the embedding's copy: each Forward has one Grads.
//
//	dEmbedding (V, I)   dwih (N, I)   dbih (N)
func (t *Table) Grads(d, embedding, wih, dEmbedding, dwih, dbih []float32) {
	n := len(t.chars)
	clear(dbih)
	t.args = tableGrads{d, dEmbedding, dbih}
	t.team.Run(n*t.N, t.sums)
	if n == t.V {
		t.team.Gemm(t.N, t.I, n, d, 1, t.N, embedding, t.I, 1, nil, 0, dwih, t.I)
		t.team.Gemm(n, t.I, t.N, d, t.N, 1, wih, t.I, 1, nil, 0, dEmbedding, t.I)
	} else {
		t.team.Gemm(t.N, t.I, n, d, 1, t.N, t.packed, t.I, 1, nil, 0, dwih, t.I)
		t.signZeros(d, embedding, dwih)
		t.team.Gemm(n, t.I, t.N, d, t.N, 1, wih, t.I, 1, nil, 0, t.packed, t.I)
		t.team.Run(t.V*t.I, t.scatter)
	}
	t.args = tableGrads{}
}

// runSums is one worker's part of dbih: its columns.
func (t *Table) runSums(w *kernel.Worker) {
	lo, hi := w.Range(t.N, 64)
	kernel.ColumnSum(t.args.dbih, t.args.d, t.N, len(t.chars), lo, hi)
}

// runScatter is one worker's part of dEmbedding: its characters.
func (t *Table) runScatter(w *kernel.Worker) {
	lo, hi := w.Range(t.V, 16)
	for v := lo; v < hi; v++ {
		dst := t.args.dEmbedding[v*t.I : (v+1)*t.I]
		if row := int(t.of[v]); row != absent {
			copy(dst, t.packed[row*t.I:])
		} else {
			clear(dst)
		}
	}
}

// signZeros gives the zeros of dwih their sign. A sum that has become -0, of a product
// that is too small for a float32, is 0 again after the next term of 0: only such a sum
// depends on the characters that the batch lacks.
func (t *Table) signZeros(d, embedding, dwih []float32) {
	const minusZero = 1 << 31
	for at, x := range dwih {
		if math.Float32bits(x) != minusZero {
			continue
		}
		j, i := at/t.I, at%t.I
		var sum float32
		for v, row := range t.of {
			var g float32
			if row != absent {
				g = d[int(row)*t.N+j]
			}
			sum = kernel.FMA(g, embedding[v*t.I+i], sum)
		}
		dwih[at] = sum
	}
}
