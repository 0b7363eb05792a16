package graph

import (
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// fused is a gorgonia.Op that runs a function over slices. The memory of its
// output is allocated when the graph is built, and no other op writes there. A
// fused belongs to one node of one graph.
type fused struct {
	name  string // Gorgonia merges ops of equal name: unique within a graph
	typ   hm.Type
	arity int
	shape tensor.Shape
	out   gorgonia.Value

	// run computes out from the values of the inputs.
	run func(in []gorgonia.Value) error
	// diff returns a gradient for each input, nil for an input without. An op with
	// a nil diff cannot be differentiated.
	diff func(in gorgonia.Nodes, grad *gorgonia.Node) (gorgonia.Nodes, error)
	// smooth says for each input whether diff gives a gradient.
	smooth []bool
}

// apply adds the op to the graph of its inputs. The op's type follows from
// theirs and from out.
func (op *fused) apply(inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	types := make([]hm.Type, 0, len(inputs)+1)
	for _, n := range inputs {
		types = append(types, n.Type())
	}
	op.typ, op.arity, op.shape = hm.NewFnType(append(types, gorgonia.TypeOf(op.out))...), len(inputs), op.out.Shape()
	n, err := gorgonia.ApplyOp(op, inputs...)
	if err != nil {
		return nil, fmt.Errorf("graph: %s: %w", op.name, err)
	}
	return n, nil
}

func (op *fused) Arity() int           { return op.arity }
func (op *fused) Type() hm.Type        { return op.typ }
func (op *fused) ReturnsPtr() bool     { return true }
func (op *fused) CallsExtern() bool    { return false }
func (op *fused) OverwritesInput() int { return -1 }
func (op *fused) String() string       { return op.name }
func (op *fused) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "quire/%s", op.name)
}

func (op *fused) Hashcode() uint32 {
	h := fnv.New32a()
	op.WriteHash(h)
	return h.Sum32()
}

func (op *fused) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return op.shape, nil }

func (op *fused) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	if len(in) != op.arity {
		return nil, fmt.Errorf("graph: %s: %d inputs, want %d", op.name, len(in), op.arity)
	}
	if err := op.run(in); err != nil {
		return nil, fmt.Errorf("graph: %s: %w", op.name, err)
	}
	return op.out, nil
}

func (op *fused) DiffWRT(inputs int) []bool {
	if op.diff == nil {
		return make([]bool, inputs)
	}
	return op.smooth
}

func (op *fused) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	return op.diff(in, grad)
}

// matrix returns a float32 tensor of the shape over data, which is not copied.
func matrix(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// floats returns the values of a dense float32 tensor.
func floats(v gorgonia.Value) []float32 { return v.(*tensor.Dense).Float32s() }

// ints returns the values of a dense int32 tensor.
func ints(v gorgonia.Value) []int32 { return v.(*tensor.Dense).Int32s() }

// parts splits the output of a gradient op, which computes all gradients of a
// fused op at once into one vector, into one node a gradient, without copying.
// The shapes are those of the inputs, in the order of the vector.
func parts(name string, all *gorgonia.Node, flat []float32, inputs ...*gorgonia.Node) (gorgonia.Nodes, error) {
	var list gorgonia.Nodes
	for i, in := range inputs {
		n := in.Shape().TotalSize()
		op := &fused{name: fmt.Sprintf("%s/%d", name, i), out: matrix(flat[:n:n], in.Shape()...),
			run: func([]gorgonia.Value) error { return nil }}
		node, err := op.apply(all)
		if err != nil {
			return nil, err
		}
		list, flat = append(list, node), flat[n:]
	}
	return list, nil
}

// total returns the number of values of all nodes.
func total(nodes ...*gorgonia.Node) int {
	n := 0
	for _, x := range nodes {
		n += x.Shape().TotalSize()
	}
	return n
}
