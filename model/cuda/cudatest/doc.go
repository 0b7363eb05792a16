// Package cudatest is a stand-in for NVIDIA's driver, for tests alone.
//
// Its functions have the names, arguments and error codes of libcuda's. They are Go
// functions behind C addresses, so a test runs the binding that a GPU gets, and
// package ptx executes the kernels.
//
// It is never laxer than a driver:
//
//   - Work is asked for by a call and done later: by default when somebody waits, with
//     Options.Seed at times that the seed chooses. A copy reads the memory of the
//     machine when it is done, not when it is asked for.
//   - Copies take pinned memory alone. Memory that was given back is spoilt, and must
//     stay as it was spoilt.
//   - A context is current on one thread of the operating system.
//   - While a stream records a graph, calls that a graph cannot hold are errors and
//     spoil the recording.
//   - What was destroyed, was never made, or is of another kind is an error, and so is
//     a copy out of bounds.
//   - After a fault of a kernel every call fails.
//   - Whatever a test leaves behind is an error at its end.
package cudatest
