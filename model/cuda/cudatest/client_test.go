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
	images  [][]byte // all of them: an address keeps nothing alive
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

// loading returns the arguments of a call that loads PTX.
func (c *client) loading(text string) []uintptr {
	o := c.out
	image := append([]byte(text), 0)
	o.images = append(o.images, image)
	o.options, o.jit = [2]int32{5, 6}, compileLog{&o.log[0], uintptr(len(o.log))}
	return []uintptr{c.handleOut(), uintptr(unsafe.Pointer(&image[0])), 2, uintptr(unsafe.Pointer(&o.options[0])), uintptr(unsafe.Pointer(&o.jit))}
}

// load loads PTX, and returns the code and the log.
func (c *client) load(text string) (code, string) {
	e := c.call("cuModuleLoadDataEx", c.loading(text)...)
	log, _, _ := strings.Cut(string(c.out.log[:]), "\x00")
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
