package rnn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// normal returns n small values.
func normal(seed uint64, n int) []float32 {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() / 8)
	}
	return x
}

// TestParts demands the same bits from one worker, from two and three that have
// sequences of their own, and from workers that have units of their own.
func TestParts(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const T, B, H = 3, 51, 72
	for _, cell := range rnn.Cells() {
		for _, precision := range []kernel.Precision{kernel.FP32, kernel.BF16} {
			if precision.Check() != nil {
				continue
			}
			for _, table := range []bool{true, false} {
				var want [][]float32
				for _, procs := range []int{1, 2, 3, 4, 9} {
					runtime.GOMAXPROCS(procs)
					got := pass(cell, precision, table, T, B, H)
					if want == nil {
						want = got
					}
					for i := range want {
						for j := range want[i] {
							if math.Float32bits(got[i][j]) != math.Float32bits(want[i][j]) {
								t.Fatalf("%s %s, table %v, GOMAXPROCS %d: value %d of result %d is %g, want %g",
									cell, precision, table, procs, j, i, got[i][j], want[i][j])
							}
						}
					}
				}
			}
		}
	}
}

// pass runs a layer forward and back, twice, and returns all that it computes.
func pass(cell rnn.Cell, precision kernel.Precision, table bool, T, B, H int) [][]float32 {
	g := cell.Gates()
	rows, ids := T*B, []int32(nil)
	if table {
		rows, ids = 7, make([]int32, T*B)
		for i := range ids {
			ids[i] = int32(i * i % rows)
		}
	}
	layer := rnn.NewRecurrent(kernel.NewTeam(), cell, T, B, H, precision)
	x, whh, bhh := normal(1, rows*g*H), normal(2, g*H*H), normal(3, g*H)
	h0, c0, dout := normal(4, B*H), normal(5, B*H), normal(6, T*B*H)
	dx, dwhh, dbhh := make([]float32, rows*g*H), make([]float32, g*H*H), make([]float32, g*H)
	var out [][]float32
	keep := func(list ...[]float32) {
		for _, x := range list {
			out = append(out, append([]float32(nil), x...))
		}
	}
	for range 2 { // memory of the first pass does not show in the second
		layer.Forward(x, ids, whh, bhh, h0, c0)
		hidden, memory := layer.Last()
		keep(layer.Hidden(), hidden, memory)
		dh, dc := layer.Backward(dout, whh)
		clear(dx)
		layer.Grads(dx, ids, dwhh, dbhh)
		keep(dh, dc, dx, dwhh, dbhh)
	}
	if len(out[0]) != T*B*H || out[0][0] == 0 {
		panic(fmt.Sprintf("a pass of %s gave %v", cell, out[0][:1]))
	}
	return out
}
