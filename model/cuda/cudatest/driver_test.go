//go:build linux && !nogpu

package cudatest

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// TestNotStarted: nothing is known before cuInit.
func TestNotStarted(t *testing.T) {
	c := &client{t: t, Driver: New(t, Options{}), out: new(output)}
	c.must("cuDriverGetVersion", c.numberOut())
	c.want(notInitialized, "cuDeviceGetCount", c.numberOut())
	c.want(invalidValue, "cuInit", 1)
	c.must("cuInit", 0)
	c.must("cuDeviceGetCount", c.numberOut())
	if c.out.number != 1 {
		t.Errorf("%d devices, want 1", c.out.number)
	}
	c.want(invalidDevice, "cuDeviceGet", c.numberOut(), 1)
	c.want(invalidDevice, "cuDeviceTotalMem_v2", c.numberOut(), gpu+1)
	c.want(invalidDevice, "cuDevicePrimaryCtxRetain", c.handleOut(), gpu+1)
	c.want(invalidContext, "cuDevicePrimaryCtxRelease_v2", gpu)
	c.want(invalidValue, "cuDeviceGetAttribute", c.numberOut(), 1, gpu)
}

// TestThread: a context is current on one thread.
func TestThread(t *testing.T) {
	c := newClient(t, Options{})
	context := c.out.handle
	c.elsewhere(func() {
		c.want(invalidContext, "cuMemAlloc_v2", c.numberOut(), 4)
		c.must("cuCtxSetCurrent", context)
		c.alloc(4)
	})
	c.alloc(4)
	c.want(invalidContext, "cuCtxSetCurrent", context+1)
	c.must("cuCtxSetCurrent", context)
	c.must("cuCtxSetCurrent", 0)
	c.want(invalidContext, "cuMemAlloc_v2", c.numberOut(), 4)
	c.must("cuCtxSetCurrent", context)
}

// TestHandles: what is destroyed, or of another kind, is refused.
func TestHandles(t *testing.T) {
	c := newClient(t, Options{})
	s, other := c.stream(), c.stream()
	module, f := c.kernel()
	c.must("cuStreamDestroy_v2", other)
	for _, h := range []uintptr{0, 1, other, module, f} {
		c.want(invalidHandle, "cuStreamSynchronize", h)
		c.want(invalidHandle, "cuStreamDestroy_v2", h)
		c.want(invalidHandle, "cuGraphLaunch", h, s)
		c.want(invalidHandle, "cuGraphDestroy", h)
		c.want(invalidHandle, "cuGraphExecDestroy", h)
		c.want(invalidHandle, "cuGraphInstantiateWithFlags", c.handleOut(), h, 0)
		c.want(invalidHandle, "cuStreamBeginCapture_v2", h, 1)
		c.want(invalidHandle, "cuStreamEndCapture", h, c.handleOut())
	}
	for _, h := range []uintptr{0, 1, s, f} {
		c.want(invalidHandle, "cuModuleUnload", h)
		c.want(invalidHandle, "cuModuleGetFunction", c.handleOut(), h, c.text("double"))
	}
	c.want(invalidValue, "cuStreamCreate", c.handleOut(), 2)
	c.must("cuModuleUnload", module)
	if e := c.launch(f, 0, 0, [3]uint32{1, 1, 1}, [3]uint32{1, 1, 1}, s, 0); e != invalidHandle {
		t.Errorf("launch of an unloaded module's function: %d, want %d", e, invalidHandle)
	}
	c.must("cuStreamSynchronize", s)
}

