package cuda

import (
	"bytes"
	"fmt"
	"runtime"
	"unsafe"
)

// A session calls a driver. It is for one goroutine at a time.
//
// What a call points to lies in the session, and the session on the heap: the driver
// is given addresses, and a goroutine's stack moves when it grows.
type session struct {
	l    *Library
	args [12]uintptr
	name [256]byte // what a call reads or writes, ended by a zero
	out  struct {  // what the driver writes
		number int32
		size   [2]uint64
		handle uintptr
		ptr    Ptr
		pinned *byte
		text   *byte
	}
}

// newSession returns a session of l, or with l nil of the installed driver.
//
//go:noinline
func newSession(l *Library) (*session, error) { // inlined, its result could lie on a stack
	if l == nil {
		loaded, err := Load()
		if err != nil {
			return nil, err
		}
		l = loaded
	}
	return &session{l: l}, nil
}

// at returns the address of what p points to, which must lie on the heap and be
// kept alive over the call.
func at[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// try calls f and returns its error code, 0 for none.
func (s *session) try(f symbol, args ...uintptr) int {
	n := copy(s.args[:], args)
	code := invoke(s.l.address[f], s.args[:n])
	runtime.KeepAlive(s)
	return code
}

// call calls f.
func (s *session) call(f symbol, args ...uintptr) *CallError {
	if code := s.try(f, args...); code != 0 {
		return s.failed(f, code)
	}
	return nil
}

// failed is the error of a code that f returned, in the driver's words.
func (s *session) failed(f symbol, code int) *CallError {
	return &CallError{Call: symbolNames[f], Code: code, Name: s.describe(cuGetErrorName, code), Text: s.describe(cuGetErrorString, code)}
}

// describe returns what f, cuGetErrorName or cuGetErrorString, says of a code, ""
// where it does not know the code.
func (s *session) describe(f symbol, code int) string {
	s.out.text = nil
	if s.try(f, uintptr(code), at(&s.out.text)) != 0 || s.out.text == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(s.out.text), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(s.out.text, n))
}

// Info is what a driver says of a GPU.
type Info struct {
	Name       string // NVIDIA H100 80GB HBM3
	CUDA       string // the latest version that the driver supports, such as 12.4
	Capability string // compute capability, such as 9.0
	TotalBytes int64  // of the GPU's memory
	FreeBytes  int64  // 0 from Probe
}

// What quire needs. PTX 7.0 is of CUDA 11.0, cuGraphInstantiateWithFlags of 11.4.
// The kernels are compiled for 7.0 and what came later.
const (
	leastCUDA       = 11040
	leastCapability = 7
)

// cuDeviceGetAttribute's numbers of the compute capability.
const (
	capabilityMajor = 75
	capabilityMinor = 76
)

// find starts the driver and returns its first GPU. CUDA_VISIBLE_DEVICES, which the
// driver reads, chooses the first. Its errors are *Unavailable.
func (s *session) find() (device int32, info Info, err error) {
	var failed *CallError // the first call that did; those after it are not made
	ask := func(f symbol, args ...uintptr) int32 {
		if failed == nil {
			failed = s.call(f, args...)
		}
		return s.out.number
	}
	number := at(&s.out.number)
	ask(cuInit, 0)
	version := ask(cuDriverGetVersion, number)
	info.CUDA = fmt.Sprintf("%d.%d", version/1000, version%1000/10)
	if failed == nil && version < leastCUDA {
		return 0, info, oldDriver("it supports CUDA "+info.CUDA, nil)
	}
	devices := ask(cuDeviceGetCount, number)
	if failed == nil && devices == 0 {
		return 0, info, noDeviceError(nil)
	}
	device = ask(cuDeviceGet, number, 0)
	major := ask(cuDeviceGetAttribute, number, capabilityMajor, uintptr(device))
	minor := ask(cuDeviceGetAttribute, number, capabilityMinor, uintptr(device))
	ask(cuDeviceGetName, at(&s.name[0]), uintptr(len(s.name)), uintptr(device))
	ask(cuDeviceTotalMem, at(&s.out.size[0]), uintptr(device))
	if failed != nil {
		return 0, info, startError(failed)
	}
	name, _, _ := bytes.Cut(s.name[:], []byte{0})
	info.Name, info.Capability, info.TotalBytes = string(name), fmt.Sprintf("%d.%d", major, minor), int64(s.out.size[0])
	if major < leastCapability {
		return 0, info, unavailable(OldDevice, nil, "%s has compute capability %s, at least %d.0 is needed (Volta, 2017): take a later GPU", info.Name, info.Capability, leastCapability)
	}
	return device, info, nil
}
