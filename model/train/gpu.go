package train

import (
	"fmt"

	"github.com/quire-ml/quire/model/adam"
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// gpu is the machine of a GPU, which has memory of its own.
type gpu struct {
	t   *Trainer
	net *cuda.Network // nil before the first resize
}

func (g *gpu) resize(T int) error {
	if g.net != nil {
		return g.net.Resize(T)
	}
	t, o := g.t, &g.t.o
	err := o.checkGPU(t.Weights.Shape)
	if err != nil {
		return err
	}
	g.net, err = cuda.NewNetwork(o.Device, t.Weights.Shape, T, t.B, evaluateRows, o.gpuOptions())
	return err
}

// checkGPU is Options.CheckGPU.
func (o *TrainerOptions) checkGPU(s rnn.Shape) error {
	if o.Precision != kernel.FP32 {
		return fmt.Errorf("train: only a processor has products in %s", o.Precision)
	}
	return cuda.Check(s)
}

// gpuOptions returns the options that a GPU's network has.
func (o *TrainerOptions) gpuOptions() *cuda.Options {
	return &cuda.Options{Dropout: o.Dropout, InputDropout: o.InputDropout, WeightDropout: o.WeightDropout,
		Carry: o.Hidden == Carry, Average: o.Average > 0}
}

// state is the host's copy.
func (g *gpu) state() *cuda.State {
	t := g.t
	s := &cuda.State{Weights: t.Weights.ByPos, M: t.Solver.M, V: t.Solver.V}
	if t.mean != nil {
		s.Mean = t.mean.ByPos
	}
	if t.hidden != nil {
		s.H, s.C = t.hidden.h, t.hidden.c
	}
	return s
}

func (g *gpu) loss(ids, targets []int32) (float64, error) {
	return g.net.Loss(g.t.o.Seed, g.t.Solver.T, ids, targets)
}

func (g *gpu) gradient(name string) []float32 { return g.net.Gradient(name) }
func (g *gpu) squares() ([]float64, error)    { return g.net.Squares(), nil }
func (g *gpu) apply(r adam.Rates) error       { return g.net.Update(&r.AdamRates, r.Follow) }
func (g *gpu) forget(b int)                   { g.net.Forget(b) }
func (g *gpu) pull() error                    { return g.net.Pull(g.state()) }
func (g *gpu) push() error                    { return g.net.Push(g.state()) }

func (g *gpu) sampler() (predictor, error) { return g.net.Sampler, g.net.Sampler.Start() }

func (g *gpu) validator() (predictor, error) { return g.net.Validator, g.net.Validator.Load() }

func (g *gpu) close() error {
	if g.net == nil {
		return nil
	}
	return g.net.Close()
}
