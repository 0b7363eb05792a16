//go:build linux && !nogpu

package cudatest

import (
	"reflect"
	"slices"
	"sync"
	"syscall"

	"github.com/ebitengine/purego"
)

// callbacks are C addresses of a driver's functions, for one Driver at a time: a
// process can make about 2,000 and gives none back.
type callbacks struct {
	address map[string]uintptr
	driver  *Driver // nil: of none
}

var idle struct {
	sync.Mutex
	list []*callbacks
}

// take returns callbacks for a driver.
func take(d *Driver) *callbacks {
	idle.Lock()
	defer idle.Unlock()
	var c *callbacks
	if n := len(idle.list); n > 0 {
		c, idle.list = idle.list[n-1], idle.list[:n-1]
	} else {
		c = &callbacks{address: map[string]uintptr{}}
		for name, f := range functions {
			c.address[name] = purego.NewCallback(c.function(name, f.needs, f.do))
		}
	}
	c.driver = d
	return c
}

// release ends the driver's functions.
func (c *callbacks) release() {
	idle.Lock()
	defer idle.Unlock()
	c.driver = nil
	idle.list = append(idle.list, c)
}

// What a call needs.
type needs int

const (
	nothing      needs = iota
	start              // cuInit was called
	inContext          // and a context is current on the thread
	notRecording       // and the thread records no graph
)

// functions are the driver's functions by name.
var functions = map[string]struct {
	needs
	do any // a method of Driver with the arguments of C, which returns an error code
}{
	"cuInit":                       {nothing, (*Driver).init},
	"cuDriverGetVersion":           {nothing, (*Driver).version},
	"cuGetErrorName":               {nothing, (*Driver).errorName},
	"cuGetErrorString":             {nothing, (*Driver).errorText},
	"cuDeviceGetCount":             {start, (*Driver).devices},
	"cuDeviceGet":                  {start, (*Driver).deviceAt},
	"cuDeviceGetName":              {start, (*Driver).deviceName},
	"cuDeviceTotalMem_v2":          {start, (*Driver).totalMemory},
	"cuDeviceGetAttribute":         {start, (*Driver).attribute},
	"cuDevicePrimaryCtxRetain":     {start, (*Driver).retain},
	"cuDevicePrimaryCtxRelease_v2": {start, (*Driver).giveUp},
	"cuCtxSetCurrent":              {start, (*Driver).setCurrent},
	"cuMemGetInfo_v2":              {inContext, (*Driver).memoryInfo},
	"cuMemAlloc_v2":                {notRecording, (*Driver).alloc},
	"cuMemFree_v2":                 {notRecording, (*Driver).free},
	"cuMemAllocHost_v2":            {notRecording, (*Driver).allocHost},
	"cuMemFreeHost":                {notRecording, (*Driver).freeHost},
	"cuMemcpyHtoDAsync_v2":         {inContext, (*Driver).toDevice},
	"cuMemcpyDtoHAsync_v2":         {inContext, (*Driver).toHost},
	"cuMemcpyDtoDAsync_v2":         {inContext, (*Driver).onDevice},
	"cuMemsetD8Async":              {inContext, (*Driver).fill},
	"cuStreamCreate":               {notRecording, (*Driver).createStream},
	"cuStreamDestroy_v2":           {notRecording, (*Driver).destroyStream},
	"cuStreamSynchronize":          {notRecording, (*Driver).wait},
	"cuStreamBeginCapture_v2":      {inContext, (*Driver).beginCapture},
	"cuStreamEndCapture":           {inContext, (*Driver).endCapture},
	"cuGraphInstantiateWithFlags":  {notRecording, (*Driver).instantiate},
	"cuGraphDestroy":               {inContext, (*Driver).destroyGraph},
	"cuGraphExecDestroy":           {inContext, (*Driver).destroyExecutable},
	"cuGraphLaunch":                {notRecording, (*Driver).launchGraph},
	"cuModuleLoadDataEx":           {notRecording, (*Driver).loadModule},
	"cuModuleUnload":               {notRecording, (*Driver).unloadModule},
	"cuModuleGetFunction":          {inContext, (*Driver).function},
	"cuLaunchKernel":               {inContext, (*Driver).launch},
}

// function returns a function of C's arguments that calls a method of the driver that
// has the callbacks then.
func (c *callbacks) function(name string, n needs, do any) any {
	method := reflect.ValueOf(do)
	of := method.Type()
	var in []reflect.Type
	for i := range of.NumIn() - 1 {
		in = append(in, of.In(i+1))
	}
	return reflect.MakeFunc(reflect.FuncOf(in, []reflect.Type{of.Out(0)}, false), func(args []reflect.Value) []reflect.Value {
		d := c.driver
		if d == nil {
			return []reflect.Value{reflect.ValueOf(deinitialized)}
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.thread = syscall.Gettid()
		if e := d.refuse(name, n); e != ok {
			return []reflect.Value{reflect.ValueOf(e)}
		}
		return method.Call(append([]reflect.Value{reflect.ValueOf(d)}, args...))
	}).Interface()
}

// refuse returns the error of a call that is not made: what it needs is not there, or
// the test wants it to fail.
func (d *Driver) refuse(name string, n needs) code {
	switch context := d.current[d.thread]; {
	case n >= start && !d.started:
		return notInitialized
	case n >= inContext && d.sticky != ok:
		return d.sticky
	case n >= inContext && (context == nil || context != d.context):
		d.t.Logf("cudatest: %s on a thread without the context", name)
		return invalidContext
	case n >= notRecording && d.spoil():
		d.t.Logf("cudatest: %s while a graph is recorded", name)
		return captureUnsupported
	}
	e := d.injected(name)
	if e != ok && n >= inContext {
		d.spoil() // a driver may go on with a recording in which a call has failed; it need not
	}
	if errorCodes[e].sticky && n >= inContext {
		d.sticky = e
	}
	return e
}

// injected counts down the rules of a function and returns the code of one that has
// come to its call.
func (d *Driver) injected(name string) code {
	var e code
	d.rules = slices.DeleteFunc(d.rules, func(r *rule) bool {
		if r.name != name {
			return false
		}
		r.n--
		if r.n == 0 {
			e = r.code
		}
		return r.n == 0
	})
	return e
}
