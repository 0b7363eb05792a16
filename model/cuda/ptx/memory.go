package ptx

import "fmt"

// Addresses are sparse, so that a pointer that went astray meets nothing. An
// allocation has a span of addresses of its own, used once, and lies in the middle
// of it: an index that is too small or too large by less than half a span is still
// known to belong to it.
const (
	globalSpan = 38 // log2 of the addresses in a span of device memory
	sharedSpan = 20 // of shared and constant memory, whose addresses have 32 bits
	alignment  = 256

	sharedWindow = 1 << 63 // shared memory among generic addresses
	dataWindow   = 1 << 62 // constant memory of the module
)

// A region is an allocation, or a variable in shared memory.
type region struct {
	name  string
	base  uint64
	bytes []byte
	cells []cell // one a word; nil for memory that is only read
	freed bool
}

// A space is the regions of a kind of memory, one a span; the first span has none.
type space struct {
	name    string
	bits    int // log2 of the addresses in a span
	regions []*region
}

// base returns the address of what lies in a span.
func base(bits, span int, align uint64) uint64 {
	return uint64(span)<<bits + 1<<(bits-1) + align
}

// newSpace returns a space without regions.
func newSpace(name string, bits int) space {
	return space{name: name, bits: bits, regions: []*region{nil}}
}

// add makes a region of n bytes, aligned to align and to no more.
func (s *space) add(name string, n, align uint64) *region {
	r := &region{name: name, base: base(s.bits, len(s.regions), align), bytes: make([]byte, n), cells: make([]cell, (n+3)/4)}
	for i := range r.bytes {
		r.bytes[i] = 0xFF // not a number
	}
	s.regions = append(s.regions, r)
	return r
}

// find returns the region of an address, or what is wrong with n bytes there.
func (s *space) find(p, n uint64) (*region, uint64, error) {
	span := p >> s.bits
	if span >= uint64(len(s.regions)) || s.regions[span] == nil {
		return nil, 0, fmt.Errorf("%s memory: nothing is at address %#x", s.name, p)
	}
	r := s.regions[span]
	at := p - r.base
	switch {
	case r.freed:
		return nil, 0, fmt.Errorf("%s memory: address %#x was freed", s.name, p)
	case at > uint64(len(r.bytes)) || n > uint64(len(r.bytes))-at:
		return nil, 0, fmt.Errorf("%s memory: %d bytes at byte %d of %s of %d", s.name, n, int64(at), r.name, len(r.bytes))
	}
	return r, at, nil
}

// Memory is the memory of a device, at addresses that say nothing. Its methods may
// not run concurrently; several memories may.
type Memory struct {
	// Seed orders the threads: warps within a block and lanes within a warp.
	Seed uint64
	// Unwritten permits reads of device memory that nobody has written, whose bytes are 0xFF.
	Unwritten bool

	global   space
	frames   []frame
	interval uint64 // stretches of execution between barriers, so far
	executed int64
}

// NewMemory returns a memory without allocations.
func NewMemory() *Memory {
	return &Memory{global: newSpace("global", globalSpan)}
}

// Alloc returns the address of n fresh bytes, a multiple of 256 and of no higher
// power of two.
func (m *Memory) Alloc(n int) uint64 { return m.global.add("an allocation", uint64(n), alignment).base }

// Free ends an allocation; p is what Alloc returned.
func (m *Memory) Free(p uint64) error {
	r, at, err := m.global.find(p, 0)
	if err != nil {
		return fmt.Errorf("ptx: free: %w", err)
	}
	if at != 0 {
		return fmt.Errorf("ptx: free: address %#x is byte %d of an allocation", p, at)
	}
	r.freed, r.bytes, r.cells = true, nil, nil
	return nil
}

// Write copies b to the device.
func (m *Memory) Write(p uint64, b []byte) error {
	r, at, err := m.global.find(p, uint64(len(b)))
	if err != nil {
		return fmt.Errorf("ptx: write: %w", err)
	}
	copy(r.bytes[at:], b)
	r.mark(at, len(b))
	return nil
}

// Read copies from the device into b, what somebody has written.
func (m *Memory) Read(p uint64, b []byte) error {
	r, at, err := m.global.find(p, uint64(len(b)))
	if err != nil {
		return fmt.Errorf("ptx: read: %w", err)
	}
	for i := at / 4; !m.Unwritten && i < (at+uint64(len(b))+3)/4; i++ {
		if r.cells[i].written == 0 {
			return fmt.Errorf("ptx: read: nobody has written byte %d of %d", 4*i, len(r.bytes))
		}
	}
	copy(b, r.bytes[at:])
	return nil
}

// mark notes n bytes at a byte of the region as written by the host.
func (r *region) mark(at uint64, n int) {
	for i := at / 4; i < (at+uint64(n)+3)/4; i++ {
		r.cells[i].written = max(r.cells[i].written, byHost)
	}
}

// Instructions returns how many instructions threads have executed so far.
func (m *Memory) Instructions() int64 { return m.executed }
