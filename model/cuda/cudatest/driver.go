//go:build linux && !nogpu

package cudatest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quire-ml/quire/model/cuda/ptx"
)

// Options are the machine that a Driver shows. The zero value is a GPU that quire can
// use.
type Options struct {
	Version      int    // of CUDA; 0 is 12040, CUDA 12.4
	Major, Minor int    // compute capability; 0 is 7.0
	NoDevice     bool   // the driver starts and counts no GPU
	Bytes        int64  // of the GPU's memory; 0 is 1 GiB
	Missing      string // a function that the library does not have
	Refuse       string // what the compiler says to kernels that it refuses; "" compiles them
	Seed         uint64 // when work is done, and in which order the threads of a kernel run; 0 is as late as can be
	Skip         bool   // executes no kernel, for counting
}

// Counts are what was asked for.
type Counts struct {
	Launches      int   // calls of cuLaunchKernel, those that were recorded too
	GraphLaunches int   // calls of cuGraphLaunch
	Kernels       int   // to be done, those of launched graphs too
	Fills         int   // likewise
	Copies        int   // likewise
	ToDevice      int64 // bytes, likewise
	ToHost        int64 // bytes, likewise
	Waits         int   // calls of cuStreamSynchronize
	Allocations   int   // of the GPU's memory and of pinned memory
}

// A Driver is a stand-in. A test gets its functions by Lookup. The other methods may be
// called at any time, but not while a call is being made.
type Driver struct {
	t testing.TB
	o Options
	*callbacks

	mu      sync.Mutex
	order   *rand.Rand // nil: as late as can be
	started bool       // cuInit was called
	sticky  code       // of every call after a fault
	rules   []*rule
	counts  Counts

	memory  *ptx.Memory
	used    int64
	device  map[uint64]int   // bytes of an allocation by address
	pinned  []*pinned        // those given back too
	current map[int]*context // by thread
	thread  int              // of the call
	context *context         // the primary one, nil for none
	objects map[uintptr]any  // *context, *stream, *module, *function, *graph, *executable
	handles uintptr
	lost    []string // what a context took with it
}

// A rule makes a call fail.
type rule struct {
	name string
	n    int // calls until then
	code code
}

// spoilt is the value of bytes that were given back.
const spoilt = 0xDB

// New returns a stand-in for a test, which must leave nothing of it behind.
func New(t testing.TB, o Options) *Driver {
	if o.Version == 0 {
		o.Version = 12040
	}
	if o.Major == 0 {
		o.Major = 7
	}
	if o.Bytes == 0 {
		o.Bytes = 1 << 30
	}
	d := &Driver{t: t, o: o, memory: ptx.NewMemory(), device: map[uint64]int{}, current: map[int]*context{}, objects: map[uintptr]any{}}
	d.memory.Unwritten = o.Skip // nothing writes then
	if o.Seed != 0 {
		d.order = rand.New(rand.NewPCG(o.Seed, 0))
		d.memory.Seed = o.Seed
	}
	d.callbacks = take(d)
	t.Cleanup(func() {
		d.callbacks.release()
		if left := d.Left(); left != "" && !t.Failed() {
			t.Errorf("cudatest: left behind: %s", left)
		}
	})
	return d
}

// Lookup returns the address of the function of that name.
func (d *Driver) Lookup(name string) (uintptr, error) {
	if address, ok := d.address[name]; ok && name != d.o.Missing {
		return address, nil
	}
	return 0, fmt.Errorf("undefined symbol: %s", name)
}

// Fail makes the nth call of a function from now on return a code, without doing
// anything else. Codes that end a context do.
func (d *Driver) Fail(name string, n int, e int) {
	d.t.Helper()
	if _, ok := d.address[name]; !ok || n < 1 {
		d.t.Fatalf("cudatest: call %d of %s", n, name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, &rule{name, n, code(e)})
}

// Count returns what f asked for.
func (d *Driver) Count(f func()) Counts {
	d.mu.Lock()
	d.counts = Counts{}
	d.mu.Unlock()
	f()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts
}

// Left says what exists, and what was not given back before its context ended; "" for
// nothing.
func (d *Driver) Left() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := append(slices.Clone(d.lost), d.live()...)
	for _, p := range d.pinned {
		if p.freed && len(bytes.Trim(p.bytes, string([]byte{spoilt}))) > 0 {
			left = append(left, fmt.Sprintf("a write to %d bytes of pinned memory that was given back", len(p.bytes)))
		}
	}
	return strings.Join(left, ", ")
}

// live lists what exists, the functions of modules aside.
func (d *Driver) live() []string {
	var list []string
	for _, n := range d.device {
		list = append(list, fmt.Sprintf("%d bytes of the GPU", n))
	}
	for _, p := range d.pinned {
		if !p.freed {
			list = append(list, fmt.Sprintf("%d pinned bytes", len(p.bytes)))
		}
	}
	for _, o := range d.objects {
		if _, ok := o.(*function); !ok {
			list = append(list, "a "+strings.TrimPrefix(fmt.Sprintf("%T", o), "*cudatest."))
		}
	}
	slices.Sort(list)
	return list
}

// handle makes o known and returns its handle.
func (d *Driver) handle(o any) uintptr {
	d.handles += 0x40
	h := 0xC0DA000000 + d.handles
	d.objects[h] = o
	return h
}

// find returns the object of a handle, if it exists and is of kind T.
func find[T any](d *Driver, handle uintptr) (T, bool) {
	o, ok := d.objects[handle].(T)
	if !ok {
		d.t.Logf("cudatest: %#x is no %T", handle, o)
	}
	return o, ok
}
