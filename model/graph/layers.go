package graph

import (
	"gorgonia.org/gorgonia"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Affine adds y = x·wᵀ + b to the graph.
//
//	x (R, K)   w (N, K)   b (N)   y (R, N)
//
// The name must be unique in the graph; the team does the work.
func Affine(team *kernel.Team, name string, x, w, b *gorgonia.Node) (*gorgonia.Node, error) {
	R, K, N := x.Shape()[0], x.Shape()[1], w.Shape()[0]
	y := kernel.Floats(R * N)
	op := &fused{name: name, out: matrix(y, R, N), smooth: []bool{true, true, true}}
	op.run = func(in []gorgonia.Value) error {
		team.Gemm(R, N, K, floats(in[0]), K, 1, floats(in[1]), 1, K, floats(in[2]), 0, y, N)
		return nil
	}
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		return affineGrads(team, name+"/grad", in[0], in[1], in[2], grad)
	}
	return op.apply(x, w, b)
}

// affineGrads adds dx = dy·w, dw = dyᵀ·x and db = Σ_r dy[r] to the graph.
func affineGrads(team *kernel.Team, name string, x, w, b, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	R, K, N := x.Shape()[0], x.Shape()[1], w.Shape()[0]
	flat := kernel.Floats(total(x, w, b))
	dx, dw, db := flat[:R*K], flat[R*K:R*K+N*K], flat[R*K+N*K:]
	op := &fused{name: name, out: matrix(flat, len(flat))}
	var rows []float32
	sums := func(w *kernel.Worker) {
		lo, hi := w.Range(N, 64)
		kernel.ColumnSum(db, rows, N, R, lo, hi)
	}
	op.run = func(in []gorgonia.Value) error {
		xv, wv, dyv := floats(in[0]), floats(in[1]), floats(in[2])
		team.Gemm(R, K, N, dyv, N, 1, wv, K, 1, nil, 0, dx, K)
		team.Gemm(N, K, R, dyv, 1, N, xv, K, 1, nil, 0, dw, K)
		clear(db)
		rows = dyv
		team.Run(R*N, sums)
		return nil
	}
	all, err := op.apply(x, w, dy)
	if err != nil {
		return nil, err
	}
	return parts(name, all, flat, x, w, b)
}

// Recurrent adds one recurrent layer to the graph.
//
//	x         input pre-activations, rows of (G·H): one a character of the batch where ids is
//	          given, else one for each (t, b)
//	ids       (T·B) int32, the row of x that (t, b) reads; nil for row t·B + b
//	whh, bhh  (G·H, H), (G·H)
//	h0, c0    (B, H): hidden and memory before step 0; c0 is nil for a cell
//	          without memory
//
// Recurrent returns the hidden after every step, (T·B, H), and the layer. After a
// run of the graph, Last of the layer is the hidden after the last step. The name
// must be unique in the graph. The precision must be one that Check allows.
func Recurrent(team *kernel.Team, name string, cell rnn.Cell, T int, precision kernel.Precision,
	x, ids, whh, bhh, h0, c0 *gorgonia.Node) (*gorgonia.Node, *rnn.Recurrent, error) {
	B, H := h0.Shape()[0], h0.Shape()[1]
	layer := rnn.NewRecurrent(team, cell, T, B, H, precision)
	inputs := gorgonia.Nodes{x, whh, bhh, h0}
	if c0 != nil {
		inputs = append(inputs, c0)
	}
	n := len(inputs) // those with a gradient; ids comes last
	smooth := make([]bool, n, n+1)
	for i := range smooth {
		smooth[i] = true
	}
	if ids != nil {
		inputs, smooth = append(inputs, ids), append(smooth, false)
	}
	op := &fused{name: name, out: matrix(layer.Hidden(), T*B, H), smooth: smooth}
	op.run = func(in []gorgonia.Value) error {
		var rows []int32
		var cells []float32
		if ids != nil {
			rows = ints(in[len(in)-1])
		}
		if c0 != nil {
			cells = floats(in[4])
		}
		layer.Forward(floats(in[0]), rows, floats(in[1]), floats(in[2]), floats(in[3]), cells)
		return nil
	}
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		grads, err := recurrentGrads(name+"/grad", layer, in[:n], ids, grad)
		if err == nil && ids != nil {
			grads = append(grads, nil)
		}
		return grads, err
	}
	out, err := op.apply(inputs...)
	return out, layer, err
}

// recurrentGrads adds the gradients of x, whh, bhh, h0 and c0 to the graph, by
// one pass back through time.
func recurrentGrads(name string, layer *rnn.Recurrent, in gorgonia.Nodes, ids, dout *gorgonia.Node) (gorgonia.Nodes, error) {
	flat := kernel.Floats(total(in...))
	var at [6]int // where each gradient starts
	for i, n := range in {
		at[i+1] = at[i] + n.Shape().TotalSize()
	}
	op := &fused{name: name, out: matrix(flat, len(flat))}
	inputs := gorgonia.Nodes{in[1], dout}
	if ids != nil {
		inputs = append(inputs, ids)
	}
	op.run = func(v []gorgonia.Value) error {
		var rows []int32
		if ids != nil {
			rows = ints(v[2])
		}
		clear(flat[:at[1]])
		dh0, dc0 := layer.Backward(floats(v[1]), floats(v[0]))
		layer.Grads(flat[at[0]:at[1]], rows, flat[at[1]:at[2]], flat[at[2]:at[3]])
		copy(flat[at[3]:at[4]], dh0)
		copy(flat[at[4]:], dc0)
		return nil
	}
	all, err := op.apply(inputs...)
	if err != nil {
		return nil, err
	}
	return parts(name, all, flat, in...)
}
