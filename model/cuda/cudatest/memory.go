//go:build linux && !nogpu

package cudatest

import (
	"bytes"
	"unsafe"
)

// A pinned is memory of the machine that copies may use.
type pinned struct {
	base  uintptr
	bytes []byte
	freed bool
}

// giveBack spoils the memory.
func (p *pinned) giveBack() {
	p.freed = true
	copy(p.bytes, bytes.Repeat([]byte{spoilt}, len(p.bytes)))
}

func (d *Driver) memoryInfo(free, total *uint64) code {
	*free, *total = uint64(d.o.Bytes-d.used), uint64(d.o.Bytes)
	return ok
}

func (d *Driver) alloc(out *uint64, n uint64) code {
	d.counts.Allocations++
	switch {
	case n == 0:
		return invalidValue
	case n > uint64(d.o.Bytes-d.used):
		return outOfMemory
	}
	*out = d.memory.Alloc(int(n))
	d.device[*out] = int(n)
	d.used += int64(n)
	return ok
}

func (d *Driver) free(p uint64) code {
	n, found := d.device[p]
	if !found {
		d.t.Logf("cudatest: %#x of the GPU is no allocation", p)
		return invalidValue
	}
	delete(d.device, p)
	d.used -= int64(n)
	if err := d.memory.Free(p); err != nil {
		d.t.Errorf("cudatest: %v", err)
	}
	return ok
}

func (d *Driver) allocHost(out **byte, n uint64) code {
	d.counts.Allocations++
	if n == 0 {
		return invalidValue
	}
	b := bytes.Repeat([]byte{spoilt}, int(n))
	*out = &b[0]
	d.pinned = append(d.pinned, &pinned{base: uintptr(unsafe.Pointer(&b[0])), bytes: b})
	return ok
}

func (d *Driver) freeHost(address uintptr) code {
	for _, p := range d.pinned {
		if p.base == address && !p.freed {
			p.giveBack()
			return ok
		}
	}
	d.t.Logf("cudatest: nothing is pinned at %#x", address)
	return invalidValue
}

func (d *Driver) toDevice(dst uint64, src uintptr, n int, on uintptr) code {
	host, found := d.pin(src, n)
	if !found || !d.within(dst, n) {
		return invalidValue
	}
	return d.ask(on, node{call: "cuMemcpyHtoDAsync_v2", toDevice: n, do: func() error { return d.memory.Write(dst, host) }})
}

func (d *Driver) toHost(dst uintptr, src uint64, n int, on uintptr) code {
	host, found := d.pin(dst, n)
	if !found || !d.within(src, n) {
		return invalidValue
	}
	return d.ask(on, node{call: "cuMemcpyDtoHAsync_v2", toHost: n, do: func() error { return d.memory.Read(src, host) }})
}

func (d *Driver) onDevice(dst, src uint64, n int, on uintptr) code {
	if !d.within(dst, n) || !d.within(src, n) || dst < src+uint64(n) && src < dst+uint64(n) {
		d.t.Logf("cudatest: copy of %d bytes from %#x to %#x", n, src, dst)
		return invalidValue
	}
	return d.ask(on, node{call: "cuMemcpyDtoDAsync_v2", do: func() error {
		b := make([]byte, n)
		if err := d.memory.Read(src, b); err != nil {
			return err
		}
		return d.memory.Write(dst, b)
	}})
}

func (d *Driver) fill(dst uint64, value byte, n int, on uintptr) code {
	if !d.within(dst, n) {
		return invalidValue
	}
	return d.ask(on, node{call: "cuMemsetD8Async", fill: true, do: func() error {
		return d.memory.Write(dst, bytes.Repeat([]byte{value}, n))
	}})
}

// pin returns n pinned bytes at an address.
func (d *Driver) pin(address uintptr, n int) ([]byte, bool) {
	for _, p := range d.pinned {
		if at := address - p.base; address >= p.base && n > 0 && at+uintptr(n) <= uintptr(len(p.bytes)) && !p.freed {
			return p.bytes[at:][:n], true
		}
	}
	d.t.Logf("cudatest: %d bytes at %#x are not pinned", n, address)
	return nil, false
}

// within says whether n bytes at an address of the GPU are of one allocation.
func (d *Driver) within(p uint64, n int) bool {
	for base, size := range d.device {
		if p >= base && n > 0 && p+uint64(n) <= base+uint64(size) {
			return true
		}
	}
	d.t.Logf("cudatest: %d bytes at %#x of the GPU are of no allocation", n, p)
	return false
}
