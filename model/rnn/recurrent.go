package rnn

import "github.com/quire-ml/quire/model/kernel"

// Recurrent runs one recurrent layer over T steps for B sequences, and keeps the
// values of every step for its backward pass. NewRecurrent allocates all memory.
// A Recurrent is for one goroutine at a time; a team does the work.
type Recurrent struct {
	cell      *kind
	T, B, H   int
	precision kernel.Precision
	team      *kernel.Team
	step      *Step
	whh       *kernel.Panels // of the backward pass, (G·H, H)
	packed    packed         // gradients of the gates, (B, G·H), where the precision is not FP32
	hidden    []float32      // (T+1, B, H): row 0 is the initial hidden, row t+1 the hidden after step t
	cells     []float32      // (T+1, B, H), of a cell with memory: likewise
	gates     []float32      // (T, B, TmpWidth): activations after Forward, gradients after Backward
	dHidden   []float32      // (B, H)
	dCell     []float32      // (B, H), of a cell with memory

	in                      inputs
	forward, backward, sums func(*kernel.Worker)
}

// inputs are the arguments of the pass that runs.
type inputs struct {
	x, whh, dout []float32
	ids          []int32
	dx, dbhh     []float32
}

// NewRecurrent returns a layer for sequences of T steps in batches of B. The team
// does its work. The precision must be one that Check allows.
func NewRecurrent(team *kernel.Team, cell Cell, T, B, H int, precision kernel.Precision) *Recurrent {
	k := cell.kind()
	g := k.gates
	r := &Recurrent{cell: k, T: T, B: B, H: H, precision: precision, team: team,
		step: NewStep(cell, B, H, precision), whh: kernel.NewPanels(g*H, H, precision),
		hidden: kernel.Floats((T + 1) * B * H), gates: kernel.Floats(T * B * kernel.TmpWidth(H)), dHidden: kernel.Floats(B * H)}
	if precision != kernel.FP32 {
		r.packed = newPacked(B, g*H, precision)
	}
	if k.memory {
		r.cells, r.dCell = kernel.Floats((T+1)*B*H), kernel.Floats(B*H)
	}
	r.forward, r.backward, r.sums = r.runForward, r.runBackward, r.runSums
	return r
}

// Hidden returns the hidden after every step, (T, B, H), valid until the next
// Forward.
func (r *Recurrent) Hidden() []float32 { return r.hidden[r.B*r.H:] }

// Last returns the hidden and the memory (nil for a cell without) after the last
// step, (B, H) each, valid until the next Forward.
func (r *Recurrent) Last() (hidden, cell []float32) {
	n := r.T * r.B * r.H
	if r.cell.memory {
		cell = r.cells[n:]
	}
	return r.hidden[n:], cell
}

// Forward runs the T steps.
//
//	x         input pre-activations W_ih·input + b_ih: row (t, b) reads row
//	          ids[t,b] of x (rows of G·H), or row t·B + b where ids is nil
//	ids       (T, B) or nil
//	whh, bhh  (G·H, H), (G·H)
//	h0, c0    (B, H): hidden and memory before step 0; nil means zeros
func (r *Recurrent) Forward(x []float32, ids []int32, whh, bhh, h0, c0 []float32) {
	setOrClear(r.hidden[:r.B*r.H], h0)
	if r.cell.memory {
		setOrClear(r.cells[:r.B*r.H], c0)
	}
	r.in = inputs{x: x, ids: ids, whh: whh}
	r.step.SetBias(bhh)
	r.team.Run(r.work(), r.forward)
}

// work returns the number of multiplications of a step.
func (r *Recurrent) work() int { return r.B * r.cell.gates * r.H * r.H }

func setOrClear(dst, src []float32) {
	if src == nil {
		clear(dst)
		return
	}
	copy(dst, src)
}

// rowsEach is the number of sequences that make a worker's share of them worth while:
// below it a product's tile has too few rows.
const rowsEach = 16

// part returns what a worker computes of every step: sequences of its own, which need
// no other worker, or where those would be few, units of its own of all sequences.
func (r *Recurrent) part(w *kernel.Worker) (p part, alone bool) {
	if r.B >= rowsEach*w.Size {
		from, to := w.Range(r.B, 1)
		return part{from, to, 0, r.H}, true
	}
	lo, hi := w.Range(r.H, kernel.Columns())
	return part{0, r.B, lo, hi}, false
}

// runForward is one worker's part of Forward: its units in every step.
func (r *Recurrent) runForward(w *kernel.Worker) {
	n, g := r.B*r.H, r.cell.gates
	lo, hi := w.Range(r.H, kernel.Columns())
	r.step.Pack(lo, hi, r.in.whh)
	r.step.Put(0, r.hidden[:n], lo, hi)
	w.Barrier()
	p, alone := r.part(w)
	for t := 0; t < r.T; t++ {
		x, ids := r.in.x, []int32(nil)
		if r.in.ids != nil {
			ids = r.in.ids[t*r.B : (t+1)*r.B]
		} else {
			x = x[t*n*g : (t+1)*n*g]
		}
		var c, cOut []float32
		if r.cell.memory {
			c, cOut = r.cells[t*n:(t+1)*n], r.cells[(t+1)*n:(t+2)*n]
		}
		tmp := r.step.tmp(r.gates, t)
		r.step.forward(w, t, p, x, ids, tmp, r.hidden[t*n:(t+1)*n], r.hidden[(t+1)*n:(t+2)*n], c, cOut)
		if !alone {
			w.Barrier()
		}
	}
}

