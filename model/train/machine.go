package train

import (
	"github.com/quire-ml/quire/model/adam"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/graph"
)

// A machine computes the steps of one Trainer on a device. The trainer's
// weights, moments, mean and hidden are the host's copy of the machine's memory:
// push and pull move them. What fails in a method without an error fails in the
// next one with an error.
//
// Scalars (the loss, the norm, the rates) are computed by the same Go code for
// every machine.
type machine interface {
	// resize prepares for sequences of T+1 ids.
	resize(T int) error
	// loss returns the mean cross-entropy of ids and targets (T, B), in nats, and
	// keeps its gradients. The sequences start from the hidden after the last apply,
	// or without one from zero. The trainer's seed and step decide which values are
	// dropped.
	loss(ids, targets []int32) (float64, error)
	// gradient returns the gradient of the parameter of that name from the last
	// loss, nil for an unknown name; valid until the next loss.
	gradient(name string) []float32
	// squares returns the sums of squares of the gradients for adam.Solver.Begin.
	squares() ([]float64, error)
	// apply updates weights, moments and mean by the gradients of the last loss,
	// and sets the hidden to that in which its sequences have ended.
	apply(adam.Rates) error
	// forget sets the hidden of sequence b to zero.
	forget(b int)
	// sampler returns B streams of the weights, with the hidden from which the next
	// loss starts; valid until the next apply.
	sampler() (predictor, error)
	// validator returns evaluateRows streams of the trainer's model with zero hidden;
	// valid until the next apply.
	validator() (predictor, error)
	// pull copies the machine's memory to the host. push copies the host's memory
	// to the machine.
	pull() error
	push() error
	close() error
}

// A predictor runs streams forward, one character at a time, as decode.Model does.
type predictor interface {
	Step(ids []int32) (logits []float32, err error)
	Losses(ids, targets []int32) ([]float64, error)
	Forget(b int)
}

// cpu is the machine of the processor: a Gorgonia graph, updated by the trainer's
// solver. Its memory is the host's.
type cpu struct {
	t      *Trainer
	net    *graph.Network
	draws  *decode.Model // of sampler; nil before the first
	checks *decode.Model // of validator; nil before the first
}

func (c *cpu) resize(T int) error {
	o := &c.t.o
	net, err := graph.New(c.t.Weights, T, c.t.B, &graph.Options{Team: c.t.team, Precision: o.Precision,
		Dropout: o.Dropout, InputDropout: o.InputDropout, WeightDropout: o.WeightDropout})
	if err != nil {
		return err
	}
	if err := c.close(); err != nil {
		return err
	}
	c.net = net
	return nil
}

func (c *cpu) loss(ids, targets []int32) (float64, error) {
	c.net.SetMask(c.t.o.Seed, c.t.Solver.T)
	if x := c.t.hidden; x != nil {
		c.net.SetHidden(x.h, x.c)
	}
	return c.net.Run(ids, targets)
}

func (c *cpu) gradient(name string) []float32 { return c.net.Gradient(name) }

func (c *cpu) squares() ([]float64, error) { return c.t.Solver.Squares(c.net.Parameters()) }

func (c *cpu) apply(r adam.Rates) error {
	c.t.Solver.Update(r)
	if x := c.t.hidden; x != nil {
		x.take(c.net)
	}
	return nil
}

func (c *cpu) forget(b int) {
	if x := c.t.hidden; x != nil {
		x.forget(b)
	}
}

func (c *cpu) sampler() (predictor, error) {
	if c.draws == nil {
		c.draws = decode.With(c.t.team, c.t.Weights, c.t.B)
	} else {
		c.draws.Reload()
	}
	if x := c.t.hidden; x != nil {
		c.draws.SetHidden(x.h, x.c)
	} else {
		c.draws.Reset()
	}
	return c.draws, nil
}

func (c *cpu) validator() (predictor, error) {
	if c.checks == nil {
		c.checks = decode.With(c.t.team, c.t.model(), evaluateRows)
	} else {
		c.checks.Reload()
		c.checks.Reset()
	}
	return c.checks, nil
}

func (c *cpu) pull() error { return nil }
func (c *cpu) push() error { return nil }

func (c *cpu) close() error {
	if c.net == nil {
		return nil
	}
	return c.net.Close()
}
