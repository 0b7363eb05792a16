package train

import (
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// processBytes is the memory of a process beside its training.
const processBytes = 64 << 20

// Memory returns the peak memory of a training in bytes, before the garbage that the
// collector has not found yet: a network with the values of every step, weights,
// moments, gradients, the copy that is saved, and the model that is validated or writes
// a sample. Measured peaks are within a tenth of it.
func (o *Options) Memory() int64 {
	values := o.kept() + o.network(o.SeqLength)
	if c := o.Curriculum; c.SeqLength > 0 {
		values += o.network(c.SeqLength) // while the length changes
	}
	return bytesOf(values)
}

// GPUMemory is Memory of a training on a GPU: the host's, beside what the driver takes,
// and the GPU's.
func (o *Options) GPUMemory() (host, gpu int64) {
	return bytesOf(o.kept()), cuda.Memory(o.Shape, o.SeqLength, o.Batch, evaluateRows, o.gpuOptions())
}

// CheckGPU says why no GPU takes the steps of a training, whatever memory it has: its
// precision, or what cuda.Check says of its shape. It is nil where one can.
func (o *Options) CheckGPU() error { return o.checkGPU(o.Shape) }

// bytesOf returns the memory of a process with so many float32.
func bytesOf(values float64) int64 { return int64(min(4*values+processBytes, 1<<62)) }

// kept returns the number of values that a training has beside its network. In
// floating point, because an absurd shape must not overflow.
func (o *Options) kept() float64 {
	s := o.Shape
	p, v, h, g := o.parameters(), float64(s.Vocabulary), float64(s.Hidden), float64(s.Cell.Gates())
	copies := 6.0 // weights, moments, and the copy of both that is saved
	if o.Average > 0 {
		copies += 2
	}
	if o.Start != nil {
		copies++
	}
	return copies*p + v*g*h + float64(2*s.Layers-1)*g*h*h + v*h // and those of decode.Model
}

// parameters is Shape.Count.
func (o *Options) parameters() float64 {
	s := o.Shape
	v, i, h, g := float64(s.Vocabulary), float64(s.Embedding), float64(s.Hidden), float64(s.Cell.Gates())
	return v*i + g*h*i + float64(2*s.Layers-1)*g*h*h + 2*float64(s.Layers)*g*h + v*h + v
}

// network returns the number of values of package graph's network for sequences of T
// steps.
func (o *Options) network(T int) float64 {
	s := o.Shape
	v, i, h, g := float64(s.Vocabulary), float64(s.Embedding), float64(s.Hidden), float64(s.Cell.Gates())
	b, rows := float64(o.Batch), float64(T)*float64(o.Batch)
	hidden, gates := rows*h, rows*g*h // of a layer
	layer := hidden + rows*float64(kernel.TmpWidth(s.Hidden)) + 2*g*h*h + 8*b*h
	if s.Cell.Memory() {
		layer += hidden
	}
	if o.WeightDropout > 0 {
		layer += 2 * g * h * h
	}
	n := o.parameters() + float64(s.Layers)*layer // gradients, and the recurrent layers
	if o.InputDropout > 0 {
		n += 4*rows*i + 2*gates // embedded, dropped, their gradients; pre-activations and theirs
	} else {
		n += min(v, rows) * (2*g*h + i) // the table, its gradient, and the rows of the embedding
	}
	n += float64(s.Layers-1) * (2*gates + hidden)
	if o.Dropout > 0 {
		n += float64(s.Layers) * 2 * hidden
	}
	return n + hidden + rnn.OutputValues(rows, h, v) + 2*rows // gradient of the top, logits, losses
}
