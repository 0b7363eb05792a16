package cuda

import (
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// A cell launches one time step of a layer, forward and back.
type cell struct {
	forward func(k *kernels, B, H int, s *forwardStep) error
	back    func(k *kernels, B, H int, s *backStep) error
}

// forwardStep is the arguments of kernels.gruForward and lstmForward.
type forwardStep struct{ x, ids, whh, bhh, h, out, c, cOut, tmp Ptr }

// backStep is the arguments of kernels.gruBackward and lstmBackward; last is dh or dc.
type backStep struct{ next, whh, tmp, h, c, cOut, dout, last Ptr }

// cells has a row for each cell that has kernels.
var cells = map[rnn.Cell]cell{
	rnn.GRU: {
		forward: func(k *kernels, B, H int, s *forwardStep) error {
			return k.gruForward(B, H, s.x, s.ids, s.whh, s.bhh, s.h, s.out, s.tmp)
		},
		back: func(k *kernels, B, H int, s *backStep) error {
			return k.gruBackward(B, H, s.next, s.whh, s.tmp, s.h, s.dout, s.last)
		}},
	rnn.LSTM: {
		forward: func(k *kernels, B, H int, s *forwardStep) error {
			return k.lstmForward(B, H, s.x, s.ids, s.whh, s.bhh, s.h, s.c, s.cOut, s.out, s.tmp)
		},
		back: func(k *kernels, B, H int, s *backStep) error {
			return k.lstmBackward(B, H, s.next, s.whh, s.tmp, s.c, s.cOut, s.dout, s.last)
		}},
}

// A pass launches the kernels of a loss, in the order of package graph.
type pass struct {
	*kernels
	err error // the first of a launch
	n   *Network
	p   *plan

	weights, grads         func(i int) Ptr // parameter i, its gradient
	R, B, V, I, H, GH, Tmp int             // rows, and widths; Tmp is kernel.TmpWidth
	cell                   cell
	inputShared            int // columns of tmp that are gradients of both pre-activations
}

// recordLoss launches the forward pass, the backward pass and the sums of squares.
func (n *Network) recordLoss(p *plan) error {
	s := n.shape
	w := &pass{kernels: &n.kernels, n: n, p: p, R: p.T * n.B, B: n.B, V: s.Vocabulary, I: s.Embedding, H: s.Hidden,
		GH: s.Cell.Gates() * s.Hidden, Tmp: kernel.TmpWidth(s.Hidden), cell: cells[s.Cell], inputShared: s.Cell.Shared() * s.Hidden,
		weights: func(i int) Ptr { return n.home.param(n.home.weights, i) },
		grads:   func(i int) Ptr { return n.home.param(n.home.grads, i) }}
	if err := n.carry(p, 0, false); err != nil {
		return err
	}
	for k := range p.layers {
		w.forward(k)
	}
	w.top()
	for k := len(p.layers) - 1; k >= 0; k-- {
		w.back(k)
		w.layerGrads(k)
	}
	at := p.out + p.result.squares
	for i, q := range n.list {
		w.do(w.sumSquares(at, w.grads(i), q.Size()))
		at += 8 * Ptr(kernel.Chunks(q.Size()))
	}
	return w.err
}

// do keeps the first error of the launches.
func (w *pass) do(err error) {
	if w.err == nil {
		w.err = err
	}
}

// recordUpdate launches the update, which also ends the step for the hidden.
func (n *Network) recordUpdate(p *plan) error {
	m := &n.home
	err := n.kernels.adam(m.weights, m.m, m.v, m.grads, m.mean, m.bytes/4, m.rates)
	if err != nil || !n.o.Carry {
		return err
	}
	return n.carry(p, p.T, true)
}

// carry copies the hidden from which sequences start to row t of all layers, or,
// with back, from there.
func (n *Network) carry(p *plan, t int, back bool) error {
	size := n.B * n.shape.Hidden
	for k, l := range p.layers {
		for _, x := range []struct {
			start []Ptr
			rows  Ptr
		}{{n.home.h, l.hidden}, {n.home.c, l.cells}} {
			if x.start == nil {
				continue
			}
			dst, src := floatsOn(x.rows, t*size), x.start[k]
			if back {
				dst, src = src, dst
			}
			if err := n.device.copyOn(dst, src, 4*size); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop applies a mask, if there is one, to src (count).
func (w *pass) drop(m *mask, dst, src Ptr, count int) {
	if m != nil {
		w.do(w.dropout(dst, src, count, w.p.in+w.p.batch.keys+8*Ptr(m.number), m.Threshold, m.Scale))
	}
}

// forward launches layer k.
func (w *pass) forward(k int) {
	l, at := &w.p.layers[k], 1+4*k
	if k == 0 && l.byRow {
		w.do(w.gather(l.from, w.weights(0), w.p.in+w.p.batch.ids, w.R, w.I))
	}
	w.drop(l.xMask, l.x, l.from, l.rows*l.in)
	w.drop(l.whhMask, l.whh, w.weights(at+1), w.GH*w.H)
	w.do(w.gemm(l.rows, w.GH, l.in, l.x, l.in, 1, w.weights(at), 1, l.in, w.weights(at+2), 0, l.pre, w.GH))
	n := w.B * w.H
	for t := range w.p.T {
		s := forwardStep{x: l.pre, whh: l.whh, bhh: w.weights(at + 3),
			h: floatsOn(l.hidden, t*n), out: floatsOn(l.hidden, (t+1)*n), tmp: floatsOn(l.tmp, t*w.B*w.Tmp)}
		if l.byRow {
			s.x = floatsOn(l.pre, t*w.B*w.GH)
		} else {
			s.ids = w.p.in + w.p.batch.ids + 4*Ptr(t*w.B)
		}
		if l.cells != 0 {
			s.c, s.cOut = floatsOn(l.cells, t*n), floatsOn(l.cells, (t+1)*n)
		}
		w.do(w.cell.forward(w.kernels, w.B, w.H, &s))
	}
}

// top launches the dense layer and the loss, and their gradients.
func (w *pass) top() {
	p, weight, bias := w.p, len(w.n.list)-2, len(w.n.list)-1
	below := floatsOn(p.layers[len(p.layers)-1].hidden, w.B*w.H)
	w.drop(p.topMask, p.top, below, w.R*w.H)
	w.do(w.gemm(w.R, w.V, w.H, p.top, w.H, 1, w.weights(weight), 1, w.H, w.weights(bias), 0, p.logits, w.V))
	w.do(w.crossEntropy(p.out+p.result.losses, p.logits, p.logits, p.in+p.batch.targets, 1/float32(w.R), w.R, w.V))
	w.do(w.gemm(w.R, w.H, w.V, p.logits, w.V, 1, w.weights(weight), w.H, 1, 0, 0, p.dout, w.H))
	w.do(w.gemm(w.V, w.H, w.R, p.logits, 1, w.V, p.top, w.H, 1, 0, 0, w.grads(weight), w.H))
	w.do(w.columnSum(w.grads(bias), p.logits, w.V, w.R, w.V))
	w.drop(p.topMask, p.dout, p.dout, w.R*w.H)
}

// back launches the way of layer k back through time, from the gradient of its
// hidden in dout. It leaves the gradients of the pre-activations in tmp.
func (w *pass) back(k int) {
	l, n := &w.p.layers[k], w.B*w.H
	for t := w.p.T - 1; t >= 0; t-- {
		s := backStep{whh: l.whh, tmp: floatsOn(l.tmp, t*w.B*w.Tmp), h: floatsOn(l.hidden, t*n), dout: floatsOn(w.p.dout, t*n), last: w.p.dLast}
		if t < w.p.T-1 {
			s.next = floatsOn(l.tmp, (t+1)*w.B*w.Tmp)
		}
		if l.cells != 0 {
			s.c, s.cOut = floatsOn(l.cells, t*n), floatsOn(l.cells, (t+1)*n)
		}
		w.do(w.cell.back(w.kernels, w.B, w.H, &s))
	}
}

// layerGrads launches the gradients of the parameters of layer k, and that of its
// input, to dout.
func (w *pass) layerGrads(k int) {
	p, l, at := w.p, &w.p.layers[k], 1+4*k
	first, list := p.in+p.batch.first, p.in+p.batch.list
	w.do(w.gemm(w.GH, w.H, w.R, l.tmp, 1, w.Tmp, l.hidden, w.H, 1, 0, 0, w.grads(at+1), w.H))
	w.drop(l.whhMask, w.grads(at+1), w.grads(at+1), w.GH*w.H)
	w.do(w.columnSum(w.grads(at+3), l.tmp, w.Tmp, w.R, w.GH))
	shift := w.H // of the gradients that only W_ih's pre-activations have
	if l.byRow {
		w.do(w.segmentSum(p.dPre, w.GH, l.tmp, w.Tmp, 0, 0, w.R, w.GH, w.inputShared, shift))
	} else {
		w.do(w.segmentSum(p.dPre, w.GH, l.tmp, w.Tmp, first, list, w.V, w.GH, w.inputShared, shift))
	}
	w.do(w.gemm(w.GH, l.in, l.rows, p.dPre, 1, w.GH, l.x, l.in, 1, 0, 0, w.grads(at), l.in))
	w.do(w.columnSum(w.grads(at+2), p.dPre, w.GH, l.rows, w.GH))
	dx := p.dout
	if k == 0 {
		dx = w.grads(0)
		if l.byRow {
			dx = p.dEmbed
		}
	}
	w.do(w.gemm(l.rows, l.in, w.GH, p.dPre, w.GH, 1, w.weights(at), l.in, 1, 0, 0, dx, l.in))
	w.drop(l.xMask, dx, dx, l.rows*l.in)
	if k == 0 && l.byRow {
		w.do(w.segmentSum(w.grads(0), w.I, p.dEmbed, w.I, first, list, w.V, w.I, w.I, 0))
	}
}