// TestLaunch: parameters, limits, and what a kernel does.
func TestLaunch(t *testing.T) {
	c := newClient(t, Options{})
	s, p := c.stream(), c.alloc(12)
	b, h := c.pinned(12)
	_, f := c.kernel()
	copy(b, []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0})
	c.must("cuMemcpyHtoDAsync_v2", p, h, 12, s)
	one := [3]uint32{1, 1, 1}
	for _, x := range []struct {
		e           code
		n           uint32
		grid, block [3]uint32
		extra       uintptr
	}{
		{ok, 2, one, [3]uint32{1024, 1, 1}, 0},
		{ok, 0, [3]uint32{1, 65535, 1}, one, 0},
		{ok, 0, [3]uint32{1, 1, 65535}, one, 0},
		{invalidValue, 2, [3]uint32{0, 1, 1}, one, 0},
		{invalidValue, 2, [3]uint32{1 << 31, 1, 1}, one, 0},
		{invalidValue, 2, [3]uint32{1, 65536, 1}, one, 0},
		{invalidValue, 2, [3]uint32{1, 1, 65536}, one, 0},
		{invalidValue, 2, one, [3]uint32{1, 0, 1}, 0},
		{invalidValue, 2, one, [3]uint32{1025, 1, 1}, 0},
		{invalidValue, 2, one, [3]uint32{1, 1, 65}, 0},
		{invalidValue, 2, one, [3]uint32{513, 2, 1}, 0},
		{invalidValue, 2, one, one, 1},
	} {
		if e := c.launch(f, p, x.n, x.grid, x.block, s, x.extra); e != x.e {
			t.Errorf("launch %+v: %d, want %d", x, e, x.e)
		}
	}
	c.must("cuMemcpyDtoHAsync_v2", h, p, 12, s)
	c.must("cuStreamSynchronize", s)
	if want := string([]byte{2, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0}); string(b) != want {
		t.Errorf("%v, want %v", b, []byte(want))
	}
}

