package graph

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Characters adds the input pre-activations of layer 0 to the graph: a row for each
// character of the batch, x, and the row that each id reads, rows.
//
//	embedding (V, I)   wih (G·H, I)   bih (G·H)   ids (R) int32
//	x (min(V, R), G·H)   rows (R) int32
//
// See rnn.Table. The name must be unique in the graph.
func Characters(team *kernel.Team, name string, embedding, wih, bih, ids *gorgonia.Node) (x, rows *gorgonia.Node, err error) {
	V, I, N, R := embedding.Shape()[0], embedding.Shape()[1], wih.Shape()[0], ids.Shape()[0]
	table := rnn.NewTable(team, R, V, I, N)
	op := &fused{name: name, out: matrix(table.Values(), min(V, R), N), smooth: []bool{true, true, true, false}}
	op.run = func(in []gorgonia.Value) error {
		table.Forward(ints(in[3]), floats(in[0]), floats(in[1]), floats(in[2]))
		return nil
	}
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		flat := kernel.Floats(total(in[:3]...))
		dEmbedding, dwih, dbih := flat[:V*I], flat[V*I:V*I+N*I], flat[V*I+N*I:]
		back := &fused{name: name + "/grad", out: matrix(flat, len(flat))}
		back.run = func(v []gorgonia.Value) error {
			table.Grads(floats(v[0]), floats(v[1]), floats(v[2]), dEmbedding, dwih, dbih)
			return nil
		}
		all, err := back.apply(grad, in[0], in[1])
		if err != nil {
			return nil, err
		}
		list, err := parts(back.name, all, flat, in[:3]...)
		return append(list, nil), err
	}
	if x, err = op.apply(embedding, wih, bih, ids); err != nil {
		return nil, nil, err
	}
	// The op writes the memory of rows: what reads x too runs after it.
	rows = gorgonia.NodeFromAny(x.Graph(), tensor.New(tensor.WithShape(R), tensor.WithBacking(table.Rows())), gorgonia.WithName(name+"/rows"))
	return x, rows, nil
}

// Output adds the mean loss of the dense layer x·wᵀ + b to the graph, in nats: the
// softmax cross-entropy against targets.
//
//	x (R, H)   w (V, H)   b (V)   targets (R) int32, 0 … V-1
//
// Output returns the loss and the layer, which has the losses of the rows after a run.
// The name must be unique in the graph.
func Output(team *kernel.Team, name string, x, w, b, targets *gorgonia.Node) (*gorgonia.Node, *rnn.Output, error) {
	R, H, V := x.Shape()[0], x.Shape()[1], w.Shape()[0]
	layer := rnn.NewOutput(team, R, H, V)
	loss := gorgonia.NewF32(0)
	flat := kernel.Floats(total(x, w, b)) // the gradients, from the forward pass
	dx, dw, db := flat[:R*H], flat[R*H:R*H+V*H], flat[R*H+V*H:]
	op := &fused{name: name, out: loss, smooth: []bool{true, true, true, false}}
	op.run = func(in []gorgonia.Value) error {
		layer.Run(floats(in[0]), floats(in[1]), floats(in[2]), ints(in[3]), dx, dw, db)
		*loss = gorgonia.F32(kernel.Mean(layer.Losses()))
		return nil
	}
	var node *gorgonia.Node
	op.diff = func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error) {
		back := &fused{name: name + "/grad", out: matrix(flat, len(flat))}
		back.run = func(v []gorgonia.Value) error {
			if g, ok := v[0].Data().(float32); ok && g != 1 {
				for i := range flat {
					flat[i] *= g
				}
			}
			return nil
		}
		all, err := back.apply(grad, node) // after the forward pass
		if err != nil {
			return nil, err
		}
		list, err := parts(back.name, all, flat, in[:3]...)
		return append(list, nil), err
	}
	node, err := op.apply(x, w, b, targets)
	return node, layer, err
}
