// Package device is what trains: a GPU, or the processor. Both give the same bytes.
package device

import (
	"errors"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/model/cuda"
)

// Names of devices.
const (
	Auto = "auto" // a GPU where there is one that can be used, else the processor
	CPU  = "cpu"
	GPU  = "gpu"
)

// Names are all names.
var Names = []string{Auto, CPU, GPU}

// Driver is the driver of GPUs; nil is the installed one. Tests set a stand-in.
var Driver *cuda.Library

// Open opens the device of a training that takes needs bytes of a GPU, and says what it
// took and why. Where no GPU can train it, unfit says so. d is nil for the processor, which
// Auto takes where no GPU can be used. For GPU that is an error: unfit,
// *cuda.Unavailable, *cuda.MemoryError or another of package cuda.
func Open(name string, unfit error, needs int64) (d *cuda.Device, taken string, err error) {
	if name == CPU {
		return nil, CPU, nil
	}
	if err = unfit; err == nil {
		d, taken, err = openGPU(needs)
	}
	if err != nil && name == Auto {
		return nil, CPU + ": " + reason(err), nil
	}
	return d, taken, err
}

// driverBytes is more than what the driver takes of a GPU beside a training's memory: for
// recorded graphs, and where it rounds up.
const driverBytes = 64 << 20

// openGPU opens a GPU that has needs bytes free, and driverBytes.
func openGPU(needs int64) (*cuda.Device, string, error) {
	d, err := cuda.Open(Driver)
	if err != nil {
		return nil, "", err
	}
	info, err := d.Info()
	needs += driverBytes
	if err == nil && needs > info.FreeBytes {
		err = &cuda.MemoryError{Needed: needs, Free: info.FreeBytes}
	}
	if err != nil {
		return nil, "", errors.Join(err, d.Close())
	}
	return d, GPU + ": " + words(info), nil
}

// Find returns the device that Auto takes where nothing speaks against a GPU, and the
// name and driver of the GPU, or why there is none. It opens nothing.
func Find() (name, gpu, lacks string) {
	info, err := cuda.Probe(Driver)
	if err != nil {
		return CPU, "", reason(err)
	}
	return GPU, words(info), ""
}

// Check says before any work whether a GPU will train, which takes needs bytes of its
// memory; unfit is as for Open. Where GPU will not, err is that of Open, as far as it is
// known before.
func Check(name string, unfit error, needs int64) (gpu bool, err error) {
	if name == CPU {
		return false, nil
	}
	if err = unfit; err == nil {
		err = checkGPU(needs)
	}
	if name == Auto {
		return err == nil, nil
	}
	return err == nil, err
}

// checkGPU finds a GPU that has needs bytes, and driverBytes.
func checkGPU(needs int64) error {
	info, err := cuda.Probe(Driver)
	if err != nil {
		return err
	}
	if needs += driverBytes; needs > info.TotalBytes {
		return &cuda.MemoryError{Needed: needs, Free: info.TotalBytes, Whole: true}
	}
	return nil
}

// words names a GPU and its driver.
func words(info cuda.Info) string {
	return fmt.Sprintf("%s, compute capability %s, driver of CUDA %s", info.Name, info.Capability, info.CUDA)
}

// reason is an error of a GPU on a line. What a machine without a GPU always lacks is
// named in a few words.
func reason(err error) string {
	var none *cuda.Unavailable
	if errors.As(err, &none) {
		return none.Reason.String()
	}
	return strings.TrimPrefix(err.Error(), "train: ")
}
