//go:build linux && !nogpu

package cudatest

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// A client calls a stand-in as a program calls a driver.
type client struct {
	t *testing.T
	*Driver
	out *output // on the heap
}

type output struct {
	handle  uintptr
	number  uint64
	text    *byte
	name    [64]byte
	log     [32]byte
	params  [8]unsafe.Pointer
	values  [8]uint64
	options [2]int32
	jit     compileLog
}

// newClient returns a client whose thread, the test's, has a context.
func newClient(t *testing.T, o Options) *client {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	c := &client{t: t, Driver: New(t, o), out: new(output)}
	t.Cleanup(func() { c.must("cuDevicePrimaryCtxRelease_v2", gpu) })
	c.must("cuInit", 0)
	c.must("cuDevicePrimaryCtxRetain", c.handleOut(), gpu)
	c.must("cuCtxSetCurrent", c.out.handle)
	return c
}

func (c *client) handleOut() uintptr { return uintptr(unsafe.Pointer(&c.out.handle)) }
func (c *client) numberOut() uintptr { return uintptr(unsafe.Pointer(&c.out.number)) }

func (c *client) call(name string, args ...uintptr) code {
	address, err := c.Lookup(name)
	if err != nil {
		c.t.Fatal(err)
	}
	r, _, _ := purego.SyscallN(address, args...)
	runtime.KeepAlive(c.out)
	return code(int32(r))
}

func (c *client) want(e code, name string, args ...uintptr) {
	c.t.Helper()
	if got := c.call(name, args...); got != e {
		c.t.Errorf("%s: %d, want %d", name, got, e)
	}
}

func (c *client) must(name string, args ...uintptr) {
	c.t.Helper()
	c.want(ok, name, args...)
}

// elsewhere runs f on another thread.
func (c *client) elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends
		f()
	}()
	<-done
}

func (c *client) stream() uintptr {
	c.t.Helper()
	c.must("cuStreamCreate", c.handleOut(), 1)
	s := c.out.handle
	c.t.Cleanup(func() { c.call("cuStreamDestroy_v2", s) })
	return s
}

func (c *client) alloc(n uintptr) uintptr {
	c.t.Helper()
	c.must("cuMemAlloc_v2", c.numberOut(), n)
	p := uintptr(c.out.number)
	c.t.Cleanup(func() { c.call("cuMemFree_v2", p) })
	return p
}

// pinned returns n pinned bytes and their address.
func (c *client) pinned(n int) ([]byte, uintptr) {
	c.t.Helper()
	c.must("cuMemAllocHost_v2", uintptr(unsafe.Pointer(&c.out.text)), uintptr(n))
	p := uintptr(unsafe.Pointer(c.out.text))
	c.t.Cleanup(func() { c.call("cuMemFreeHost", p) })
	return unsafe.Slice(c.out.text, n), p
}

// double is a kernel with parameters (n int32, x of n int32): x[i] = 2 x[i].
const double = `
.version 7.0
.target sm_70
.address_size 64
.visible .entry double(
	.param .u32 double_param_0,
	.param .u64 double_param_1
)
{
	.reg .pred %p<2>;
	.reg .b32 %r<8>;
	.reg .b64 %rd<5>;
	ld.param.u32 %r1, [double_param_0];
	ld.param.u64 %rd1, [double_param_1];
	mov.u32 %r2, %tid.x;
	setp.ge.s32 %p1, %r2, %r1;
	@%p1 bra $L__BB0_2;
	cvta.to.global.u64 %rd2, %rd1;
	mul.wide.s32 %rd3, %r2, 4;
	add.s64 %rd4, %rd2, %rd3;
	ld.global.u32 %r3, [%rd4];
	shl.b32 %r4, %r3, 1;
	st.global.u32 [%rd4], %r4;
$L__BB0_2:
	ret;
}
`

