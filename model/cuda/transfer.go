package cuda

import (
	"errors"
	"unsafe"
)

// State is the host's copy of what a network keeps between steps. What is nil is
// not moved.
type State struct {
	Weights, M, V, Mean [][]float32 // by parameter
	H, C                [][]float32 // by layer, (B, H) each: the hidden from which the next loss starts
}

// A move is values of the host and their place on the GPU.
type move struct {
	at     Ptr
	values []float32
}

// Pull copies the state of the last update to the host.
func (n *Network) Pull(s *State) error {
	n.moving = n.moves(s)
	return n.device.run(n.runPull)
}

// Push copies the state of the host to the GPU.
func (n *Network) Push(s *State) error {
	n.moving = n.moves(s)
	return n.device.run(n.runPush)
}

func (n *Network) moves(s *State) []move {
	m := &n.home
	var list []move
	for _, part := range []struct {
		at     Ptr
		values [][]float32
	}{{m.weights, s.Weights}, {m.m, s.M}, {m.v, s.V}, {m.mean, s.Mean}} {
		for i, x := range part.values {
			list = append(list, move{m.param(part.at, i), x})
		}
	}
	for k, x := range s.H {
		list = append(list, move{m.h[k], x})
	}
	for k, x := range s.C {
		list = append(list, move{m.c[k], x})
	}
	return list
}

// Gradient returns the gradient of a parameter of the last Loss, valid until the
// next; nil for an unknown name. An error is returned by the next Loss.
func (n *Network) Gradient(name string) []float32 {
	for i, p := range n.list {
		if p.Name != name {
			continue
		}
		if n.gradients[i] == nil {
			n.gradients[i] = make([]float32, p.Size())
		}
		n.moving = []move{{n.home.param(n.home.grads, i), n.gradients[i]}}
		if err := n.device.run(n.runPull); err != nil {
			n.failed = errors.Join(n.failed, err)
			return nil
		}
		return n.gradients[i]
	}
	return nil
}

func (n *Network) doPull() error {
	d := n.device
	return n.staged(func(at Ptr, part []byte, stage []byte) error {
		if err := d.download(stage, at); err != nil {
			return err
		}
		err := d.wait()
		copy(part, stage)
		return err
	})
}

func (n *Network) doPush() error {
	d := n.device
	return n.staged(func(at Ptr, part []byte, stage []byte) error {
		copy(stage, part)
		if err := d.upload(at, stage); err != nil {
			return err
		}
		return d.wait()
	})
}

// staged calls f for parts of all moves, each with pinned memory of its size.
func (n *Network) staged(f func(at Ptr, part, stage []byte) error) error {
	for _, m := range n.moving {
		rest := bytesOf(m.values)
		for at := m.at; len(rest) > 0; {
			part := rest[:min(len(rest), len(n.host.stage))]
			if err := f(at, part, n.host.stage[:len(part)]); err != nil {
				return err
			}
			at, rest = at+Ptr(len(part)), rest[len(part):]
		}
	}
	return nil
}

// bytesOf returns the memory of x.
func bytesOf[T float32 | float64](x []T) []byte {
	if len(x) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&x[0])), len(x)*int(unsafe.Sizeof(x[0])))
}
