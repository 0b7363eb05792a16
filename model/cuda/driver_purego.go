//go:build linux && !nogpu

package cuda

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

// load opens libcuda.so.1 and returns its table of symbols.
func load() (func(name string) (uintptr, error), error) {
	// Global, because the driver opens libraries of its own that look here for symbols.
	handle, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		searched := "LD_LIBRARY_PATH, which is not set,"
		if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
			searched = fmt.Sprintf("LD_LIBRARY_PATH=%q", path)
		}
		return nil, unavailable(NoDriver, err, "libcuda.so.1 of NVIDIA's driver cannot be loaded: %v; searched %s and the folders of the system's loader (ldconfig -p): install the driver; in a container, start it with access to the GPU and NVIDIA_DRIVER_CAPABILITIES=compute; on GKE, set LD_LIBRARY_PATH=/usr/local/nvidia/lib64",
			err, searched)
	}
	return func(name string) (uintptr, error) { return purego.Dlsym(handle, name) }, nil
}

// invoke calls the C function at an address with the arguments. What they point
// to must lie on the heap and must be kept alive by the caller.
func invoke(address uintptr, args []uintptr) int {
	r, _, _ := purego.SyscallN(address, args...)
	return int(int32(r))
}
