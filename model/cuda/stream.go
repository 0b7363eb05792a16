package cuda

import (
	"errors"
	"runtime"
	"unsafe"
)

// do calls f. Its error is a *MemoryError, or the *LostError of the first call that
// failed for another reason, after which no call is made.
func (d *Device) do(f symbol, args ...uintptr) error {
	if d.lost != nil {
		return d.lost
	}
	switch code := d.try(f, args...); code {
	case 0:
		return nil
	case outOfMemory:
		d.out.size[0] = 0 // what is said of free memory where the driver does not answer
		d.try(cuMemGetInfo, at(&d.out.size[0]), at(&d.out.size[1]))
		return &MemoryError{Free: int64(d.out.size[0])}
	default:
		d.lost = &LostError{d.failed(f, code)}
		return d.lost
	}
}

// undo calls f, which gives a handle back to the driver; 0 is nothing. What a lost
// device answers is of no interest.
func (d *Device) undo(f symbol, handle uintptr) error {
	if handle == 0 {
		return nil
	}
	if d.lost != nil {
		d.try(f, handle)
		return nil
	}
	return d.do(f, handle)
}

// freeBytes returns the size of the GPU's free memory.
func (d *Device) freeBytes() (int64, error) {
	if err := d.do(cuMemGetInfo, at(&d.out.size[0]), at(&d.out.size[1])); err != nil {
		return 0, err
	}
	return int64(d.out.size[0]), nil
}

// alloc returns n > 0 bytes of the GPU's memory, at a multiple of 256. What they hold
// is undefined.
func (d *Device) alloc(n int) (Ptr, error) {
	err := d.do(cuMemAlloc, at(&d.out.ptr), uintptr(n))
	if full, ok := err.(*MemoryError); ok {
		full.Needed = int64(n)
	}
	if err != nil {
		return 0, err
	}
	return d.out.ptr, nil
}

// free gives back what alloc returned; 0 is nothing.
func (d *Device) free(p Ptr) error { return d.undo(cuMemFree, uintptr(p)) }

// pinned returns n > 0 bytes of the machine's memory that the GPU reads and writes by
// itself. They are not of Go's heap.
func (d *Device) pinned(n int) ([]byte, error) {
	err := d.do(cuMemAllocHost, at(&d.out.pinned), uintptr(n))
	if full, ok := err.(*MemoryError); ok {
		full.Needed, full.Host = int64(n), true
	}
	if err != nil {
		return nil, err
	}
	return unsafe.Slice(d.out.pinned, n), nil
}

// unpin gives back what pinned returned; nil is nothing.
func (d *Device) unpin(b []byte) error {
	return d.undo(cuMemFreeHost, uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}

// upload asks for a copy of src, which is pinned, to the GPU. It is read until the next
// wait.
func (d *Device) upload(dst Ptr, src []byte) error {
	return d.do(cuMemcpyHtoDAsync, uintptr(dst), at(unsafe.SliceData(src)), uintptr(len(src)), d.stream)
}

// download asks for a copy from the GPU to dst, which is pinned. It is there after the
// next wait.
func (d *Device) download(dst []byte, src Ptr) error {
	return d.do(cuMemcpyDtoHAsync, at(unsafe.SliceData(dst)), uintptr(src), uintptr(len(dst)), d.stream)
}

// copyOn asks for a copy of n bytes within the GPU. They must not overlap.
func (d *Device) copyOn(dst, src Ptr, n int) error {
	return d.do(cuMemcpyDtoDAsync, uintptr(dst), uintptr(src), uintptr(n), d.stream)
}

// fill asks for n bytes of value b from p on.
func (d *Device) fill(p Ptr, b byte, n int) error {
	return d.do(cuMemsetD8Async, uintptr(p), uintptr(b), uintptr(n), d.stream)
}

// launch asks for a kernel on a grid of x by y blocks. The driver copies the arguments
// before launch returns; args must lie on the heap.
func (d *Device) launch(f function, x, y int, a *args) error {
	for i := range a.n {
		d.params[i] = unsafe.Pointer(&a.values[i])
	}
	const sharedBytes = 0 // beyond the kernel's own
	err := d.do(cuLaunchKernel, d.kernels[f], uintptr(x), uintptr(y), 1, uintptr(entries[f].threads), 1, 1, sharedBytes, d.stream, at(&d.params[0]), 0)
	runtime.KeepAlive(a)
	return err
}

// wait returns when the GPU has done everything that it was asked for. Its error may
// be that of an earlier launch.
func (d *Device) wait() error { return d.do(cuStreamSynchronize, d.stream) }

// A graph is work that was recorded, to be asked for by one call; 0 is none.
type graph uintptr

// capture records what f asks for, which is not done now, and returns it. f may launch,
// copy and fill, and do nothing else.
func (d *Device) capture(f func() error) (graph, error) {
	const threadLocal = 1 // forbids this thread alone what a recording cannot hold
	if err := d.do(cuStreamBeginCapture, d.stream, threadLocal); err != nil {
		return 0, err
	}
	if failed := f(); failed != nil {
		// Ended even so: until then the stream takes no work, and the driver nothing back. That what
		// failed has spoilt the recording is no failure of its own.
		d.out.handle = 0
		d.try(cuStreamEndCapture, d.stream, at(&d.out.handle))
		return 0, errors.Join(failed, d.undo(cuGraphDestroy, d.out.handle))
	}
	if err := d.do(cuStreamEndCapture, d.stream, at(&d.out.handle)); err != nil {
		return 0, err
	}
	recorded := d.out.handle
	err := d.do(cuGraphInstantiate, at(&d.out.handle), recorded, 0)
	g := graph(d.out.handle)
	if failed := d.undo(cuGraphDestroy, recorded); err == nil {
		err = failed
	}
	if err != nil {
		return 0, err
	}
	return g, nil
}

// replay asks for the work of a graph.
func (d *Device) replay(g graph) error { return d.do(cuGraphLaunch, uintptr(g), d.stream) }

// drop gives back a graph.
func (d *Device) drop(g graph) error { return d.undo(cuGraphExecDestroy, uintptr(g)) }
