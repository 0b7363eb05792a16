package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/quire-ml/quire/model/kernel"
)

// Dropout adds y = x∘mask to the graph, for x and y (R, K). The mask's Key at the
// time of a run decides the values that are dropped; the gradient drops the same.
// The name must be unique in the graph.
func Dropout(team *kernel.Team, name string, x *gorgonia.Node, mask *kernel.Mask) (*gorgonia.Node, error) {
	R, K := x.Shape()[0], x.Shape()[1]
	op, back := masked(team, name, R, K, mask), masked(team, name+"/grad", R, K, mask)
	op.smooth = []bool{true}
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		n, err := back.apply(grad)
		return gorgonia.Nodes{n}, err
	}
	return op.apply(x)
}

// masked returns an op that applies a mask to its input (R, K).
func masked(team *kernel.Team, name string, R, K int, mask *kernel.Mask) *fused {
	y := make([]float32, R*K)
	op := &fused{name: name, out: matrix(y, R, K)}
	var x []float32
	job := func(w *kernel.Worker) {
		lo, hi := w.Range(R*K, 1024)
		mask.Apply(y, x, lo, hi)
	}
	op.run = func(in []gorgonia.Value) error {
		x = floats(in[0])
		team.Run(R*K, job)
		return nil
	}
	return op
}

// Embed adds y[r] = table[ids[r]] to the graph.
//
//	table (V, K)   ids (R) int32   y (R, K)
//
// The name must be unique in the graph.
func Embed(team *kernel.Team, name string, table, ids *gorgonia.Node) (*gorgonia.Node, error) {
	V, K, R := table.Shape()[0], table.Shape()[1], ids.Shape()[0]
	y := make([]float32, R*K)
	op := &fused{name: name, out: matrix(y, R, K), smooth: []bool{true, false}}
	op.run = func(in []gorgonia.Value) error {
		x := floats(in[0])
		for r, id := range ints(in[1]) {
			copy(y[r*K:(r+1)*K], x[int(id)*K:])
		}
		return nil
	}
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		d := make([]float32, V*K)
		back := &fused{name: name + "/grad", out: matrix(d, V, K)}
		var dy []float32
		var rows []int32
		job := func(w *kernel.Worker) {
			lo, hi := w.Range(K, 16)
			kernel.SegmentSum(d, K, dy, K, rows, R, lo, hi)
		}
		back.run = func(v []gorgonia.Value) error {
			dy, rows = floats(v[0]), ints(v[1])
			clear(d)
			team.Run(R*K, job)
			return nil
		}
		n, err := back.apply(grad, in[1])
		return gorgonia.Nodes{n, nil}, err
	}
	return op.apply(table, ids)
}
