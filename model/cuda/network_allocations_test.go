//go:build linux && !nogpu && !race

package cuda_test

import (
	"testing"

	"github.com/ebitengine/purego"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
)

// TestStepAllocatesNothing: a step leaves Go's heap as it is. The calls that it makes
// go to a C function that does nothing, because the stand-in's allocate. Not under the race
// detector, which empties purego's pool at random.
func TestStepAllocatesNothing(t *testing.T) {
	libc, err := purego.Dlopen("libc.so.6", purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := purego.Dlsym(libc, "sched_yield") // returns 0, success, whatever its arguments
	if err != nil {
		t.Fatal(err)
	}
	s := cudatest.New(t, cudatest.Options{Skip: true})
	l, err := cuda.NewLibrary(func(name string) (uintptr, error) {
		switch name {
		case "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuGraphLaunch", "cuStreamSynchronize":
			return nothing, nil
		}
		return s.Lookup(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := cuda.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, cell := range rnn.Cells() {
		o := &cuda.Options{Dropout: 0.2, InputDropout: 0.1, WeightDropout: 0.3, Carry: true, Average: true}
		n, err := cuda.NewNetwork(d, rnn.Shape{Cell: cell, Layers: 2, Vocabulary: 7, Embedding: 5, Hidden: 9}, 4, 3, 2, o)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		ids, rates := make([]int32, 4*3), &kernel.AdamRates{}
		allocations := testing.AllocsPerRun(100, func() {
			if _, err := n.Loss(1, 2, ids, ids); err != nil {
				t.Fatal(err)
			}
			if err := n.Update(rates, 0); err != nil {
				t.Fatal(err)
			}
		})
		if allocations > 0 {
			t.Errorf("%s: %g allocations a step", cell, allocations)
		}
	}
}
