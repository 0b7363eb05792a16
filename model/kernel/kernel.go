// Package kernel is the arithmetic of the network: matrix products, the gates
// of the recurrent cells, softmax cross-entropy, segment sums and Adam, over
// row-major float32 slices.
//
// The plain Go here defines every result to the last bit, for any processor,
// any number of goroutines and any faster variant:
//
//   - A dot product starts from an initial value and adds its terms in index
//     order, each by one fused multiply-add rounded to float32.
//   - Every other sum has one fixed order, given beside its function.
//   - exp, tanh, σ and log are the polynomials of this package.
//   - Division and square root are rounded to float32 once.
//   - Work is split among goroutines by output element, never by summand.
//
// Letters: T time steps, B batch, I input width, H hidden width, V vocabulary,
// R = T·B rows, G gates of a cell (3 for GRU, 4 for LSTM). Of a slice longer
// than its shape the rest is not touched. A slice shorter than its shape panics.
//
// Functions are safe for concurrent use where no output is shared. A Team runs
// one job at a time.
package kernel

// lanes is the number of running sums of a lane sum: term i goes to sum
// i mod lanes, and the sums are added in pairs lanes/2, lanes/4, … 1 apart.
// Sixteen float32 are one 512-bit or two 256-bit registers.
const lanes = 16
