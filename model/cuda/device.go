package cuda

import (
	"bytes"
	"errors"
	"runtime"
	"unsafe"
)

// Probe returns the GPU that Open would take. It opens nothing and takes none of the
// GPU's memory. l nil is the installed driver. Its errors are *Unavailable.
func Probe(l *Library) (Info, error) {
	s, err := newSession(l)
	if err != nil {
		return Info{}, err
	}
	_, info, err := s.find()
	return info, err
}

// A Device is a GPU with quire's kernels, opened by this process. It is for one
// goroutine at a time.
//
// The driver keeps what is current by thread of the operating system, so a goroutine
// of the Device, which has such a thread to itself, makes all calls. run hands it a
// function; the other unexported methods are for such functions alone.
//
// Copies, fills, kernels and graphs are asked for: the GPU does them later, in the
// order of the calls. wait returns when all are done.
type Device struct {
	*session
	work chan func() error
	done chan error
	lost error // the first failed call, with which the Device ended

	info    Info
	number  int32 // of the GPU
	context uintptr
	stream  uintptr
	module  uintptr
	kernels [functionCount]uintptr
	params  [maxArgs]unsafe.Pointer // of the kernel that is launched
	jit     *jit                    // while the kernels are loaded
}

// Open opens the first GPU. CUDA_VISIBLE_DEVICES, which the driver reads, chooses the
// first. l nil is the installed driver, which compiles the kernels, in a part
// of a second, unless it has kept them from an earlier time.
//
// Errors: *Unavailable where there is no GPU to be had, *MemoryError where its memory
// is taken, *CompileError where the driver refuses the kernels, *LostError.
func Open(l *Library) (*Device, error) {
	s, err := newSession(l)
	if err != nil {
		return nil, err
	}
	d := &Device{session: s, work: make(chan func() error), done: make(chan error)}
	go d.serve()
	if err := d.run(d.open); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// serve runs what run hands over. Its thread ends with it, and is never unlocked.
func (d *Device) serve() {
	runtime.LockOSThread()
	for f := range d.work {
		d.done <- f()
	}
}

var errClosed = errors.New("cuda: the device is closed")

// run calls f on the Device's thread and returns its error. f must not call run. run
// allocates nothing; f, if it is made once and kept, neither.
func (d *Device) run(f func() error) error {
	if d.work == nil {
		return errClosed
	}
	d.work <- f
	return <-d.done
}

// Info returns what the driver says of the GPU, with its free memory at this time.
func (d *Device) Info() (Info, error) {
	info := d.info
	err := d.run(func() (err error) {
		info.FreeBytes, err = d.freeBytes()
		return err
	})
	return info, err
}

// Close ends the Device and what it holds. It is done after the first call.
func (d *Device) Close() error {
	if d.work == nil {
		return nil
	}
	err := d.run(d.close)
	close(d.work)
	d.work = nil
	return err
}

func (d *Device) open() error {
	var err error
	if d.number, d.info, err = d.find(); err != nil {
		return err
	}
	if err := d.do(cuDevicePrimaryCtxRetain, at(&d.out.handle), uintptr(d.number)); err != nil {
		return err
	}
	d.context = d.out.handle
	if err := d.do(cuCtxSetCurrent, d.context); err != nil {
		return err
	}
	const nonBlocking = 1 // does not wait for the stream of other libraries in the process
	if err := d.do(cuStreamCreate, at(&d.out.handle), nonBlocking); err != nil {
		return err
	}
	d.stream = d.out.handle
	return d.load()
}

// load gives the driver the kernels and finds each by its name. A driver that loads as
// late as can be (CUDA_MODULE_LOADING=LAZY) may compile, and write its log, when a kernel
// is asked for.
func (d *Device) load() error {
	// The driver's options of cuModuleLoadDataEx: a buffer for the log of its compiler, and the buffer's size.
	const errorLog, errorLogBytes = 5, 6
	d.jit = &jit{image: append([]byte(ptxText), 0), options: [2]int32{errorLog, errorLogBytes}}
	j := d.jit
	j.values = [2]uintptr{at(&j.log[0]), uintptr(len(j.log))}
	err := d.do(cuModuleLoadData, at(&d.out.handle), at(&j.image[0]), 2, at(&j.options[0]), at(&j.values[0]))
	if lost, ok := errors.AsType[*LostError](err); ok {
		log, _, _ := bytes.Cut(j.log[:], []byte{0})
		return &CompileError{Log: string(log), cause: lost.cause}
	}
	if err != nil {
		return err
	}
	d.module = d.out.handle
	for k, e := range entries {
		copy(d.name[:], e.name+"\x00")
		if err := d.do(cuModuleGetFunction, at(&d.out.handle), d.module, at(&d.name[0])); err != nil {
			return err
		}
		d.kernels[k] = d.out.handle
	}
	d.jit = nil
	return nil
}

// jit is what cuModuleLoadDataEx reads and writes.
type jit struct {
	image   []byte // PTX, ended by a zero
	options [2]int32
	values  [2]uintptr
	log     [8192]byte
}

// close undoes open as far as it came.
func (d *Device) close() error {
	if d.context == 0 {
		return nil
	}
	err := errors.Join(d.undo(cuStreamSynchronize, d.stream), d.undo(cuModuleUnload, d.module), d.undo(cuStreamDestroy, d.stream))
	d.context = 0
	if failed := d.call(cuDevicePrimaryCtxRelease, uintptr(d.number)); failed != nil && d.lost == nil {
		err = errors.Join(err, failed)
	}
	return err
}
