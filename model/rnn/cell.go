package rnn

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/kernel"
)

// Cell is the kind of a recurrent cell: a name in the table below.
type Cell string

const (
	GRU  Cell = "gru"  // reset gate after the recurrent product
	LSTM Cell = "lstm" // no peepholes
)

// A kind is everything that the layers know about a cell. The slices are those
// of kernel.GRUForward, kernel.LSTMForward and their backward passes; a cell
// without memory gets nil for c, cOut and dc.
type kind struct {
	gates  int  // G, the gate blocks of its weights; at most 4, the blocks of tmp
	memory bool // it keeps a second value beside its hidden: c

	forward  func(x []float32, ids []int32, tmp, h, out, c, cOut []float32, B, H, lo, hi int)
	backward func(tmp, h, dout, dh, c, cOut, dc []float32, B, H, lo, hi int)

	// bypass tells whether a part of the gradient of h does not go through W_hh.
	// backward leaves that part in dh.
	bypass bool
	// shared is the number of gates whose two pre-activations, W_ih's and W_hh's,
	// have one gradient. backward leaves those of W_hh in blocks 0 … G-1 of tmp,
	// and those of W_ih that are not shared one block to the right.
	shared int
}

var kinds = map[Cell]*kind{
	GRU: {gates: 3, shared: 2, bypass: true,
		forward: func(x []float32, ids []int32, tmp, h, out, _, _ []float32, B, H, lo, hi int) {
			kernel.GRUForward(x, ids, tmp, h, out, B, H, lo, hi)
		},
		backward: func(tmp, h, dout, dh, _, _, _ []float32, B, H, lo, hi int) {
			kernel.GRUBackward(tmp, h, dout, dh, B, H, lo, hi)
		}},
	LSTM: {gates: 4, shared: 4, memory: true,
		forward: func(x []float32, ids []int32, tmp, _, out, c, cOut []float32, B, H, lo, hi int) {
			kernel.LSTMForward(x, ids, tmp, c, cOut, out, B, H, lo, hi)
		},
		backward: func(tmp, _, dout, dh, c, cOut, dc []float32, B, H, lo, hi int) {
			kernel.LSTMBackward(tmp, c, cOut, dout, dh, dc, B, H, lo, hi)
		}},
}

// Cells returns all cells, in alphabetical order.
func Cells() []Cell { return slices.Sorted(maps.Keys(kinds)) }

// ParseCell returns the cell of a name. The error for another name lists all cells.
func ParseCell(name string) (Cell, error) {
	if kinds[Cell(name)] != nil {
		return Cell(name), nil
	}
	var names []string
	for _, c := range Cells() {
		names = append(names, string(c))
	}
	return "", fmt.Errorf("rnn: cell is %q; use %s", name, strings.Join(names, " or "))
}

// kind panics for a name that ParseCell refuses.
func (c Cell) kind() *kind {
	if k := kinds[c]; k != nil {
		return k
	}
	panic(fmt.Sprintf("rnn: unknown cell %q", string(c)))
}

// Gates returns G, the number of gate blocks in the cell's weights.
func (c Cell) Gates() int { return c.kind().gates }

// Memory reports whether the cell keeps a second value beside its hidden, the
// LSTM's c, which only the next step reads.
func (c Cell) Memory() bool { return c.kind().memory }

// Shared returns the number of gates, the first ones, whose two pre-activations
// have one gradient.
func (c Cell) Shared() int { return c.kind().shared }