// TestSkip: kernels are counted and not executed.
func TestSkip(t *testing.T) {
	c := newClient(t, Options{Skip: true})
	s, p := c.stream(), c.alloc(12)
	_, f := c.kernel()
	b, h := c.pinned(12)
	n := c.Count(func() {
		if e := c.launch(f, p, 3, [3]uint32{1, 1, 1}, [3]uint32{3, 1, 1}, s, 0); e != ok {
			t.Errorf("launch: %d", e)
		}
		c.must("cuMemcpyDtoHAsync_v2", h, p, 12, s)
		c.must("cuStreamSynchronize", s)
	})
	if want := (Counts{Launches: 1, Kernels: 1, Copies: 1, ToHost: 12, Waits: 1}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
	if want := strings.Repeat("\xFF", 12); string(b) != want {
		t.Errorf("%x, want memory that nobody has written, %x", b, want)
	}
}

// TestFault: after a kernel that goes astray every call fails, until the context has
// ended.
func TestFault(t *testing.T) {
	c := newClient(t, Options{})
	s, p := c.stream(), c.alloc(8)
	b, h := c.pinned(8)
	c.must("cuMemsetD8Async", p, 0, 8, s)
	_, f := c.kernel()
	if e := c.launch(f, p, 3, [3]uint32{1, 1, 1}, [3]uint32{3, 1, 1}, s, 0); e != ok {
		t.Errorf("launch: %d", e)
	}
	c.must("cuMemcpyDtoHAsync_v2", h, p, 8, s)
	c.want(illegalAddress, "cuStreamSynchronize", s)
	if b[0] != spoilt {
		t.Errorf("%d: a copy was made after the fault", b[0])
	}
	c.want(illegalAddress, "cuMemAlloc_v2", c.numberOut(), 4)
	c.want(illegalAddress, "cuMemFree_v2", p)
	c.must("cuDeviceGetCount", c.numberOut())
	c.must("cuDevicePrimaryCtxRelease_v2", gpu)
	if left := c.Left(); left != "" {
		t.Errorf("left behind: %s, which the fault has ended", left)
	}
	c.must("cuDevicePrimaryCtxRetain", c.handleOut(), gpu)
	c.want(invalidContext, "cuMemAlloc_v2", c.numberOut(), 4)
	c.must("cuCtxSetCurrent", c.out.handle)
	c.alloc(4)
}

// TestRefusedModule: the compiler's log is written as far as it has room.
func TestRefusedModule(t *testing.T) {
	c := newClient(t, Options{Refuse: "ptxas fatal: whatever it is that it does not like"})
	if e, log := c.load(double); e != invalidPTX || log != "ptxas fatal: whatever it is tha" {
		t.Errorf("%d, %q", e, log)
	}
	c.Driver.o.Refuse = ""
	if e, log := c.load("no PTX"); e != invalidPTX || log == "" {
		t.Errorf("no PTX: %d, %q", e, log)
	}
	c.kernel()
}

// TestErrors: the names of codes.
func TestErrors(t *testing.T) {
	c := &client{t: t, Driver: New(t, Options{}), out: new(output)}
	for e, want := range map[uintptr]string{2: "CUDA_ERROR_OUT_OF_MEMORY", 700: "CUDA_ERROR_ILLEGAL_ADDRESS", 900: "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"} {
		c.must("cuGetErrorName", e, uintptr(unsafe.Pointer(&c.out.text)))
		if got := text(c.out.text); got != want {
			t.Errorf("%d is %s, want %s", e, got, want)
		}
	}
	c.want(invalidValue, "cuGetErrorName", 12345, uintptr(unsafe.Pointer(&c.out.text)))
	if c.out.text != nil {
		t.Error("an unknown code has a name")
	}
}

// TestFail: the nth call from then on, once.
func TestFail(t *testing.T) {
	c := newClient(t, Options{})
	c.alloc(4)
	c.Fail("cuMemAlloc_v2", 2, 2)
	c.alloc(4)
	c.want(outOfMemory, "cuMemAlloc_v2", c.numberOut(), 4)
	c.alloc(4)
	s := c.stream()
	c.Fail("cuStreamSynchronize", 1, 719)
	c.want(719, "cuStreamSynchronize", s)
	c.want(719, "cuStreamSynchronize", s) // ends the context
	c.want(719, "cuMemAlloc_v2", c.numberOut(), 4)
}

// TestLeft: what a test leaves behind has a name.
func TestLeft(t *testing.T) {
	c := &client{t: t, Driver: New(t, Options{}), out: new(output)}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.must("cuInit", 0)
	want := func(want string) {
		t.Helper()
		if got := c.Left(); got != want {
			t.Errorf("left behind: %q, want %q", got, want)
		}
	}
	want("")
	c.must("cuDevicePrimaryCtxRetain", c.handleOut(), gpu)
	c.must("cuCtxSetCurrent", c.out.handle)
	want("a context")
	c.must("cuMemAlloc_v2", c.numberOut(), 4)
	b, h := c.pinned(8)
	c.must("cuStreamCreate", c.handleOut(), 1)
	s := c.out.handle
	want("4 bytes of the GPU, 8 pinned bytes, a context, a stream")
	c.must("cuMemFree_v2", uintptr(c.out.number))
	c.must("cuMemFreeHost", h)
	c.must("cuStreamDestroy_v2", s)
	want("a context")
	b[3] = 0
	want("a context, a write to 8 bytes of pinned memory that was given back")
	b[3] = spoilt
	c.must("cuStreamCreate", c.handleOut(), 1)
	c.must("cuDevicePrimaryCtxRelease_v2", gpu)
	want("a stream") // went with the context
	c.Driver.lost = nil
}

// TestEnded: the functions of a test that has ended do nothing, and their addresses serve
// the next: there are not enough for a set a test.
func TestEnded(t *testing.T) {
	var address uintptr
	for range 200 {
		t.Run("", func(t *testing.T) {
			var err error
			if address, err = New(t, Options{}).Lookup("cuInit"); err != nil {
				t.Fatal(err)
			}
		})
	}
	if r, _, _ := purego.SyscallN(address, 0); code(int32(r)) != deinitialized {
		t.Errorf("cuInit of a test that has ended: %d, want %d", int32(r), deinitialized)
	}
}
