package ptx

import (
	"bytes"
	"testing"
)

// TestMemory has what the host does: allocations, and copies within bounds.
func TestMemory(t *testing.T) {
	m := NewMemory()
	p, q := m.Alloc(10), m.Alloc(16)
	if p%256 != 0 || q%256 != 0 || p%512 == 0 || q%512 == 0 {
		t.Errorf("addresses %#x and %#x", p, q)
	}
	if err := m.Write(p+2, []byte("abcd")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if m.Read(p, b[:8]) != nil || m.Read(p, b) == nil {
		t.Error("the third word is read without being written, or the first two are not")
	}
	m.Unwritten = true
	if err := m.Read(p, b); err != nil || !bytes.Equal(b, []byte("\xff\xffabcd\xff\xff\xff\xff")) {
		t.Errorf("%q, %v", b, err)
	}
	m.Unwritten = false
	if err := m.Write(q+4, []byte{1, 2, 3, 4, 5, 6, 7, 8}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"write behind":    m.Write(p+7, []byte("abcd")),
		"write before":    m.Write(p-1, []byte("a")),
		"write nowhere":   m.Write(0, []byte("a")),
		"write shared":    m.Write(sharedWindow, []byte("a")),
		"read behind":     m.Read(p+10, b[:1]),
		"read too much":   m.Read(p, make([]byte, 11)),
		"read unwritten":  m.Read(q, b),
		"read its end":    m.Read(q+4, b[:9]),
		"free the middle": m.Free(p + 1),
		"free nothing":    m.Free(12345),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := m.Free(p); err != nil {
		t.Fatal(err)
	}
	if m.Free(p) == nil || m.Read(p, b) == nil || m.Write(p, b) == nil {
		t.Error("freed memory can be freed, read or written")
	}
	if m.Alloc(10) == p {
		t.Error("the address of freed memory comes again")
	}
}

// TestUnwritten reads device memory that nobody, the host or a kernel has written.
func TestUnwritten(t *testing.T) {
	load := program("", "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.global.u32 %r1, [%rd1+4]; st.global.u32 [%rd2], %r1;")
	for name, c := range map[string]struct {
		prepare func(m *Memory, p uint64) error
		want    uint32
		refused bool
	}{
		"nobody":    {func(*Memory, uint64) error { return nil }, 0, true},
		"next word": {func(m *Memory, p uint64) error { return m.Write(p, []byte{1, 2, 3, 4}) }, 0, true},
		"written":   {func(m *Memory, p uint64) error { return m.Write(p+4, []byte{1, 2, 3, 4}) }, 0x04030201, false},
		"in part":   {func(m *Memory, p uint64) error { return m.Write(p+2, []byte{1, 2, 3}) }, 0xFFFFFF03, false},
		"by a kernel": {func(m *Memory, p uint64) error {
			return launch(m, program("", "ld.param.u64 %rd1, [a]; st.global.u32 [%rd1+4], 7;"), 1, 1, p, 0, 0)
		}, 7, false},
		"permitted": {func(m *Memory, p uint64) error { m.Unwritten = true; return nil }, 0xFFFFFFFF, false},
	} {
		m := NewMemory()
		p, out := m.Alloc(8), m.Alloc(4)
		if err := c.prepare(m, p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := launch(m, load, 1, 1, p, out, 0); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		} else if err == nil {
			if got := readWords(t, m, out, 1); got[0] != c.want {
				t.Errorf("%s: %#x, want %#x", name, got[0], c.want)
			}
		}
	}
}
