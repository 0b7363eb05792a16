package rnn

import "github.com/quire-ml/quire/model/kernel"

// Weights are the parameters of a network, one after another in one slice. They
// may be read by several goroutines at once.
type Weights struct {
	Shape Shape
	Flat  []float32   // all values, in the order of Shape.Parameters
	ByPos [][]float32 // the values of parameter i, which are a part of Flat
	list  []Parameter
}

// NewWeights returns zero weights.
func NewWeights(s Shape) *Weights {
	w := &Weights{Shape: s, Flat: kernel.Floats(s.Count()), list: s.Parameters()}
	at := 0
	for _, p := range w.list {
		w.ByPos = append(w.ByPos, w.Flat[at:at+p.Size():at+p.Size()])
		at += p.Size()
	}
	return w
}

// Layer is the weights of one recurrent layer, parts of Weights.Flat. G is
// Cell.Gates.
type Layer struct {
	In       int       // I for layer 0, H above
	WIH, WHH []float32 // (G·H, In), (G·H, H)
	BIH, BHH []float32 // (G·H)
}

// Layer returns the weights of layer k.
func (w *Weights) Layer(k int) Layer {
	in := w.Shape.Hidden
	if k == 0 {
		in = w.Shape.Embedding
	}
	p := w.ByPos[1+4*k:]
	return Layer{In: in, WIH: p[0], WHH: p[1], BIH: p[2], BHH: p[3]}
}

// Embedding returns embedding.weight (V, I).
func (w *Weights) Embedding() []float32 { return w.ByPos[0] }

// Dense returns dense.weight (V, H) and dense.bias (V).
func (w *Weights) Dense() (weight, bias []float32) {
	n := len(w.ByPos)
	return w.ByPos[n-2], w.ByPos[n-1]
}

// Init fills the weights with their initial values: value i of parameter p is
// uniform in ±Limit, from 24 bits of a hash of (seed, p, i).
func (w *Weights) Init(seed int64) {
	for pos, p := range w.list {
		w.init(seed, pos, p.Limit)
	}
}

// InitEmbedding is Init of the embedding alone, uniform in ±limit.
func (w *Weights) InitEmbedding(seed int64, limit float64) { w.init(seed, 0, limit) }

func (w *Weights) init(seed int64, pos int, limit float64) {
	key := kernel.Hash(kernel.Hash(uint64(seed)) + uint64(pos))
	for i := range w.ByPos[pos] {
		u := kernel.Hash(key+uint64(i)) >> 40
		w.ByPos[pos][i] = float32(limit * (float64(u)/(1<<23) - 1))
	}
}
