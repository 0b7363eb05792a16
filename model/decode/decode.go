// Package decode runs a trained network forward, one character of B
// independent streams at a time, with no graph and no gradients: for
// generation, scoring and evaluation.
//
// A step gives the bits of the same step of a training graph in float32.
package decode

import (
	"fmt"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// Model is a network with the hidden of B streams. It keeps a copy of the weights
// in the form that products read: Reload renews the copy after a change of the
// weights. A Model is for one goroutine at a time; its kernels use all processors.
type Model struct {
	B       int
	shape   rnn.Shape
	weights *rnn.Weights
	team    *kernel.Team
	layers  []*layer
	table   []float32      // (V, G·H): input pre-activations of layer 0 by character
	dense   *kernel.Panels // (H, V)
	bias    []float32      // (V)
	logits  []float32      // (B, V)
	losses  []float64      // (B)

	ids     []int32 // (B), of the step that runs
	targets []int32 // (B), of the Losses that runs
	t       int     // steps taken

	step, loss func(*kernel.Worker)
}

// layer is one recurrent layer and its hidden.
type layer struct {
	step    *rnn.Step
	input   []*kernel.Panels // W_ih of each gate, (H, H); nil for layer 0
	bias    []float32        // b_ih (G·H)
	x       []float32        // (B, G·H) input pre-activations; nil for layer 0
	tmp     []float32        // (B, TmpWidth)
	hidden  []float32        // (B, H)
	cell    []float32        // (B, H), of a cell with memory
	weights rnn.Layer
}

// New returns a model of w whose B streams have zero hidden.
func New(w *rnn.Weights, B int) *Model { return With(kernel.NewTeam(), w, B) }

// With is New with a team that does the work: one that other parts of a program use by
// turns, so that its workers are awake.
func With(team *kernel.Team, w *rnn.Weights, B int) *Model {
	s := w.Shape
	g := s.Cell.Gates()
	m := &Model{B: B, shape: s, team: team, table: make([]float32, s.Vocabulary*g*s.Hidden),
		logits: make([]float32, B*s.Vocabulary), losses: make([]float64, B), dense: kernel.NewPanels(s.Hidden, s.Vocabulary, kernel.FP32)}
	for k := 0; k < s.Layers; k++ {
		l := &layer{step: rnn.NewStep(s.Cell, B, s.Hidden, kernel.FP32), tmp: make([]float32, B*kernel.TmpWidth(s.Hidden)),
			hidden: make([]float32, B*s.Hidden), weights: w.Layer(k)}
		l.bias = l.weights.BIH
		l.step.SetBias(l.weights.BHH)
		if s.Cell.Memory() {
			l.cell = make([]float32, B*s.Hidden)
		}
		if k > 0 {
			l.x = make([]float32, B*g*s.Hidden)
			for range g {
				l.input = append(l.input, kernel.NewPanels(s.Hidden, s.Hidden, kernel.FP32))
			}
		}
		m.layers = append(m.layers, l)
	}
	m.weights, m.step, m.loss = w, m.runStep, m.runLoss
	m.Reload()
	return m
}

// Reload copies the weights w of New again. The hidden stays.
func (m *Model) Reload() {
	s, first := m.shape, m.weights.Layer(0)
	width := s.Cell.Gates() * s.Hidden
	m.team.Gemm(s.Vocabulary, width, s.Embedding, m.weights.Embedding(), s.Embedding, 1,
		first.WIH, 1, s.Embedding, first.BIH, 0, m.table, width)
	dense, bias := m.weights.Dense()
	m.bias = bias
	m.team.Run(s.Hidden*s.Hidden, func(k *kernel.Worker) { m.pack(k, dense) })
}

// pack copies one worker's part of the weights into panels.
func (m *Model) pack(w *kernel.Worker, dense []float32) {
	H := m.shape.Hidden
	lo, hi := w.Range(H, kernel.Columns())
	for _, l := range m.layers {
		l.step.Pack(lo, hi, l.weights.WHH)
		for g, p := range l.input {
			p.Pack(lo, hi, l.weights.WIH[g*H*H:], 1, H)
		}
	}
	lo, hi = w.Range(m.shape.Vocabulary, kernel.Columns())
	m.dense.Pack(lo, hi, dense, 1, H)
}

// Reset sets the hidden of every stream to zero.
func (m *Model) Reset() {
	for _, l := range m.layers {
		clear(l.hidden)
		clear(l.cell)
		l.step.Put(m.t, l.hidden, 0, m.shape.Hidden)
	}
}

// SetHidden sets the hidden, and the c of a cell with memory, of every stream: h
// and c hold one (B, H) slice a layer.
func (m *Model) SetHidden(h, c [][]float32) {
	for k, l := range m.layers {
		copy(l.hidden, h[k])
		if l.cell != nil {
			copy(l.cell, c[k])
		}
		l.step.Put(m.t, l.hidden, 0, m.shape.Hidden)
	}
}

// Forget sets the hidden of stream b to zero.
func (m *Model) Forget(b int) {
	H := m.shape.Hidden
	for _, l := range m.layers {
		clear(l.hidden[b*H : (b+1)*H])
		if l.cell != nil {
			clear(l.cell[b*H : (b+1)*H])
		}
		l.step.PutRow(m.t, l.hidden, b)
	}
}

// move copies stream from, its hidden and the logits of its last step, to stream to.
func (m *Model) move(to, from int) {
	H, V := m.shape.Hidden, m.shape.Vocabulary
	for _, l := range m.layers {
		copy(l.hidden[to*H:(to+1)*H], l.hidden[from*H:])
		if l.cell != nil {
			copy(l.cell[to*H:(to+1)*H], l.cell[from*H:])
		}
		l.step.PutRow(m.t, l.hidden, to)
	}
	copy(m.logits[to*V:(to+1)*V], m.logits[from*V:])
}

// Step feeds one character to each stream, ids (B), and returns the logits of the
// next character, (B, V), valid until the next Step. Another number of ids, or an
// id outside the vocabulary, is an error, and no stream moves.
func (m *Model) Step(ids []int32) ([]float32, error) {
	if len(ids) != m.B {
		return nil, fmt.Errorf("decode: %d ids for %d streams", len(ids), m.B)
	}
	for b, id := range ids {
		if id < 0 || int(id) >= m.shape.Vocabulary {
			return nil, fmt.Errorf("decode: id %d of stream %d is outside the vocabulary of %d", id, b, m.shape.Vocabulary)
		}
	}
	m.feed(ids)
	return m.logits, nil
}

// feed is Step for the first len(ids) streams, whose ids are in the vocabulary. The
// others stand still, and cost nothing.
func (m *Model) feed(ids []int32) {
	for _, l := range m.layers {
		l.step.SetRows(m.t, l.hidden, len(ids))
	}
	m.ids = ids
	m.team.Run(len(ids)*m.shape.Cell.Gates()*m.shape.Hidden*m.shape.Hidden, m.step)
	m.ids = nil
	m.t++
}

// runStep is one worker's part of Step: its units of every layer, then its columns
// of the logits.
func (m *Model) runStep(w *kernel.Worker) {
	B, H, G := len(m.ids), m.shape.Hidden, m.shape.Cell.Gates()
	lo, hi := w.Range(H, kernel.Columns())
	var below []float32
	for _, l := range m.layers {
		x, ids := m.table, m.ids
		if l.input != nil {
			for g, p := range l.input {
				if lo < hi {
					p.Multiply(w, B, lo, hi, below, H, l.bias[g*H+lo:], 0, l.x[g*H+lo:], G*H)
				}
			}
			x, ids = l.x, nil
		}
		l.step.Forward(w, m.t, lo, hi, x, ids, l.tmp, l.hidden, l.hidden, l.cell, l.cell)
		below = l.hidden
		w.Barrier()
	}
	lo, hi = w.Range(m.shape.Vocabulary, kernel.Columns())
	if lo < hi {
		m.dense.Multiply(w, B, lo, hi, below, H, m.bias[lo:], 0, m.logits[lo:], m.shape.Vocabulary)
	}
}

// Losses feeds ids (B) like Step and returns the cross-entropy (B) of each
// stream's next character against targets (B), in nats, valid until the next call.
// A target outside the vocabulary is an error, and no stream moves.
func (m *Model) Losses(ids, targets []int32) ([]float64, error) {
	for b, id := range targets {
		if id < 0 || int(id) >= m.shape.Vocabulary {
			return nil, fmt.Errorf("decode: target %d of stream %d is outside the vocabulary of %d", id, b, m.shape.Vocabulary)
		}
	}
	logits, err := m.Step(ids)
	if err != nil {
		return nil, err
	}
	m.targets = targets
	m.team.Run(16*len(logits), m.loss)
	m.targets = nil
	return m.losses, nil
}

// runLoss is one worker's part of Losses: its streams.
func (m *Model) runLoss(w *kernel.Worker) {
	lo, hi := w.Range(m.B, 1)
	V := m.shape.Vocabulary
	l := m.logits[lo*V : hi*V]
	kernel.CrossEntropy(m.losses[lo:hi], l, l, m.targets[lo:hi], 1, hi-lo, V)
}
