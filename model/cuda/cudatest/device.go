//go:build linux && !nogpu

package cudatest

import "unsafe"

// A context is the primary context of the GPU.
type context struct {
	handle uintptr
	held   int
}

// gpu is the handle of the only GPU, ordinal 0.
const gpu = 7

const gpuName = "Stand-in GPU"

func (d *Driver) init(flags uint32) code {
	d.started = flags == 0
	return unless(d.started, invalidValue)
}

func (d *Driver) version(out *int32) code {
	*out = int32(d.o.Version)
	return ok
}

func (d *Driver) errorName(e code, out **byte) code { return say(out, errorCodes[e].name) }
func (d *Driver) errorText(e code, out **byte) code { return say(out, errorCodes[e].text) }

// say writes a text of C; "" is none.
func say(out **byte, text string) code {
	if text == "" {
		*out = nil
		return invalidValue
	}
	*out = unsafe.SliceData(append([]byte(text), 0))
	return ok
}

func (d *Driver) devices(out *int32) code {
	*out = 1
	if d.o.NoDevice {
		*out = 0
	}
	return ok
}

func (d *Driver) deviceAt(out *int32, ordinal int32) code {
	*out = gpu
	return unless(ordinal == 0 && !d.o.NoDevice, invalidDevice)
}

func (d *Driver) deviceName(out *byte, n, device int32) code {
	copy(unsafe.Slice(out, n), gpuName+"\x00")
	return unless(device == gpu, invalidDevice)
}

func (d *Driver) totalMemory(out *uint64, device int32) code {
	*out = uint64(d.o.Bytes)
	return unless(device == gpu, invalidDevice)
}

func (d *Driver) attribute(out *int32, attribute, device int32) code {
	value, known := map[int32]int{75: d.o.Major, 76: d.o.Minor}[attribute]
	*out = int32(value)
	return unless(known && device == gpu, invalidValue)
}

func (d *Driver) retain(out *uintptr, device int32) code {
	if device != gpu {
		return invalidDevice
	}
	if d.context == nil {
		d.context = &context{}
		d.context.handle = d.handle(d.context)
	}
	d.context.held++
	*out = d.context.handle
	return ok
}

// giveUp ends the context, with everything in it, when nobody holds it.
func (d *Driver) giveUp(device int32) code {
	switch {
	case device != gpu:
		return invalidDevice
	case d.context == nil:
		return invalidContext
	}
	if d.context.held--; d.context.held > 0 {
		return ok
	}
	delete(d.objects, d.context.handle)
	if d.sticky == ok {
		d.lost = append(d.lost, d.live()...)
	}
	for p := range d.device {
		d.memory.Free(p)
	}
	for _, p := range d.pinned {
		p.giveBack()
	}
	d.context, d.sticky, d.used = nil, ok, 0
	clear(d.device)
	clear(d.objects)
	return ok
}

func (d *Driver) setCurrent(handle uintptr) code {
	delete(d.current, d.thread)
	if handle == 0 {
		return ok
	}
	x, found := find[*context](d, handle)
	if found {
		d.current[d.thread] = x
	}
	return unless(found, invalidContext)
}
