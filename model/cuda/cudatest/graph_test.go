//go:build linux && !nogpu

package cudatest

import (
	"testing"
	"unsafe"
)

// record records f on a stream and returns the graph.
func (c *client) record(s uintptr, f func()) uintptr {
	c.t.Helper()
	c.must("cuStreamBeginCapture_v2", s, 1)
	f()
	c.must("cuStreamEndCapture", s, c.handleOut())
	g := c.out.handle
	c.t.Cleanup(func() { c.call("cuGraphDestroy", g) })
	return g
}

func (c *client) instantiate(g uintptr) uintptr {
	c.t.Helper()
	c.must("cuGraphInstantiateWithFlags", c.handleOut(), g, 0)
	e := c.out.handle
	c.t.Cleanup(func() { c.call("cuGraphExecDestroy", e) })
	return e
}

// TestGraph: a recording does nothing; each launch reads what memory holds then.
func TestGraph(t *testing.T) {
	c := newClient(t, Options{})
	s, p := c.stream(), c.alloc(4)
	b, h := c.pinned(4)
	_, f := c.kernel()
	step := func() {
		c.must("cuMemcpyHtoDAsync_v2", p, h, 4, s)
		if e := c.launch(f, p, 1, [3]uint32{1, 1, 1}, [3]uint32{32, 1, 1}, s, 0); e != ok {
			t.Errorf("launch: %d", e)
		}
		c.must("cuMemcpyDtoHAsync_v2", h, p, 4, s)
	}
	copy(b, []byte{5, 0, 0, 0})
	g := c.record(s, step)
	c.must("cuStreamSynchronize", s)
	if b[0] != 5 {
		t.Errorf("%d after a recording, want 5", b[0])
	}
	c.want(invalidValue, "cuGraphInstantiateWithFlags", c.handleOut(), g, 1)
	e := c.instantiate(g)
	c.must("cuGraphDestroy", g) // e does not need it
	c.want(invalidHandle, "cuGraphInstantiateWithFlags", c.handleOut(), g, 0)
	for _, want := range []byte{10, 20, 40} {
		c.must("cuGraphLaunch", e, s)
		c.must("cuStreamSynchronize", s)
		if b[0] != want {
			t.Errorf("%d after a launch, want %d", b[0], want)
		}
	}
	n := c.Count(func() {
		c.must("cuGraphLaunch", e, s)
		c.must("cuGraphLaunch", e, s)
		c.must("cuStreamSynchronize", s)
	})
	if want := (Counts{GraphLaunches: 2, Kernels: 2, Copies: 4, ToDevice: 8, ToHost: 8, Waits: 1}); n != want || b[0] != 160 {
		t.Errorf("%+v, %d, want %+v, 160", n, b[0], want)
	}
	c.must("cuGraphExecDestroy", e)
	c.want(invalidHandle, "cuGraphLaunch", e, s)
}

// TestForbidden: what a graph cannot hold is refused and spoils the recording. The
// same call is well beside a recording.
func TestForbidden(t *testing.T) {
	c := newClient(t, Options{})
	s, p := c.stream(), c.alloc(4)
	g := c.record(s, func() {})
	e := c.instantiate(g)
	pinned := func() uintptr { _, h := c.pinned(4); return h }
	module := func() uintptr { m, _ := c.kernel(); return m }
	o := c.out
	for name, args := range map[string][]uintptr{
		"cuMemAlloc_v2":               {c.numberOut(), 4},
		"cuMemFree_v2":                {c.alloc(4)},
		"cuMemAllocHost_v2":           {uintptr(unsafe.Pointer(&o.text)), 4},
		"cuMemFreeHost":               {pinned()},
		"cuStreamCreate":              {c.handleOut(), 1},
		"cuStreamDestroy_v2":          {c.stream()},
		"cuStreamSynchronize":         {s},
		"cuModuleLoadDataEx":          c.loading(double),
		"cuModuleUnload":              {module()},
		"cuGraphInstantiateWithFlags": {c.handleOut(), g, 0},
		"cuGraphLaunch":               {e, s},
	} {
		c.must("cuStreamBeginCapture_v2", s, 1)
		c.want(captureUnsupported, name, args...)
		c.want(captureInvalidated, "cuMemsetD8Async", p, 0, 4, s)
		o.handle = 99
		c.want(captureInvalidated, "cuStreamEndCapture", s, c.handleOut())
		if o.handle != 0 {
			t.Errorf("%s: the spoilt recording has the handle %#x, want none", name, o.handle)
		}
		c.must(name, args...)
		switch name { // gives back what the call has made
		case "cuMemAlloc_v2":
			c.must("cuMemFree_v2", uintptr(o.number))
		case "cuMemAllocHost_v2":
			c.must("cuMemFreeHost", uintptr(unsafe.Pointer(o.text)))
		case "cuStreamCreate":
			c.must("cuStreamDestroy_v2", o.handle)
		case "cuModuleLoadDataEx":
			c.must("cuModuleUnload", o.handle)
		case "cuGraphInstantiateWithFlags":
			c.must("cuGraphExecDestroy", o.handle)
		}
	}
}

// TestRecording: who may begin and end one, and whom it forbids what.
func TestRecording(t *testing.T) {
	c := newClient(t, Options{})
	s, context := c.stream(), c.context.handle
	c.want(illegalState, "cuStreamEndCapture", s, c.handleOut())
	c.want(invalidValue, "cuStreamBeginCapture_v2", s, 3)

	const global, local = 0, 1
	c.must("cuStreamBeginCapture_v2", s, local)
	c.elsewhere(func() {
		c.must("cuCtxSetCurrent", context)
		c.alloc(4) // local: forbidden to the thread that records alone
		c.want(captureWrongThread, "cuStreamEndCapture", s, c.handleOut())
	})
	c.must("cuStreamEndCapture", s, c.handleOut())
	c.must("cuGraphDestroy", c.out.handle)

	c.must("cuStreamBeginCapture_v2", s, global)
	c.elsewhere(func() {
		c.must("cuCtxSetCurrent", context)
		c.want(captureUnsupported, "cuMemAlloc_v2", c.numberOut(), 4)
	})
	c.want(captureInvalidated, "cuStreamEndCapture", s, c.handleOut())

	c.must("cuStreamBeginCapture_v2", s, local)
	c.want(illegalState, "cuStreamBeginCapture_v2", s, local)
	c.want(captureInvalidated, "cuStreamEndCapture", s, c.handleOut())
	c.must("cuStreamSynchronize", s)
}
