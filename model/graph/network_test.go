package graph_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/graph"
	"github.com/quire-ml/quire/model/rnn"
)

const T, B = 5, 3

// shapes are every cell with one layer and with two.
var shapes = func() (list []rnn.Shape) {
	for _, cell := range rnn.Cells() {
		for layers := 1; layers <= 2; layers++ {
			list = append(list, rnn.Shape{Cell: cell, Layers: layers, Vocabulary: 6, Embedding: 3, Hidden: 4})
		}
	}
	return list
}()

// build returns a network with large weights and biases.
func build(t *testing.T, s rnn.Shape, o *graph.Options) (*graph.Network, *rnn.Weights) {
	w := rnn.NewWeights(s)
	for i := range w.Flat {
		w.Flat[i] = float32(math.Sin(float64(i)*1.7)) * 0.6
	}
	n, err := graph.New(w, T, B, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n, w
}

func batch(V int) (ids, targets []int32) {
	for i := 0; i < T*B; i++ {
		ids, targets = append(ids, int32(i*i%V)), append(targets, int32((i*3+1)%V))
	}
	return ids, targets
}

func hidden(s rnn.Shape) (h, c [][]float32) {
	for k := 0; k < s.Layers; k++ {
		x, y := make([]float32, B*s.Hidden), make([]float32, B*s.Hidden)
		for i := range x {
			x[i], y[i] = float32(math.Cos(float64(i+k)))*0.5, float32(math.Sin(float64(i-k)))
		}
		h, c = append(h, x), append(c, y)
	}
	return h, c
}

// TestFiniteDifferences compares every gradient with central differences of
// the loss. float32 losses leave about four digits.
func TestFiniteDifferences(t *testing.T) {
	for i, s := range append(append([]rnn.Shape{}, shapes...), shapes...) {
		o := &graph.Options{}
		if i >= len(shapes) {
			o.Dropout, o.InputDropout, o.WeightDropout = 0.5, 0.3, 0.4
		}
		t.Run(fmt.Sprintf("%s/%d/%g", s.Cell, s.Layers, o.Dropout), func(t *testing.T) {
			net, w := build(t, s, o)
			net.SetMask(1, 5)
			h, c := hidden(s)
			ids, targets := batch(s.Vocabulary)
			loss := func() float64 {
				net.SetHidden(h, c)
				l, err := net.Run(ids, targets)
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			loss()
			check := func(name string, values []float32) {
				grad := append([]float32(nil), net.Gradient(name)...)
				if len(grad) != len(values) {
					t.Fatalf("%s has %d gradients, want %d", name, len(grad), len(values))
				}
				for i := range values {
					const step = 1.0 / 256
					old := values[i]
					values[i] = old + step
					up := loss()
					values[i] = old - step
					down := loss()
					values[i] = old
					if want := (up - down) / (2 * step); math.Abs(float64(grad[i])-want) > 1.5e-4 {
						t.Errorf("%s[%d] = %.6f, by differences %.6f", name, i, grad[i], want)
					}
				}
				loss()
			}
			for i, p := range s.Parameters() {
				check(p.Name, w.ByPos[i])
			}
			for k := range h {
				check(fmt.Sprintf("h0.l%d", k), h[k])
				if s.Cell.Memory() {
					check(fmt.Sprintf("c0.l%d", k), c[k])
				}
			}
		})
	}
}

// TestRepeat demands the same bits from a second run and from any number of
// workers. The network is so large that every product and every recurrent step is
// divided among several: without a barrier the faster ones read values that the
// slower ones have yet to write.
func TestRepeat(t *testing.T) {
	const T, B, H = 6, 16, 160
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, s := range shapes {
		s.Embedding, s.Hidden = 24, H
		if s.Cell.Gates()*B*H*H < 4<<16 { // see kernel.Team.Run
			t.Fatal("too little work for several workers")
		}
		w := rnn.NewWeights(s)
		w.Init(1)
		net, err := graph.New(w, T, B, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer net.Close()
		var ids, targets []int32
		for i := range T * B {
			ids, targets = append(ids, int32(i*i%s.Vocabulary)), append(targets, int32((i*3+1)%s.Vocabulary))
		}
		var want []uint32
		for _, procs := range []int{1, 1, 2, 3, 8, 2, 3, 8} {
			runtime.GOMAXPROCS(procs)
			if _, err := net.Run(ids, targets); err != nil {
				t.Fatal(err)
			}
			var got []uint32
			for _, p := range s.Parameters() {
				for _, g := range net.Gradient(p.Name) {
					got = append(got, math.Float32bits(g))
				}
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, %d layers: gradients differ with GOMAXPROCS %d", s.Cell, s.Layers, procs)
			}
		}
	}
}

func TestRunRefusesBadIDs(t *testing.T) {
	net, _ := build(t, shapes[0], nil)
	ids, targets := batch(6)
	ids[4] = 6
	want := "graph: batch: id 6 at step 1 of sequence 1 is outside the vocabulary of 6"
	if _, err := net.Run(ids, targets); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := net.Run(ids[:3], targets); err == nil {
		t.Error("a short batch was taken")
	}
}
