package rnn

import "github.com/quire-ml/quire/model/kernel"

// A Step computes single time steps of one recurrent layer for B sequences. It
// holds the recurrent weights, and the hidden before and after the step, in the
// form that products read. The workers of a team call its methods at once, each
// for its units: those of kernel.Worker.Range(H, kernel.Columns()).
type Step struct {
	cell   *kind
	B, H   int
	rows   int // sequences that steps move: the first ones
	packed packed
	panels []*kernel.Panels // W_hh of each gate, (H, H)
	bias   []float32        // b_hh (G·H)
}

const (
	// strip is the number of panels of units that go through a step's product and
	// its gates together, while both are in the cache.
	strip = 2
)

// NewStep returns a step with zero weights and zero hidden. The precision must be
// one that Check allows.
func NewStep(cell Cell, B, H int, precision kernel.Precision) *Step {
	s := &Step{cell: cell.kind(), B: B, H: H, rows: B, packed: newPacked(B, H, precision)}
	for range cell.Gates() {
		s.panels = append(s.panels, kernel.NewPanels(H, H, precision))
	}
	return s
}

// SetBias sets bhh (G·H), which is not copied. Call it before the workers start.
func (s *Step) SetBias(bhh []float32) { s.bias = bhh }

// SetRows lets the steps from t on move the first rows sequences alone; the others
// stand still. h (B, H) is the hidden before step t. Call it before the workers start.
func (s *Step) SetRows(t int, h []float32, rows int) {
	for b := s.rows; b < rows; b++ {
		s.PutRow(t, h, b)
	}
	s.rows = rows
}

// Pack copies units lo … hi-1 of whh (G·H, H).
func (s *Step) Pack(lo, hi int, whh []float32) {
	for g, p := range s.panels {
		p.Pack(lo, hi, whh[g*s.H*s.H:], 1, s.H)
	}
}

// Put sets units lo … hi-1 of the hidden before step t from h (B, H), of the sequences
// that steps move.
func (s *Step) Put(t int, h []float32, lo, hi int) {
	s.packed.put(t, 0, s.rows, lo, h, s.H, lo, hi)
}

// PutRow sets the hidden of sequence b before step t from h (B, H).
func (s *Step) PutRow(t int, h []float32, b int) {
	s.packed.put(t, b, b+1, 0, h, s.H, 0, s.H)
}

// Forward computes units lo … hi-1 of step t, of the sequences that steps move. All workers must have set the hidden
// before step t, by Put or by Forward of step t-1: a barrier comes between two
// steps.
//
//	x, ids   input pre-activations, as kernel.GRUForward takes them
//	tmp      (B, TmpWidth): on return the values that the backward pass reads
//	h, out   (B, H): hidden before the step and after it; may be the same
//	c, cOut  (B, H): memory before the step and after it, for a cell that has one;
//	         may be the same
func (s *Step) Forward(w *kernel.Worker, t, lo, hi int, x []float32, ids []int32, tmp, h, out, c, cOut []float32) {
	s.forward(w, t, part{0, s.rows, lo, hi}, x, ids, tmp, h, out, c, cOut)
}

// A part is what one worker computes of a time step: units lo … hi-1 of
// sequences from … to-1.
type part struct{ from, to, lo, hi int }

// forward is Forward of a part. The slices are those of all sequences.
func (s *Step) forward(w *kernel.Worker, t int, p part, x []float32, ids []int32, tmp, h, out, c, cOut []float32) {
	B, H, n := p.to-p.from, s.H, p.from*s.H
	if B == 0 || p.lo >= p.hi {
		return
	}
	if ids != nil {
		ids = ids[p.from:]
	} else {
		x = x[n*len(s.panels):]
	}
	if c != nil {
		c, cOut = c[n:], cOut[n:]
	}
	rows, tmp := s.packed.rows[t%2][p.from*s.packed.width:], tmp[p.from*kernel.TmpWidth(H):]
	for u := p.lo; u < p.hi; u += strip * kernel.Columns() {
		v := min(u+strip*kernel.Columns(), p.hi)
		for g, panel := range s.panels {
			panel.Multiply(w, B, u, v, rows, s.packed.width, s.bias[g*H+u:], 0, tmp[g*H+u:], kernel.TmpWidth(H))
		}
		s.cell.forward(x, ids, tmp, h[n:], out[n:], c, cOut, B, H, u, v)
	}
	s.packed.put(t+1, p.from, p.to, p.lo, out, H, p.lo, p.hi)
}

// tmp returns the part of step t of all, (T, B, TmpWidth).
func (s *Step) tmp(all []float32, t int) []float32 {
	n := s.B * kernel.TmpWidth(s.H)
	return all[t*n : (t+1)*n]
}

// packed holds B rows of K values in the words that products read, twice: for
// even and for odd steps. While the slowest worker still reads one, the fastest
// writes the other.
type packed struct {
	precision kernel.Precision
	width     int // words of a row
	rows      [2][]float32
}

func newPacked(B, K int, precision kernel.Precision) packed {
	const pad = 16 // keeps rows of a power-of-two width out of each other's cache sets
	n := packed{precision: precision, width: precision.Words(K) + pad}
	for i := range n.rows {
		n.rows[i] = kernel.Floats(B * n.width)
	}
	return n
}

// put writes columns lo … hi-1 of src, rows of stride values, at position at of
// rows from … to-1 for step t.
func (n *packed) put(t, from, to, at int, src []float32, stride, lo, hi int) {
	rows := n.rows[t%2]
	for b := from; b < to && lo < hi; b++ {
		n.precision.Put(rows[b*n.width:(b+1)*n.width], at, src[b*stride+lo:b*stride+hi])
	}
}
