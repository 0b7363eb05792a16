// Package ptx executes PTX, the assembly language of NVIDIA's GPUs, on the CPU. It
// is for tests alone: they run the PTX that quire ships where there is no GPU.
//
// It knows PTX 7.0 for sm_70 as clang-16 writes it. An instruction outside of this
// part is an error of Parse, with its line; so is everything whose bits PTX leaves
// open or the order of threads decides: .approx, .ftz, a float operation that is not
// .rn, an atomic. So is local memory, which is a register that did not fit.
//
// Launch is also a checker. A Fault stops it at the first
//
//   - data race: two accesses to a word of 4 bytes, one of them a write, by threads
//     of a block with no barrier in between, or by two blocks of a launch
//   - access out of the bounds of an allocation or of a shared variable, to freed
//     memory, or not aligned to its size
//   - read of memory that nobody has written (shared: in this block)
//   - write to what ld.global.nc has read, which may be stale, in one launch
//   - barrier at which some threads of a block wait while others wait elsewhere
//   - shuffle that a lane of its mask does not reach, or from a lane that is not there
//   - trap, or division of an integer by zero
//
// A thread that has exited is not waited for: bar.sync waits for all threads of the
// block that have not exited, shfl.sync for those of its mask, as PTX says of sm_70.
// bar.sync is an aligned barrier, so all must wait at the same instruction. A shuffle
// orders no accesses to memory; only a barrier does.
//
// The unit of races and of written memory is the word: two threads that write
// neighbouring bytes of one word are refused.
//
// A launch runs on one goroutine, block after block, and within a block warp after
// warp from barrier to barrier, in an order that Memory.Seed decides. Which accesses
// race does not depend on it. A result of float32 that is not a number has the bits
// 0x7FFFFFFF, as on a GPU.
package ptx

import "fmt"

// A Module is the parsed text of a PTX file. It does not change after Parse, and may
// be used by several goroutines.
type Module struct {
	kernels  map[string]*Kernel
	constant space
	symbols  map[string]uint64 // addresses of the variables in constant memory
	shared   map[string]shared // variables of the file, for the kernels that use them
}

// Kernel returns the entry of that name, nil for none.
func (m *Module) Kernel(name string) *Kernel { return m.kernels[name] }

// A Kernel is an entry of a module.
type Kernel struct {
	name    string
	module  *Module
	params  []param
	maximum uint32 // threads in a block, 0 for no limit of its own
	code    []instruction
	shared  []shared // the variables in order of their addresses

	slots     int // of a frame: registers, constants, special registers
	constants []constant
	special   []special
}

// Name returns the name of the entry.
func (k *Kernel) Name() string { return k.name }

// Params returns the size of each parameter in bytes, in order.
func (k *Kernel) Params() []int {
	sizes := make([]int, len(k.params))
	for i, p := range k.params {
		sizes[i] = p.size
	}
	return sizes
}

// A param is a parameter at an offset in the packed bytes.
type param struct {
	name         string
	size, offset int
}

// shared is a variable in shared memory.
type shared struct {
	name        string
	size, align uint64
	dynamic     bool // the launch says the size
}

// A constant is a value that a slot of the frame has throughout.
type constant struct {
	slot  int
	value uint64
}

// A special register has a value that the launch gives it: an axis of one of the four
// triples tid, ntid, ctaid and nctaid, or laneid.
type special struct {
	slot int
	name string
	axis int
}

// A Fault is what a kernel did that it may not do.
type Fault struct {
	Kernel        string
	Line          int    // of the PTX, from 1
	Text          string // the instruction
	Block, Thread [3]uint32
	Cause         string
}

func (f *Fault) Error() string {
	return fmt.Sprintf("ptx: kernel %s, line %d `%s`, block %d, thread %d: %s", f.Kernel, f.Line, f.Text, f.Block, f.Thread, f.Cause)
}
