//go:build !linux || nogpu

package cuda

import "runtime"

// load says why there is nothing to load.
func load() (func(name string) (uintptr, error), error) {
	if runtime.GOOS != "linux" {
		return nil, unavailable(OtherSystem, nil, "GPUs are used on Linux alone, this system is %s", runtime.GOOS)
	}
	return nil, unavailable(NotBuilt, nil, "this program was built without GPUs (tag nogpu): take the one that was built without the tag")
}

// invoke has nothing to call: no Library can be loaded.
func invoke(uintptr, []uintptr) int { return stubLibrary }
