//go:build linux && !nogpu

package cudatest

import (
	"bytes"
	"unsafe"

	"github.com/quire-ml/quire/model/cuda/ptx"
)

type (
	module struct {
		*ptx.Module
	}
	// A function is a kernel of a module.
	function struct {
		*ptx.Kernel
		of *module
	}
	// compileLog are the values of the options 5 and 6 of cuModuleLoadDataEx.
	compileLog struct {
		text *byte
		size uintptr
	}
)

func (d *Driver) loadModule(out *uintptr, image *byte, n uint32, options *[2]int32, log *compileLog) code {
	if n != 2 || *options != [2]int32{5, 6} {
		return invalidValue
	}
	why := d.o.Refuse
	var m *ptx.Module
	if why == "" {
		var err error
		if m, err = ptx.Parse(text(image)); err != nil {
			why = err.Error()
		}
	}
	if why != "" {
		buffer := unsafe.Slice(log.text, log.size)
		buffer[copy(buffer[:len(buffer)-1], why)] = 0
		return invalidPTX
	}
	*out = d.handle(&module{m})
	return ok
}

func (d *Driver) unloadModule(handle uintptr) code {
	m, _ := find[*module](d, handle)
	for h, o := range d.objects {
		if f, is := o.(*function); is && f.of == m {
			delete(d.objects, h)
		}
	}
	return destroy[*module](d, handle)
}

func (d *Driver) function(out *uintptr, handle uintptr, name *byte) code {
	m, found := find[*module](d, handle)
	if !found {
		return invalidHandle
	}
	k := m.Kernel(text(name))
	if k == nil {
		return notFound
	}
	*out = d.handle(&function{k, m})
	return ok
}

// text is C's text as Go's.
func text(first *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(first), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(first, n))
}

func (d *Driver) launch(handle uintptr, gx, gy, gz, bx, by, bz, shared uint32, on uintptr, params *[64]unsafe.Pointer, extra uintptr) code {
	d.counts.Launches++
	f, found := find[*function](d, handle)
	if !found {
		return invalidHandle
	}
	grid, block := [3]uint32{gx, gy, gz}, [3]uint32{bx, by, bz}
	if !launchable(grid, block) || extra != 0 {
		d.t.Logf("cudatest: launch of %s: grid %d, block %d, extra %#x", f.Name(), grid, block, extra)
		return invalidValue
	}
	// Read now: the caller may use the memory of its parameters again.
	var packed bytes.Buffer
	for i, size := range f.Params() {
		for packed.Len()%size != 0 {
			packed.WriteByte(0)
		}
		packed.Write(unsafe.Slice((*byte)(params[i]), size))
	}
	return d.ask(on, node{call: f.Name(), kernel: true, do: func() error {
		if d.o.Skip {
			return nil
		}
		return d.memory.Launch(f.Kernel, grid, block, shared, packed.Bytes())
	}})
}

// launchable says whether a GPU takes a launch. The size of shared memory is Launch's
// affair.
func launchable(grid, block [3]uint32) bool {
	for i, most := range [3]uint32{1<<31 - 1, 65535, 65535} {
		if grid[i] == 0 || grid[i] > most {
			return false
		}
	}
	for i, most := range [3]uint32{1024, 1024, 64} {
		if block[i] == 0 || block[i] > most {
			return false
		}
	}
	return block[0]*block[1]*block[2] <= 1024
}
