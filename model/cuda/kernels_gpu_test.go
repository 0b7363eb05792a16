//go:build linux && !nogpu

package cuda

import (
	"math/rand"
	"sync"
	"testing"

	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/model/kernel"
)

func init() { gpuTarget = onGPU }

// opened is the machine's GPU for all tests of kernels: a driver compiles for a
// second or two when it is opened first.
var opened = sync.OnceValues(func() (*Device, error) { return Open(nil) })

func onGPU(t testing.TB) target {
	d, err := opened()
	if err != nil {
		t.Fatal(err)
	}
	return memoryOf(t, d)
}

// memoryOf returns a device as a target. The memory is free again after the test.
func memoryOf(t testing.TB, d *Device) *gpuMemory {
	g := &gpuMemory{d: d}
	t.Cleanup(func() {
		if err := d.run(g.freeAll); err != nil {
			t.Error(err)
		}
	})
	return g
}

// gpuMemory is the memory that a test has of a GPU.
type gpuMemory struct {
	d   *Device
	all []Ptr
}

func (g *gpuMemory) alloc(n int) (p Ptr, err error) {
	err = g.d.run(func() error {
		p, err = g.d.alloc(n)
		return err
	})
	g.all = append(g.all, p)
	return p, err
}

func (g *gpuMemory) freeAll() error {
	for _, p := range g.all {
		if err := g.d.free(p); err != nil {
			return err
		}
	}
	return nil
}

// pinned calls f with n bytes of pinned memory, on the device's thread.
func (g *gpuMemory) pinned(n int, f func(b []byte) error) error {
	return g.d.run(func() error {
		b, err := g.d.pinned(n)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		return g.d.unpin(b)
	})
}

func (g *gpuMemory) write(p Ptr, b []byte) error {
	return g.pinned(len(b), func(pinned []byte) error {
		copy(pinned, b)
		if err := g.d.upload(p, pinned); err != nil {
			return err
		}
		return g.d.wait()
	})
}

func (g *gpuMemory) read(b []byte, p Ptr) error {
	return g.pinned(len(b), func(pinned []byte) error {
		if err := g.d.download(pinned, p); err != nil {
			return err
		}
		err := g.d.wait()
		copy(b, pinned)
		return err
	})
}

func (g *gpuMemory) launch(f function, x, y int, a *args) error {
	return g.d.run(func() error {
		if err := g.d.launch(f, x, y, a); err != nil {
			return err
		}
		return g.d.wait() // so that a fault is this kernel's
	})
}

// TestKernelOnDevice runs a kernel through the binding and the stand-in, as
// QUIRE_GPU=1 runs all of them through the driver.
func TestKernelOnDevice(t *testing.T) {
	s := &kernelBench{t: t, on: memoryOf(t, open(t, cudatest.New(t, cudatest.Options{})))}
	s.kernels.launcher = s
	x, sum := random(rand.New(rand.NewSource(12)), 9*5), make([]float32, 5)
	p := put(s, sum)
	s.check(s.columnSum(p, put(s, x), 5, 9, 5))
	kernel.ColumnSum(sum, x, 5, 9, 0, 5)
	same(s, "sums", p, sum)
}
