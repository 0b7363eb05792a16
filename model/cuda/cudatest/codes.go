//go:build linux && !nogpu

package cudatest

// A code is what a call returns: 0, or that of an error.
type code int32

const (
	ok                 code = 0
	invalidValue       code = 1
	outOfMemory        code = 2
	notInitialized     code = 3
	deinitialized      code = 4
	noDevice           code = 100
	invalidDevice      code = 101
	invalidContext     code = 201
	invalidPTX         code = 218
	invalidHandle      code = 400
	illegalState       code = 401
	notFound           code = 500
	illegalAddress     code = 700
	captureUnsupported code = 900
	captureInvalidated code = 901
	captureWrongThread code = 908
)

// An errorCode is a code in the driver's words.
type errorCode struct {
	name, text string
	sticky     bool // ends the context
}

var errorCodes = map[code]errorCode{
	ok:                 {"CUDA_SUCCESS", "no error", false},
	invalidValue:       {"CUDA_ERROR_INVALID_VALUE", "invalid argument", false},
	outOfMemory:        {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory", false},
	notInitialized:     {"CUDA_ERROR_NOT_INITIALIZED", "initialization error", false},
	deinitialized:      {"CUDA_ERROR_DEINITIALIZED", "driver shutting down", false},
	34:                 {"CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library", false},
	46:                 {"CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable", false},
	noDevice:           {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected", false},
	invalidDevice:      {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal", false},
	invalidContext:     {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context", false},
	214:                {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered", true},
	invalidPTX:         {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed", false},
	221:                {"CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "PTX JIT compiler library not found", false},
	222:                {"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain.", false},
	invalidHandle:      {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle", false},
	illegalState:       {"CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state", false},
	notFound:           {"CUDA_ERROR_NOT_FOUND", "named symbol not found", false},
	illegalAddress:     {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered", true},
	702:                {"CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated", true},
	719:                {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure", true},
	802:                {"CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized", false},
	803:                {"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination", false},
	804:                {"CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW", false},
	captureUnsupported: {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing", false},
	captureInvalidated: {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture", false},
	captureWrongThread: {"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a thread-local capture sequence from another thread", false},
	999:                {"CUDA_ERROR_UNKNOWN", "unknown error", false},
}

// unless returns the error e, or with what holds none.
func unless(holds bool, e code) code {
	if holds {
		return ok
	}
	return e
}
