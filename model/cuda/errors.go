package cuda

import (
	"fmt"
	"os"
	"strings"
)

// A Reason is why this machine has no GPU that quire can use.
type Reason int

// The reasons, in the order in which they are found.
const (
	NotBuilt     Reason = iota + 1 // built with the tag nogpu
	OtherSystem                    // not Linux
	NoDriver                       // libcuda.so.1 cannot be loaded
	BrokenDriver                   // libcuda.so.1 cannot be started
	NoDevice                       // the driver shows no GPU
	OldDriver                      // the driver is older than CUDA 11.4
	OldDevice                      // the GPU's compute capability is below 7.0
)

// String says the reason in a few words.
func (r Reason) String() string {
	return map[Reason]string{
		NotBuilt:     "this program was built without GPUs",
		OtherSystem:  "GPUs are used on Linux alone",
		NoDriver:     "libcuda.so.1 was not found",
		BrokenDriver: "libcuda.so.1 does not start",
		NoDevice:     "the driver shows no GPU",
		OldDriver:    "the driver is older than CUDA 11.4",
		OldDevice:    "the GPU's compute capability is below 7.0",
	}[r]
}

// Unavailable is the error of a machine without a GPU that quire can use. It says
// what is missing and how to get it. A GPU that is there and fails is no
// Unavailable error.
type Unavailable struct {
	Reason Reason
	text   string
	cause  error // nil but for a call that failed
}

func (e *Unavailable) Error() string { return "cuda: " + e.text }

// Unwrap returns the failed call, nil for none.
func (e *Unavailable) Unwrap() error { return e.cause }

func unavailable(r Reason, cause error, format string, a ...any) error {
	return &Unavailable{Reason: r, text: fmt.Sprintf(format, a...), cause: cause}
}

// A CallError is a call that the driver answered with an error code.
type CallError struct {
	Call string // cuMemAlloc_v2
	Code int    // 2
	Name string // CUDA_ERROR_OUT_OF_MEMORY; "" where the driver does not know the code
	Text string // the driver's words for it
}

func (e *CallError) Error() string { return "cuda: " + e.words() }

func (e *CallError) words() string {
	if e.Name == "" {
		return fmt.Sprintf("%s: error %d", e.Call, e.Code)
	}
	return fmt.Sprintf("%s: %s (%d): %s", e.Call, e.Name, e.Code, e.Text)
}

// A MemoryError is memory that could not be had.
type MemoryError struct {
	Needed int64 // bytes; 0 for what the driver wanted for itself
	Free   int64 // bytes of the GPU's memory at the time of the call
	Host   bool  // whether the memory is the machine's, not the GPU's
	Whole  bool  // whether Free is all memory that the GPU has
}

func (e *MemoryError) Error() string {
	const mib = 1 << 20
	switch needed, free := float64(e.Needed)/mib, float64(e.Free)/mib; {
	case e.Host:
		return fmt.Sprintf("cuda: out of memory: the machine cannot pin %.1f MiB more for copies to the GPU: end other programs, or raise the limit on memory (of a container, or ulimit -l)", needed)
	case e.Whole:
		return fmt.Sprintf("cuda: out of memory: %.1f MiB are needed, the whole GPU has %.1f MiB: train with smaller batches, shorter sequences or a smaller model, or on a larger GPU", needed, free)
	case e.Needed == 0:
		return fmt.Sprintf("cuda: out of memory: the GPU has %.1f MiB free, too little for the driver itself: end other programs on the GPU (nvidia-smi lists them)", free)
	default:
		return fmt.Sprintf("cuda: out of memory: %.1f MiB more are needed, the GPU has %.1f MiB free: end other programs on the GPU (nvidia-smi lists them), or train with smaller batches, shorter sequences or a smaller model", needed, free)
	}
}

// A SizeError is a size of a network that no GPU trains, whatever memory it has.
type SizeError struct {
	Size        string // its name
	Value, Most int
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("cuda: %s of %d, a GPU trains at most %d", e.Size, e.Value, e.Most)
}

// A CompileError is the driver's refusal of quire's kernels.
type CompileError struct {
	Log   string // of the driver's compiler, may be empty
	cause *CallError
}

func (e *CompileError) Error() string {
	log := strings.Join(strings.Fields(e.Log), " ")
	if log == "" {
		log = "its compiler wrote no log"
	}
	return fmt.Sprintf("cuda: the driver does not compile the kernels: %s: %s: install the whole driver, with libnvidia-ptxjitcompiler.so.1 (a container needs NVIDIA_DRIVER_CAPABILITIES=compute), and leave CUDA_DISABLE_PTX_JIT unset", e.cause.words(), log)
}

// Unwrap returns the call that failed.
func (e *CompileError) Unwrap() error { return e.cause }

// A LostError ends a Device: after a call that failed for another reason than memory,
// nothing in the GPU's memory can be trusted. Every later call of the Device
// returns the same error. After a kernel's fault the driver refuses all further work of
// the process, so that another Device is no help either.
type LostError struct {
	cause *CallError
}

func (e *LostError) Error() string {
	advice := "start the program again; if it fails again, see the system's log (dmesg, lines with Xid) and nvidia-smi"
	if e.cause.Code == deviceUnavailable {
		advice = "another program has the GPU for itself: end it (nvidia-smi lists them), or let more than one in (nvidia-smi -c DEFAULT)"
	}
	return fmt.Sprintf("cuda: the GPU failed: %s: %s", e.cause.words(), advice)
}

// Unwrap returns the first call that failed.
func (e *LostError) Unwrap() error { return e.cause }

// Codes of the driver that are answered by more than their name.
const (
	outOfMemory       = 2
	stubLibrary       = 34
	deviceUnavailable = 46
	noDevice          = 100
	notReady          = 802
	driverMismatch    = 803
	noCompat          = 804
	unknown           = 999
)

// startError is the error of a driver that cannot be used because a call failed.
func startError(e *CallError) error {
	advice := "see whether nvidia-smi shows the GPU"
	switch e.Code {
	case noDevice:
		return noDeviceError(e)
	case stubLibrary:
		advice = "a stand-in of the CUDA toolkit was loaded in place of the driver's library: take its folder, stubs, out of LD_LIBRARY_PATH"
	case notReady:
		advice = "a machine with NVSwitch needs the service nvidia-fabricmanager, of the driver's version: start it"
	case unknown:
		advice += ", and load the kernel's module nvidia_uvm (modprobe nvidia_uvm)"
	case driverMismatch:
		advice = "libcuda.so.1 and the kernel's driver are of two versions: restart the machine after the driver's update"
	case noCompat:
		advice = "a library for compatibility was loaded in place of the driver's: take its folder, compat, out of LD_LIBRARY_PATH"
	}
	return unavailable(BrokenDriver, e, "the driver cannot be used: %s: %s", e.words(), advice)
}

func noDeviceError(cause error) error {
	advice := "see whether nvidia-smi -L shows one, and in MIG mode an instance of it; a container must be started with access to it"
	if v, ok := os.LookupEnv("CUDA_VISIBLE_DEVICES"); ok {
		advice = fmt.Sprintf("CUDA_VISIBLE_DEVICES=%q hides all that it does not name: unset it, or name a GPU that nvidia-smi -L lists", v)
	}
	return unavailable(NoDevice, cause, "the driver shows no GPU: %s", advice)
}
