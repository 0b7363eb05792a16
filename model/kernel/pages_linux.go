package kernel

import (
	"syscall"
	"unsafe"
)

// largePages asks for large pages under x. A system without them does nothing.
func largePages(x []float32) {
	const page = 2 << 20
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
	off := (page - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%page)) % page
	if n := (len(b) - off) / page * page; n > 0 {
		_ = syscall.Madvise(b[off:off+n], syscall.MADV_HUGEPAGE)
	}
}