// Backward goes back through the T steps of the last Forward and leaves the
// gradients of the pre-activations, which Grads turns into the gradients of
// weights and inputs.
//
//	dout  (T, B, H)  gradient of Hidden()
//	whh   (G·H, H)   as given to Forward
//
// It returns the gradients of h0 and c0 (nil for a cell without memory), (B, H)
// each, valid until the next Backward. Forward must run before Backward runs
// again.
func (r *Recurrent) Backward(dout, whh []float32) (dh0, dc0 []float32) {
	r.in = inputs{dout: dout, whh: whh}
	r.team.Run(r.work(), r.backward)
	return r.dHidden, r.dCell
}

// runBackward is one worker's part of Backward, in every step.
func (r *Recurrent) runBackward(w *kernel.Worker) {
	H, n, g := r.H, r.B*r.H, r.cell.gates
	lo, hi := w.Range(H, kernel.Columns())
	r.whh.Pack(lo, hi, r.in.whh, H, 1)
	p, alone := r.part(w)
	if alone {
		w.Barrier()
	}
	B, first := p.to-p.from, p.from*H
	if B == 0 { // alone
		return
	}
	dHidden, dCell := r.dHidden[first:], r.dCell
	if r.cell.memory {
		dCell = dCell[first:]
	}
	for b := 0; b < B; b++ {
		clear(dHidden[b*H+p.lo : b*H+p.hi])
		if r.cell.memory {
			clear(dCell[b*H+p.lo : b*H+p.hi])
		}
	}
	width := kernel.TmpWidth(H)
	for t := r.T - 1; t >= 0; t-- {
		tmp, at := r.step.tmp(r.gates, t), t*n+first
		rows, wide := tmp[p.from*width:], width
		var init, c, cOut []float32
		if r.cell.memory {
			c, cOut = r.cells[at:], r.cells[at+n:]
		}
		r.cell.backward(rows, r.hidden[at:], r.in.dout[at:], dHidden, c, cOut, dCell, B, H, p.lo, p.hi)
		if r.cell.bypass && p.lo < p.hi {
			init = dHidden[p.lo:]
		}
		if r.precision != kernel.FP32 { // FP32 reads the gates where they lie
			for k := 0; k < g; k++ {
				r.packed.put(t, p.from, p.to, k*H+p.lo, tmp, width, k*H+p.lo, k*H+p.hi)
			}
			rows, wide = r.packed.rows[t%2][p.from*r.packed.width:], r.packed.width
		}
		if !alone {
			w.Barrier()
		}
		if p.lo < p.hi {
			r.whh.Multiply(w, B, p.lo, p.hi, rows, wide, init, H, dHidden[p.lo:], H)
		}
	}
}

// Grads computes the gradients that follow from the last Backward.
//
//	dx    rows of (G·H): the gradient of x is added to the rows that ids (T, B)
//	      names, or to row t·B + b where ids is nil
//	dwhh  (G·H, H), dbhh (G·H): set to the sums over the T·B rows in order
func (r *Recurrent) Grads(dx []float32, ids []int32, dwhh, dbhh []float32) {
	g, rows := r.cell.gates, r.T*r.B
	clear(dbhh)
	r.in = inputs{dx: dx, ids: ids, dbhh: dbhh}
	r.team.Run(r.T*r.B*r.cell.gates*r.H, r.sums)
	r.team.GemmT(r.precision, g*r.H, r.H, rows, r.gates, kernel.TmpWidth(r.H), r.hidden, r.H, dwhh, r.H)
}

// runSums is one worker's part of the sums of Grads: its columns in every step.
func (r *Recurrent) runSums(w *kernel.Worker) {
	B, H, g := r.B, r.H, r.cell.gates
	split := r.cell.shared * H
	lo, hi := w.Range(g*H, 64)
	for t := 0; t < r.T; t++ {
		gates, dx, ids := r.step.tmp(r.gates, t), r.in.dx, []int32(nil)
		if r.in.ids != nil {
			ids = r.in.ids[t*B : (t+1)*B]
		} else {
			dx = dx[t*B*g*H : (t+1)*B*g*H]
		}
		kernel.ColumnSum(r.in.dbhh, gates, kernel.TmpWidth(H), B, lo, hi)
		kernel.SegmentSum(dx, g*H, gates, kernel.TmpWidth(H), ids, B, lo, max(lo, min(hi, split)))
		if own := max(lo, split); own < hi {
			kernel.SegmentSum(dx, g*H, gates[H:], kernel.TmpWidth(H), ids, B, own, hi)
		}
	}
}
