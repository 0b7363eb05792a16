package cuda

import (
	"errors"
	"fmt"
)

// A Predictor runs streams forward with a Network's weights, one character at a
// time, as decode.Model does and with its bytes. Load or Start comes first, and
// again after an update of the network, or after either of its other predictor. It is
// for the goroutine of its network.
type Predictor struct {
	n       *Network
	streams int
	weights Ptr      // the part that it reads
	in      Ptr      // (2, streams) int32: ids, targets
	h       [][2]Ptr // of each layer, (streams, H): after even and after odd steps
	c       []Ptr    // of each layer, (streams, H), for a cell with memory
	pre     Ptr      // (streams, G·H): input pre-activations of a layer above the first
	logits  Ptr      // (streams, V)
	losses  Ptr      // (streams) float64
	odd     int      // the half of h that holds the hidden

	host    []byte    // pinned
	ids     []int32   // (2, streams), in host
	outputs []float32 // logits, in host
	nats    []float64 // losses, in host

	failed error // of Forget
	from   *home // argument of runLoad: the hidden to start from, nil for zero
	judged bool  // argument of runStep: the losses are wanted, not the logits
	stream int   // argument of runForget

	runLoad, runStep, runForget func() error
}

func newPredictor(n *Network, streams int) *Predictor {
	p := &Predictor{n: n, streams: streams}
	p.runLoad, p.runStep, p.runForget = p.doLoad, p.doStep, p.doForget
	return p
}

// lay gives the predictor's memory its addresses. weights is the part that it reads.
func (p *Predictor) lay(a *arena, weights Ptr) {
	s, N := p.n.shape, p.streams
	p.weights, p.h, p.c = weights, nil, nil
	p.in = a.take(4, 2, N)
	for range s.Layers {
		p.h = append(p.h, [2]Ptr{a.floats(N, s.Hidden), a.floats(N, s.Hidden)})
		if s.Cell.Memory() {
			p.c = append(p.c, a.floats(N, s.Hidden))
		}
	}
	p.pre, p.logits, p.losses = a.floats(N, s.Cell.Gates(), s.Hidden), a.floats(N, s.Vocabulary), a.take(8, N)
}

// pin takes the pinned memory.
func (p *Predictor) pin() (err error) {
	var a arena
	N, V := p.streams, p.n.shape.Vocabulary
	ids, outputs, nats := a.take(4, 2, N), a.floats(N, V), a.take(8, N)
	if p.host, err = p.n.device.pinned(whole(a.size)); err != nil {
		return err
	}
	p.ids, p.outputs, p.nats = view[int32](p.host, ids, 2*N), view[float32](p.host, outputs, N*V), view[float64](p.host, nats, N)
	return nil
}

// Load takes the network's weights, and sets the hidden of all streams to zero.
func (p *Predictor) Load() error {
	p.from = nil
	return p.n.device.run(p.runLoad)
}

// Start is Load with the hidden from which the sequences of the network's next
// loss start. The predictor must be the network's Sampler.
func (p *Predictor) Start() error {
	p.from = &p.n.home
	return p.n.device.run(p.runLoad)
}

