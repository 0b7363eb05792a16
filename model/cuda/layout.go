package cuda

import (
	"math"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// align is the alignment of every buffer, in bytes: that of cuMemAlloc.
const align = 256

// An arena gives out addresses, one after another. With the base 0 it counts what
// they take. In floating point, because an absurd shape must not overflow.
type arena struct {
	base Ptr
	size float64
}

// take returns a place of the given number of values, the product of dims, of
// width bytes each.
func (a *arena) take(width int, dims ...int) Ptr {
	p := a.base + Ptr(whole(a.size))
	n := float64(width)
	for _, d := range dims {
		n *= float64(d)
	}
	a.size += math.Ceil(n/align) * align
	return p
}

// whole returns a number of bytes, at most one that no device has.
func whole(size float64) int { return int(min(size, 1<<62)) }

// floats is take for float32.
func (a *arena) floats(dims ...int) Ptr { return a.take(4, dims...) }

// A home is the memory that stays between steps, whatever the length of the
// sequences.
type home struct {
	params                     []Ptr // of the weights
	bytes                      int   // of all weights; each other part has the same layout
	weights, grads, m, v, mean Ptr   // parts; mean is 0 for none
	h, c                       []Ptr // hidden of each layer from which the next loss starts, (B, H); c of a cell with memory
	rates                      Ptr   // (7): kernel.AdamRates, then the rate of kernel.Follow
	table                      Ptr   // (V, G·H): of the predictor that ran last
}

const rates = 7

func (n *Network) layHome(a *arena) (m home) {
	s := n.shape
	start := a.size
	for _, p := range n.list {
		m.params = append(m.params, a.floats(p.Dims...))
	}
	m.weights, m.bytes = m.params[0], whole(a.size-start)
	m.grads, m.m, m.v = a.take(1, m.bytes), a.take(1, m.bytes), a.take(1, m.bytes)
	if n.o.Average {
		m.mean = a.take(1, m.bytes)
	}
	for range s.Layers {
		m.h = append(m.h, a.floats(n.B, s.Hidden))
		if s.Cell.Memory() {
			m.c = append(m.c, a.floats(n.B, s.Hidden))
		}
	}
	m.rates, m.table = a.floats(rates), a.floats(s.Vocabulary, s.Cell.Gates(), s.Hidden)
	return m
}

// param returns parameter i of a part.
func (m *home) param(part Ptr, i int) Ptr { return part + m.params[i] - m.weights }

// A batch is the places of what a step takes from the host, as distances from the
// first, in the order of one copy.
type batch struct {
	keys         Ptr // uint64, of each mask
	ids, targets Ptr // (T, B) int32
	first, list  Ptr // (V+1), (T·B) int32: the rows of character v are list[first[v]] … list[first[v+1]-1]
	bytes        int
}

func (n *Network) layBatch(T int) (b batch) {
	var a arena
	b.keys = a.take(8, max(1, n.masks()))
	b.ids, b.targets = a.take(4, T, n.B), a.take(4, T, n.B)
	b.first, b.list = a.take(4, n.shape.Vocabulary+1), a.take(4, T, n.B)
	b.bytes = whole(a.size)
	return b
}

// masks returns the number of masks of a step.
func (n *Network) masks() int {
	count := 0
	if n.o.InputDropout > 0 {
		count++
	}
	if n.o.WeightDropout > 0 {
		count += n.shape.Layers
	}
	if n.o.Dropout > 0 {
		count += n.shape.Layers
	}
	return count
}

// A result is the places of what a step gives to the host, as distances from the
// first, in the order of one copy.
type result struct {
	losses  Ptr // (T·B) float64
	squares Ptr // float64: the chunks of all gradients
	bytes   int
}

func (n *Network) layResult(T int) (r result) {
	var a arena
	r.losses, r.squares = a.take(8, T, n.B), a.take(8, n.chunks)
	r.bytes = whole(a.size)
	return r
}

// A plan is the memory and the graphs of the steps of one length.
type plan struct {
	T      int
	batch  batch
	result result

	in, out Ptr // the places of batch and result
	layers  []layer
	topMask *mask
	top     Ptr // (T·B, H): input of the dense layer
	logits  Ptr // (T·B, V), then their gradients
	dout    Ptr // (T·B, H): gradient of a layer's hidden, then of its input
	dEmbed  Ptr // (T·B, I): gradient of the embedded ids, with input dropout
	dPre    Ptr // rows of (G·H): gradient of a layer's pre-activations
	dLast   Ptr // (B, H): what a step back leaves to the step before it, dh of a GRU, dc of an LSTM

	loss, update graph
}

// A layer is the memory of one recurrent layer.
type layer struct {
	in, rows       int   // width and number of the rows of x
	byRow          bool  // row t·B + b of x is that of (t, b), not that of a character
	xMask, whhMask *mask // nil for none
	from           Ptr   // (rows, in): input before dropout
	x              Ptr   // (rows, in): input
	whh            Ptr   // (G·H, H): weights, after dropout
	pre            Ptr   // (rows, G·H): input pre-activations
	hidden         Ptr   // (T+1, B, H)
	cells          Ptr   // (T+1, B, H), of a cell with memory
	tmp            Ptr   // (T·B, TmpWidth)
}

// A mask is one of a step, by its number in the order of package graph.
type mask struct {
	kernel.Mask
	number int
}

func (n *Network) layPlan(a *arena, T int) *plan {
	s, B, o := n.shape, n.B, &n.o
	V, I, H, G := s.Vocabulary, s.Embedding, s.Hidden, s.Cell.Gates()
	p := &plan{T: T, batch: n.layBatch(T), result: n.layResult(T)}
	p.in, p.out = a.take(1, p.batch.bytes), a.take(1, p.result.bytes)
	masks := 0
	drop := func(share float64, x Ptr, dims ...int) (*mask, Ptr) {
		if share == 0 {
			return nil, x
		}
		masks++
		return &mask{kernel.NewMask(share), masks - 1}, a.floats(dims...)
	}
	l := layer{in: I, rows: V, from: n.home.params[0]}
	if o.InputDropout > 0 {
		l = layer{in: I, rows: T * B, byRow: true, from: a.floats(T, B, I)}
		p.dEmbed = a.floats(T, B, I)
	}
	dropped := o.InputDropout
	for k := range s.Layers {
		l.xMask, l.x = drop(dropped, l.from, l.rows, l.in)
		l.whhMask, l.whh = drop(o.WeightDropout, n.home.params[2+4*k], G, H, H)
		l.pre, l.hidden, l.tmp = a.floats(l.rows, G, H), a.floats(T+1, B, H), a.floats(T, B, kernel.TmpWidth(H))
		if s.Cell.Memory() {
			l.cells = a.floats(T+1, B, H)
		}
		p.layers = append(p.layers, l)
		l = layer{in: H, rows: T * B, byRow: true, from: floatsOn(l.hidden, B*H)}
		dropped = o.Dropout
	}
	p.topMask, p.top = drop(dropped, l.from, T, B, H)
	p.logits, p.dout = a.floats(T, B, V), a.floats(T, B, H)
	rows := p.layers[0].rows
	if s.Layers > 1 {
		rows = max(rows, T*B)
	}
	p.dPre, p.dLast = a.floats(rows, G, H), a.floats(B, H)
	return p
}

// floatsOn returns the address of the n-th float32 from p on.
func floatsOn(p Ptr, n int) Ptr { return p + 4*Ptr(n) }

// Memory returns the bytes that NewNetwork takes of a GPU.
func Memory(s rnn.Shape, T, B, streams int, o *Options) int64 {
	const most = 1 << 62
	if float64(T)*float64(B) >= most {
		return most
	}
	n := newNetwork(nil, s, B, streams, o)
	var a arena
	n.layAll(&a)
	n.layPlan(&a, T)
	return int64(whole(a.size))
}