// load loads PTX, and returns the code and the log.
func (c *client) load(text string) (code, string) {
	image := append([]byte(text), 0)
	o := c.out
	o.options, o.jit = [2]int32{5, 6}, compileLog{&o.log[0], uintptr(len(o.log))}
	e := c.call("cuModuleLoadDataEx", c.handleOut(), uintptr(unsafe.Pointer(&image[0])), 2, uintptr(unsafe.Pointer(&o.options[0])), uintptr(unsafe.Pointer(&o.jit)))
	log, _, _ := strings.Cut(string(o.log[:]), "\x00")
	return e, log
}

// kernel returns the module of double, and its function.
func (c *client) kernel() (module, function uintptr) {
	c.t.Helper()
	if e, log := c.load(double); e != ok {
		c.t.Fatalf("cuModuleLoadDataEx: %d: %s", e, log)
	}
	module = c.out.handle
	c.t.Cleanup(func() { c.call("cuModuleUnload", module) })
	c.want(notFound, "cuModuleGetFunction", c.handleOut(), module, c.text("treble"))
	c.must("cuModuleGetFunction", c.handleOut(), module, c.text("double"))
	return module, c.out.handle
}

// text returns the address of a text of C.
func (c *client) text(s string) uintptr {
	copy(c.out.name[:], s+"\x00")
	return uintptr(unsafe.Pointer(&c.out.name[0]))
}

// launch launches a kernel with x and n.
func (c *client) launch(f, x uintptr, n uint32, grid, block [3]uint32, on, extra uintptr) code {
	o := c.out
	o.values[0], o.values[1] = uint64(n)|0xFFFF<<32, uint64(x) // what lies beside a parameter is not read
	o.params[0], o.params[1] = unsafe.Pointer(&o.values[0]), unsafe.Pointer(&o.values[1])
	return c.call("cuLaunchKernel", f, uintptr(grid[0]), uintptr(grid[1]), uintptr(grid[2]), uintptr(block[0]), uintptr(block[1]), uintptr(block[2]),
		0, on, uintptr(unsafe.Pointer(&o.params[0])), extra)
}

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

// TestMemory: sizes, and what is given back.
func TestMemory(t *testing.T) {
	c := newClient(t, Options{Bytes: 1000})
	c.want(invalidValue, "cuMemAlloc_v2", c.numberOut(), 0)
	c.want(outOfMemory, "cuMemAlloc_v2", c.numberOut(), 1001)
	p := c.alloc(1000)
	c.want(outOfMemory, "cuMemAlloc_v2", c.numberOut(), 1)
	c.want(invalidValue, "cuMemFree_v2", p+256)
	c.want(invalidValue, "cuMemFree_v2", 0)
	c.must("cuMemFree_v2", p)
	c.want(invalidValue, "cuMemFree_v2", p)
	c.alloc(1000)

	c.want(invalidValue, "cuMemAllocHost_v2", uintptr(unsafe.Pointer(&c.out.text)), 0)
	_, h := c.pinned(8)
	c.want(invalidValue, "cuMemFreeHost", h+4)
	c.must("cuMemFreeHost", h)
	c.want(invalidValue, "cuMemFreeHost", h)
}

