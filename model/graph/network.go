// Package graph is the network as a Gorgonia graph: embedding table, recurrent
// layers, dense layer and loss, differentiated by Gorgonia and run by its tape
// machine.
//
//	x    = Characters(embedding, W_ih, b_ih, ids)  a row for each character of the batch
//	h    = Recurrent(x[ids], W_hh, b_hh, h0)       (T·B, H)
//	h    = Recurrent(Affine(h, W_ih, b_ih), …)     for each further layer
//	loss = Output(h, W, b, targets)                the dense layer and its loss
//
// Dropout stands between layers and before the dense layer. Dropout of the input
// looks characters up one by one in the first line, because each occurrence of a
// character drops other values: Affine(Dropout(Embed(embedding, ids)), …).
// Dropout of the weights drops values of W_hh, the same in all steps of a run
// (Merity, Keskar and Socher, 2018).
//
// Characters, Affine, Recurrent and Output replace ops of Gorgonia because a result must
// not depend on the machine: the libraries behind those ops choose the order of
// their sums. Each computes all its gradients in one op.
//
// Matrices come time first: row t·B + b of a (T·B, …) matrix is step t of
// sequence b.
package graph

import (
	"cmp"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Options are the choices of a graph beside its shape. The zero value is float32
// products and no dropout.
type Options struct {
	Team      *kernel.Team     // does the work; nil for a team of its own
	Precision kernel.Precision // of the recurrent products

	// Shares of values dropped, in [0, 1): between layers and before the dense
	// layer, of the input, and of W_hh.
	Dropout, InputDropout, WeightDropout float64
}

// Network is a graph for batches of B sequences of T steps over given weights.
// It is for one goroutine at a time; its kernels use all processors.
type Network struct {
	T, B    int
	o       Options
	masks   []*kernel.Mask // from the input to the dense layer
	weights *rnn.Weights
	team    *kernel.Team
	machine gorgonia.VM
	params  gorgonia.Nodes
	hidden  gorgonia.Nodes // h0 of each layer, then c0 of each layer where the cell has memory
	layers  []*rnn.Recurrent
	top     *gorgonia.Node // hidden of the last layer, as the dense layer gets it
	output  *rnn.Output
	ids     []int32 // (T·B), the memory behind the input nodes
	targets []int32
}

// New builds the graph. The network reads w in place: a change of w changes the
// network. A precision that the processor lacks, or a dropout outside [0, 1), is
// an error. A nil o is the zero Options.
func New(w *rnn.Weights, T, B int, o *Options) (*Network, error) {
	if o == nil {
		o = &Options{}
	}
	if err := o.Precision.Check(); err != nil {
		return nil, err
	}
	for _, p := range []float64{o.Dropout, o.InputDropout, o.WeightDropout} {
		if !(p >= 0 && p < 1) {
			return nil, fmt.Errorf("graph: dropout is %g, want at least 0 and below 1", p)
		}
	}
	n := &Network{o: *o, T: T, B: B, weights: w, team: cmp.Or(o.Team, kernel.NewTeam()),
		ids: make([]int32, T*B), targets: make([]int32, T*B)}
	g := gorgonia.NewGraph()
	for i, p := range w.Shape.Parameters() {
		n.params = append(n.params, gorgonia.NodeFromAny(g, matrix(w.ByPos[i], p.Dims...), gorgonia.WithName(p.Name)))
	}
	ids := gorgonia.NodeFromAny(g, tensor.New(tensor.WithShape(T*B), tensor.WithBacking(n.ids)), gorgonia.WithName("ids"))
	targets := gorgonia.NodeFromAny(g, tensor.New(tensor.WithShape(T*B), tensor.WithBacking(n.targets)), gorgonia.WithName("targets"))
	n.addHidden(g)

	var err error
	if n.top, err = n.addLayers(ids); err != nil {
		return nil, err
	}
	last := len(n.params)
	loss, output, err := Output(n.team, "output", n.top, n.params[last-2], n.params[last-1], targets)
	if err != nil {
		return nil, err
	}
	n.output = output
	if _, err := gorgonia.Grad(loss, append(append(gorgonia.Nodes{}, n.params...), n.hidden...)...); err != nil {
		return nil, fmt.Errorf("graph: differentiate: %w", err)
	}
	n.machine = gorgonia.NewTapeMachine(g)
	return n, nil
}

// addHidden adds the initial hidden, and memory, of every layer, zeros at first.
func (n *Network) addHidden(g *gorgonia.ExprGraph) {
	s := n.weights.Shape
	names := []string{"h0"}
	if s.Cell.Memory() {
		names = append(names, "c0")
	}
	for _, name := range names {
		for k := 0; k < s.Layers; k++ {
			zero := matrix(make([]float32, n.B*s.Hidden), n.B, s.Hidden)
			n.hidden = append(n.hidden, gorgonia.NodeFromAny(g, zero, gorgonia.WithName(fmt.Sprintf("%s.l%d", name, k))))
		}
	}
}

// addLayers adds the recurrent layers and returns the top one's hidden.
func (n *Network) addLayers(ids *gorgonia.Node) (*gorgonia.Node, error) {
	s := n.weights.Shape
	x := n.params[0]
	var err error
	if n.o.InputDropout > 0 {
		if x, err = Embed(n.team, "embed", x, ids); err != nil {
			return nil, err
		}
		ids = nil
	}
	dropped := n.o.InputDropout
	for k := 0; k < s.Layers; k++ {
		if x, err = n.drop(x, dropped); err != nil {
			return nil, err
		}
		dropped = n.o.Dropout
		wih, whh, bih, bhh := n.params[1+4*k], n.params[2+4*k], n.params[3+4*k], n.params[4+4*k]
		if whh, err = n.drop(whh, n.o.WeightDropout); err != nil {
			return nil, err
		}
		pre, rows, err := n.addInput(k, x, wih, bih, ids)
		if err != nil {
			return nil, err
		}
		var c0 *gorgonia.Node
		if s.Cell.Memory() {
			c0 = n.hidden[s.Layers+k]
		}
		var layer *rnn.Recurrent
		x, layer, err = Recurrent(n.team, fmt.Sprintf("rnn_l%d", k), s.Cell, n.T, n.o.Precision, pre, rows, whh, bhh, n.hidden[k], c0)
		if err != nil {
			return nil, err
		}
		n.layers, ids = append(n.layers, layer), nil
	}
	return n.drop(x, dropped)
}

// addInput returns the input pre-activations of layer k, and the rows of them that the
// ids of x name; nil for no ids.
func (n *Network) addInput(k int, x, wih, bih, ids *gorgonia.Node) (pre, rows *gorgonia.Node, err error) {
	name := fmt.Sprintf("input_l%d", k)
	if ids != nil {
		return Characters(n.team, name, x, wih, bih, ids)
	}
	pre, err = Affine(n.team, name, x, wih, bih)
	return pre, nil, err
}

// drop adds dropout of a share p of x, with a new mask.
func (n *Network) drop(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if p == 0 {
		return x, nil
	}
	mask := kernel.NewMask(p)
	n.masks = append(n.masks, &mask)
	return Dropout(n.team, fmt.Sprintf("dropout_%d", len(n.masks)), x, &mask)
}

// SetMask chooses the values that the next runs drop, by seed and step alone.
func (n *Network) SetMask(seed, step int64) {
	for i, m := range n.masks {
		m.Key = kernel.StepKey(seed, step, uint64(i))
	}
}

// SetHidden sets the hidden, and the memory of a cell that has one, from which the
// next runs start. h and c hold one (B, H) slice a layer, which is copied; nil
// means zeros.
func (n *Network) SetHidden(h, c [][]float32) {
	for i, node := range n.hidden {
		dst, src, k := floats(node.Value()), h, i
		if i >= len(n.layers) {
			src, k = c, i-len(n.layers)
		}
		if src == nil {
			clear(dst)
			continue
		}
		copy(dst, src[k])
	}
}

// Last returns the hidden and the memory (nil for a cell without) of layer k after
// the last step, (B, H) each, valid until the next run.
func (n *Network) Last(k int) (hidden, cell []float32) { return n.layers[k].Last() }

// Run computes the gradients of one batch and its mean loss, in nats. ids and
// targets are (T, B), time first, 0 … V-1; other values or lengths are an error.
func (n *Network) Run(ids, targets []int32) (loss float64, err error) {
	if len(ids) != len(n.ids) || len(targets) != len(n.targets) {
		return 0, fmt.Errorf("graph: batch of %d ids and %d targets, want %d each (T %d, B %d)",
			len(ids), len(targets), len(n.ids), n.T, n.B)
	}
	for _, list := range [][]int32{ids, targets} {
		if err := n.weights.Shape.CheckIDs(list, n.B); err != nil {
			return 0, fmt.Errorf("graph: batch: %w", err)
		}
	}
	copy(n.ids, ids)
	copy(n.targets, targets)
	n.machine.Reset()
	if err := n.machine.RunAll(); err != nil {
		return 0, fmt.Errorf("graph: run: %w", err)
	}
	return kernel.Mean(n.output.Losses()), nil
}

// Parameters returns the parameters with their gradients of the last Run, in the
// order of Shape.Parameters, for a gorgonia.Solver.
func (n *Network) Parameters() []gorgonia.ValueGrad { return gorgonia.NodesToValueGrads(n.params) }

// Gradient returns the gradient of a parameter, of the initial hidden h0.l{k} or
// of the initial memory c0.l{k}, valid until the next Run; nil for an unknown
// name.
func (n *Network) Gradient(name string) []float32 {
	for _, list := range []gorgonia.Nodes{n.params, n.hidden} {
		for _, node := range list {
			if node.Name() != name {
				continue
			}
			if g, err := node.Grad(); err == nil && g != nil {
				return floats(g)
			}
		}
	}
	return nil
}

// Logits returns the logits of the last Run, (T·B, V), by the weights of the dense layer
// as they are now.
func (n *Network) Logits() []float32 {
	logits := make([]float32, n.output.R*n.output.V)
	w, b := n.weights.Dense()
	n.output.Logits(logits, floats(n.top.Value()), w, b)
	return logits
}

// Close ends the tape machine.
func (n *Network) Close() error { return n.machine.Close() }