func (p *Predictor) doLoad() error {
	n, s := p.n, p.n.shape
	GH := s.Cell.Gates() * s.Hidden
	err := n.kernels.gemm(s.Vocabulary, GH, s.Embedding, p.param(0), s.Embedding, 1, p.param(1), 1, s.Embedding, p.param(3), 0, n.home.table, GH)
	if err != nil {
		return err
	}
	p.failed, p.odd = nil, 0
	size := 4 * p.streams * s.Hidden
	for k := range p.h {
		if err := p.begin(p.h[k][0], k, false, size); err != nil {
			return err
		}
		if p.c != nil {
			if err := p.begin(p.c[k], k, true, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin sets the hidden of layer k, or its memory.
func (p *Predictor) begin(at Ptr, k int, memory bool, size int) error {
	switch {
	case p.from == nil:
		return p.n.device.fill(at, 0, size)
	case memory:
		return p.n.device.copyOn(at, p.from.c[k], size)
	}
	return p.n.device.copyOn(at, p.from.h[k], size)
}

// param returns parameter i of the weights.
func (p *Predictor) param(i int) Ptr { return p.n.home.param(p.weights, i) }

// Forget sets the hidden of stream b to zero. An error is returned by the next Step
// or Losses.
func (p *Predictor) Forget(b int) {
	p.stream = b
	p.failed = errors.Join(p.failed, p.n.device.run(p.runForget))
}

func (p *Predictor) doForget() error {
	row := 4 * p.n.shape.Hidden
	for k := range p.h {
		if err := p.n.device.fill(p.h[k][p.odd]+Ptr(p.stream*row), 0, row); err != nil {
			return err
		}
	}
	for _, c := range p.c {
		if err := p.n.device.fill(c+Ptr(p.stream*row), 0, row); err != nil {
			return err
		}
	}
	return nil
}

// Step feeds one character to each stream, ids (streams), and returns the logits of
// the next character, (streams, V), valid until the next Step. Another number of
// ids, or an id outside the vocabulary, is an error, and no stream moves.
func (p *Predictor) Step(ids []int32) ([]float32, error) {
	p.judged = false
	return p.outputs, p.step(ids)
}

// Losses feeds ids (streams) like Step and returns the cross-entropy (streams) of
// each stream's next character against targets (streams), in nats, valid until the
// next call.
func (p *Predictor) Losses(ids, targets []int32) ([]float64, error) {
	if err := p.check("target", targets); err != nil {
		return nil, err
	}
	copy(p.ids[p.streams:], targets)
	p.judged = true
	return p.nats, p.step(ids)
}

func (p *Predictor) step(ids []int32) error {
	if err := errors.Join(p.failed, p.check("id", ids)); err != nil {
		return err
	}
	copy(p.ids, ids)
	return p.n.device.run(p.runStep)
}

// check refuses another number of ids and those outside the vocabulary.
func (p *Predictor) check(what string, ids []int32) error {
	if len(ids) != p.streams {
		return fmt.Errorf("cuda: %d %ss for %d streams", len(ids), what, p.streams)
	}
	for b, id := range ids {
		if id < 0 || int(id) >= p.n.shape.Vocabulary {
			return fmt.Errorf("cuda: %s %d of stream %d is outside the vocabulary of %d", what, id, b, p.n.shape.Vocabulary)
		}
	}
	return nil
}

func (p *Predictor) doStep() error {
	d := p.n.device
	if err := d.upload(p.in, p.host[:8*p.streams]); err != nil {
		return err
	}
	if err := p.forward(); err != nil {
		return err
	}
	p.odd = 1 - p.odd
	out, at := bytesOf(p.outputs), p.logits
	if p.judged {
		out, at = bytesOf(p.nats), p.losses
	}
	if err := d.download(out, at); err != nil {
		return err
	}
	return d.wait()
}

// forward launches one step of all layers, the dense layer, and the losses where
// they are wanted.
func (p *Predictor) forward() error {
	k, s, N := &p.n.kernels, p.n.shape, p.streams
	V, H, GH := s.Vocabulary, s.Hidden, s.Cell.Gates()*s.Hidden
	step := forwardStep{x: p.n.home.table, ids: p.in}
	var below Ptr
	for i := range p.h {
		at := 1 + 4*i
		if i > 0 {
			if err := k.gemm(N, GH, H, below, H, 1, p.param(at), 1, H, p.param(at+2), 0, p.pre, GH); err != nil {
				return err
			}
			step = forwardStep{x: p.pre}
		}
		step.whh, step.bhh, step.h, step.out = p.param(at+1), p.param(at+3), p.h[i][p.odd], p.h[i][1-p.odd]
		if p.c != nil {
			step.c, step.cOut = p.c[i], p.c[i]
		}
		if err := cells[s.Cell].forward(k, N, H, &step); err != nil {
			return err
		}
		below = step.out
	}
	dense := len(p.n.list) - 2
	err := k.gemm(N, V, H, below, H, 1, p.param(dense), 1, H, p.param(dense+1), 0, p.logits, V)
	if err != nil || !p.judged {
		return err
	}
	return k.crossEntropy(p.losses, 0, p.logits, p.in+4*Ptr(N), 1, N, V)
}
