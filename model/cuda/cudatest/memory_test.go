//go:build linux && !nogpu

package cudatest

import (
	"testing"
	"unsafe"
)

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