// TestCopies: of pinned memory, within bounds.
func TestCopies(t *testing.T) {
	c := newClient(t, Options{})
	s, p, q := c.stream(), c.alloc(16), c.alloc(16)
	b, h := c.pinned(16)
	copy(b, "0123456789abcdef")
	_, freed := c.pinned(16)
	c.must("cuMemFreeHost", freed)
	own := uintptr(unsafe.Pointer(&c.out.log[0]))
	const up, down, across, set = "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2", "cuMemsetD8Async"
	c.must(up, p, h, 16, s)
	for _, x := range []struct {
		e    code
		name string
		args [4]uintptr
	}{
		{ok, up, [4]uintptr{p, h, 16, s}},
		{ok, up, [4]uintptr{p + 15, h + 15, 1, s}},
		{ok, down, [4]uintptr{h + 15, p + 15, 1, s}},
		{ok, across, [4]uintptr{q, p, 16, s}},
		{ok, across, [4]uintptr{p + 8, p, 8, s}},
		{ok, set, [4]uintptr{q + 15, 1, 1, s}},
		{invalidValue, up, [4]uintptr{p, own, 16, s}},   // not pinned
		{invalidValue, up, [4]uintptr{p, freed, 16, s}}, // not any more
		{invalidValue, up, [4]uintptr{p, h + 1, 16, s}}, // beyond the end
		{invalidValue, up, [4]uintptr{p, h - 1, 16, s}}, // before the beginning
		{invalidValue, up, [4]uintptr{p + 1, h, 16, s}},
		{invalidValue, up, [4]uintptr{p - 1, h, 16, s}},
		{invalidValue, up, [4]uintptr{p, h, 0, s}},
		{invalidValue, down, [4]uintptr{own, p, 16, s}},
		{invalidValue, down, [4]uintptr{h + 1, p, 16, s}},
		{invalidValue, down, [4]uintptr{h, p + 1, 16, s}},
		{invalidValue, across, [4]uintptr{q + 1, p, 16, s}},
		{invalidValue, across, [4]uintptr{q, p + 1, 16, s}},
		{invalidValue, across, [4]uintptr{p + 7, p, 8, s}}, // overlap
		{invalidValue, across, [4]uintptr{p, p + 7, 8, s}},
		{invalidValue, set, [4]uintptr{q + 1, 1, 16, s}},
		{invalidHandle, up, [4]uintptr{p, h, 16, 0}}, // the default stream is not used
		{invalidHandle, down, [4]uintptr{h, p, 16, s + 1}},
		{invalidHandle, across, [4]uintptr{q, p, 16, c.context.handle}},
		{invalidHandle, set, [4]uintptr{q, 1, 16, 0}},
	} {
		c.want(x.e, x.name, x.args[:]...)
	}
	c.must("cuStreamSynchronize", s)
}

// TestLate: a copy reads and writes the machine's memory when it is done.
func TestLate(t *testing.T) {
	c := newClient(t, Options{})
	s, p := c.stream(), c.alloc(4)
	b, h := c.pinned(4)
	copy(b, "soon")
	c.must("cuMemcpyHtoDAsync_v2", p, h, 4, s)
	copy(b, "late")
	c.must("cuStreamSynchronize", s)
	copy(b, "....")
	c.must("cuMemcpyDtoHAsync_v2", h, p, 4, s)
	if string(b) != "...." {
		t.Errorf("%q before the wait, want ....", b)
	}
	c.must("cuStreamSynchronize", s)
	if string(b) != "late" {
		t.Errorf("%q, want late: the copy was to read what was written after it was asked for", b)
	}
	c.must("cuMemcpyHtoDAsync_v2", p, h, 4, s)
	c.must("cuMemFree_v2", p) // while a copy is to come
	c.want(illegalAddress, "cuStreamSynchronize", s)
}

// TestSeeds: with some seeds the same copy has read at once, with others not, and each
// seed does the same again.
func TestSeeds(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(8) {
		read := func() (got string) {
			t.Run("", func(t *testing.T) {
				c := newClient(t, Options{Seed: seed + 1})
				s, p := c.stream(), c.alloc(4)
				b, h := c.pinned(4)
				copy(b, "soon")
				c.must("cuMemcpyHtoDAsync_v2", p, h, 4, s)
				copy(b, "late")
				c.must("cuMemcpyDtoHAsync_v2", h, p, 4, s)
				c.must("cuStreamSynchronize", s)
				got = string(b)
			})
			return got
		}
		first := read()
		if again := read(); again != first {
			t.Errorf("seed %d: %s, then %s", seed+1, first, again)
		}
		seen[first] = true
	}
	if !seen["soon"] || !seen["late"] || len(seen) != 2 {
		t.Errorf("the copy has read %v, want soon and late", seen)
	}
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
