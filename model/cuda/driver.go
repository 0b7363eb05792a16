package cuda

import "fmt"

// A symbol is a function of libcuda, an index into symbolNames.
type symbol int

const (
	cuInit symbol = iota
	cuDriverGetVersion
	cuDeviceGetCount
	cuDeviceGet
	cuDeviceGetName
	cuDeviceTotalMem
	cuDeviceGetAttribute
	cuDevicePrimaryCtxRetain
	cuDevicePrimaryCtxRelease
	cuCtxSetCurrent
	cuMemGetInfo
	cuMemAlloc
	cuMemFree
	cuMemAllocHost
	cuMemFreeHost
	cuMemcpyHtoDAsync
	cuMemcpyDtoHAsync
	cuMemcpyDtoDAsync
	cuMemsetD8Async
	cuStreamCreate
	cuStreamDestroy
	cuStreamSynchronize
	cuStreamBeginCapture
	cuStreamEndCapture
	cuGraphInstantiate
	cuGraphDestroy
	cuGraphExecDestroy
	cuGraphLaunch
	cuModuleLoadData
	cuModuleUnload
	cuModuleGetFunction
	cuLaunchKernel
	cuGetErrorName
	cuGetErrorString
	symbolCount
)

// symbolNames are the names in libcuda. A name keeps its signature for ever: a changed
// function gets another name, as those that end in _v2.
var symbolNames = [symbolCount]string{
	cuInit:                    "cuInit",
	cuDriverGetVersion:        "cuDriverGetVersion",
	cuDeviceGetCount:          "cuDeviceGetCount",
	cuDeviceGet:               "cuDeviceGet",
	cuDeviceGetName:           "cuDeviceGetName",
	cuDeviceTotalMem:          "cuDeviceTotalMem_v2",
	cuDeviceGetAttribute:      "cuDeviceGetAttribute",
	cuDevicePrimaryCtxRetain:  "cuDevicePrimaryCtxRetain",
	cuDevicePrimaryCtxRelease: "cuDevicePrimaryCtxRelease_v2",
	cuCtxSetCurrent:           "cuCtxSetCurrent",
	cuMemGetInfo:              "cuMemGetInfo_v2",
	cuMemAlloc:                "cuMemAlloc_v2",
	cuMemFree:                 "cuMemFree_v2",
	cuMemAllocHost:            "cuMemAllocHost_v2",
	cuMemFreeHost:             "cuMemFreeHost",
	cuMemcpyHtoDAsync:         "cuMemcpyHtoDAsync_v2",
	cuMemcpyDtoHAsync:         "cuMemcpyDtoHAsync_v2",
	cuMemcpyDtoDAsync:         "cuMemcpyDtoDAsync_v2",
	cuMemsetD8Async:           "cuMemsetD8Async",
	cuStreamCreate:            "cuStreamCreate",
	cuStreamDestroy:           "cuStreamDestroy_v2",
	cuStreamSynchronize:       "cuStreamSynchronize",
	cuStreamBeginCapture:      "cuStreamBeginCapture_v2",
	cuStreamEndCapture:        "cuStreamEndCapture",
	cuGraphInstantiate:        "cuGraphInstantiateWithFlags",
	cuGraphDestroy:            "cuGraphDestroy",
	cuGraphExecDestroy:        "cuGraphExecDestroy",
	cuGraphLaunch:             "cuGraphLaunch",
	cuModuleLoadData:          "cuModuleLoadDataEx",
	cuModuleUnload:            "cuModuleUnload",
	cuModuleGetFunction:       "cuModuleGetFunction",
	cuLaunchKernel:            "cuLaunchKernel",
	cuGetErrorName:            "cuGetErrorName",
	cuGetErrorString:          "cuGetErrorString",
}

// A Library is the driver's functions. It is for any number of goroutines.
type Library struct {
	address [symbolCount]uintptr
}

// Load loads the library of the installed driver, libcuda.so.1. It is never
// unloaded.
func Load() (*Library, error) {
	lookup, err := load()
	if err != nil {
		return nil, err
	}
	return NewLibrary(lookup)
}

// NewLibrary returns the library whose functions lookup finds by name.
func NewLibrary(lookup func(name string) (address uintptr, err error)) (*Library, error) {
	l := &Library{}
	for f, name := range symbolNames {
		address, err := lookup(name)
		if err != nil {
			return nil, oldDriver(fmt.Sprintf("its library has no %s", name), err)
		}
		l.address[f] = address
	}
	return l, nil
}

// oldDriver is the error of a driver before CUDA 11.4.
func oldDriver(found string, cause error) error {
	return unavailable(OldDriver, cause, "the driver is too old: %s: install one of CUDA 11.4 (version 470) or later", found)
}
