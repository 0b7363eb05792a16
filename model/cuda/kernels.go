// Package cuda runs a training on an NVIDIA GPU. What it computes is, to the bit,
// what the packages kernel, rnn and graph compute.
package cuda

import (
	_ "embed"
	"fmt"
	"math"
)

//go:generate ./gen.sh

// ptxText is the kernels as a driver takes them. Its first line says of which
// source it is made.
//
//go:embed kernels.ptx
var ptxText string

// Ptr is an address of device memory. 0 is none.
type Ptr uint64

// function is an index into entries.
type function int

const (
	gemmNT function = iota
	gemmNTSmall
	gemmNN
	gemmNNSmall
	gemmTN
	gemmTNSmall
	gruForward
	gruBackward
	lstmForward
	lstmBackward
	crossEntropy
	columnSum
	segmentSum
	gatherRows
	sumSquares
	updateAdam
	applyDropout
	functionCount
)

// An entry is what a launch must know of a kernel.
type entry struct {
	name    string
	params  []int // bytes of each parameter
	threads int   // of a block
}

var gemmParams = []int{4, 4, 4, 8, 4, 8, 4, 8, 4, 8, 4}

// entries are the kernels of kernels.cu and what it includes, which say what they
// compute.
var entries = [functionCount]entry{
	gemmNT:       {"gemm_nt", gemmParams, 128},
	gemmNTSmall:  {"gemm_nt_small", gemmParams, 128},
	gemmNN:       {"gemm_nn", gemmParams, 128},
	gemmNNSmall:  {"gemm_nn_small", gemmParams, 128},
	gemmTN:       {"gemm_tn", gemmParams, 128},
	gemmTNSmall:  {"gemm_tn_small", gemmParams, 128},
	gruForward:   {"gru_forward", []int{4, 4, 8, 8, 8, 8, 8, 8, 8}, 256},
	gruBackward:  {"gru_backward", []int{4, 4, 8, 8, 8, 8, 8, 8}, 128},
	lstmForward:  {"lstm_forward", []int{4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8}, 256},
	lstmBackward: {"lstm_backward", []int{4, 4, 8, 8, 8, 8, 8, 8, 8}, 128},
	crossEntropy: {"cross_entropy", []int{8, 8, 8, 8, 4, 4, 4}, 128},
	columnSum:    {"column_sum", []int{8, 8, 4, 4, 4}, 256},
	segmentSum:   {"segment_sum", []int{8, 4, 8, 4, 8, 8, 4, 4, 4}, 128},
	gatherRows:   {"gather", []int{8, 8, 8, 4}, 128},
	sumSquares:   {"sum_squares", []int{8, 8, 4}, 128},
	updateAdam:   {"adam", []int{8, 8, 8, 8, 8, 4, 8}, 256},
	applyDropout: {"dropout", []int{8, 8, 4, 8, 4, 4}, 256},
}

// A launcher starts kernels, one after another, on a grid of x by y blocks. The args are
// only read until launch returns.
type launcher interface {
	launch(f function, x, y int, a *args) error
}

// args are the parameters of a launch, in a block of memory that is used again.
type args struct {
	n      int
	values [maxArgs]uint64 // each in the low bytes of its own word
	tooBig int             // the first size that is below 0 or above maxSize; 0 for none
}

const maxArgs = 12

func (a *args) add(x uint64) {
	a.values[a.n] = x
	a.n++
}

func (a *args) f32(x float32) { a.add(uint64(math.Float32bits(x))) }

func (a *args) ptrs(list ...Ptr) {
	for _, p := range list {
		a.add(uint64(p))
	}
}

// maxSize is the greatest size or stride: an int32 holds it, and a tile more.
const maxSize = math.MaxInt32 - 1<<12

// i32 adds sizes and strides, which are not negative.
func (a *args) i32(list ...int) {
	for _, n := range list {
		if (n < 0 || n > maxSize) && a.tooBig == 0 {
			a.tooBig = n
		}
		a.add(uint64(uint32(n)))
	}
}

// kernels launches the kernels, with the grid that each needs. Sizes are those of
// the functions of model/kernel. An empty result launches nothing. A size above
// maxSize, or a grid that no device takes, is an error before the launch.
//
// kernels is for one goroutine at a time.
type kernels struct {
	launcher
	args args
}

// begin returns the block of parameters, emptied.
func (k *kernels) begin() *args {
	k.args.n, k.args.tooBig = 0, 0
	return &k.args
}

const (
	maxGridX = math.MaxInt32
	maxGridY = 65535
)

// start launches f on a grid of x by y blocks with the parameters added since begin.
func (k *kernels) start(f function, x, y int) error {
	e := &entries[f]
	if n := k.args.tooBig; n != 0 {
		return fmt.Errorf("cuda: %s: a size is %d, want 0 … %d", e.name, n, maxSize)
	}
	if x <= 0 || y <= 0 {
		return nil
	}
	if x > maxGridX || y > maxGridY {
		return fmt.Errorf("cuda: %s: a grid of %d by %d blocks, at most %d by %d", e.name, x, y, maxGridX, maxGridY)
	}
	return k.launch(f, x, y, &k.args)
}

// blocks returns the number of blocks of size values that hold n.
func blocks(n, size int) int { return (n + size - 1) / size }

// manyBlocks is the number of blocks that keep most of a GPU busy.
const manyBlocks = 64

// gemm is kernel.Team.Gemm. Of each factor one stride is 1, and not both factors
// are read transposed. An init of 0 is zeros.
func (k *kernels) gemm(M, N, K int, a Ptr, ars, acs int, b Ptr, brs, bcs int, init Ptr, irs int, c Ptr, crs int) error {
	f, lda, ldb := gemmNN, ars, brs
	switch {
	case acs == 1 && bcs == 1:
	case acs == 1 && brs == 1:
		f, ldb = gemmNT, bcs
	case ars == 1 && bcs == 1:
		f, lda = gemmTN, acs
	default:
		return fmt.Errorf("cuda: gemm: strides %d, %d of a and %d, %d of b: no kernel reads them", ars, acs, brs, bcs)
	}
	p := k.begin()
	p.i32(M, N, K)
	p.ptrs(a)
	p.i32(lda)
	p.ptrs(b)
	p.i32(ldb)
	p.ptrs(init)
	p.i32(irs)
	p.ptrs(c)
	p.i32(crs)
	if blocks(M, 128)*blocks(N, 64) < manyBlocks {
		return k.start(f+1, blocks(M, 32), blocks(N, 32)) // the same product by small blocks
	}
	return k.start(f, blocks(M, 128), blocks(N, 64))
}

// maxHidden is the greatest hidden width: offsets in four gates of H·H have 31 bits.
const maxHidden = 23170

// recurrent starts f, a time step of a layer.
func (k *kernels) recurrent(f function, B, H int) error {
	if H > maxHidden {
		return fmt.Errorf("cuda: %s: hidden width %d, at most %d", entries[f].name, H, maxHidden)
	}
	return k.start(f, blocks(H, 16), blocks(B, 32))
}

// gruForward is kernel.GRUForward after the product W_hh·h + b_hh. ids 0: batch
// row b reads row b of x. tmp 0: nothing is kept for gruBackward. out is not h.
func (k *kernels) gruForward(B, H int, x, ids, whh, bhh, h, out, tmp Ptr) error {
	a := k.begin()
	a.i32(B, H)
	a.ptrs(x, ids, whh, bhh, h, out, tmp)
	return k.recurrent(gruForward, B, H)
}

// lstmForward is kernel.LSTMForward after the product W_hh·h + b_hh; ids and tmp
// as for gruForward. cOut may be c, out is not h.
func (k *kernels) lstmForward(B, H int, x, ids, whh, bhh, h, c, cOut, out, tmp Ptr) error {
	a := k.begin()
	a.i32(B, H)
	a.ptrs(x, ids, whh, bhh, h, c, cOut, out, tmp)
	return k.recurrent(lstmForward, B, H)
}

// backward is recurrent of a kernel that reads four values of next at once.
func (k *kernels) backward(f function, B, H int, next Ptr) error {
	if next%16 != 0 {
		return fmt.Errorf("cuda: %s: the next step's gradients lie at %#x, want a multiple of 16", entries[f].name, uint64(next))
	}
	return k.recurrent(f, B, H)
}

// gruBackward is kernel.GRUBackward after the product through W_hh of next, the tmp
// of the step after it, a multiple of 16. next 0: there is none, and dh is not read.
func (k *kernels) gruBackward(B, H int, next, whh, tmp, h, dout, dh Ptr) error {
	a := k.begin()
	a.i32(B, H)
	a.ptrs(next, whh, tmp, h, dout, dh)
	return k.backward(gruBackward, B, H, next)
}

// lstmBackward is kernel.LSTMBackward; next as for gruBackward, with dc for dh.
func (k *kernels) lstmBackward(B, H int, next, whh, tmp, c, cOut, dout, dc Ptr) error {
	a := k.begin()
	a.i32(B, H)
	a.ptrs(next, whh, tmp, c, cOut, dout, dc)
	return k.backward(lstmBackward, B, H, next)
}

// crossEntropy is kernel.CrossEntropy. dlogits may be logits, or 0: losses alone.
func (k *kernels) crossEntropy(losses, dlogits, logits, targets Ptr, scale float32, R, V int) error {
	a := k.begin()
	a.ptrs(losses, dlogits, logits, targets)
	a.f32(scale)
	a.i32(R, V)
	return k.start(crossEntropy, blocks(R, 8), 1)
}

// columnSum is kernel.ColumnSum into zeros.
func (k *kernels) columnSum(sum, x Ptr, ldx, R, N int) error {
	a := k.begin()
	a.ptrs(sum, x)
	a.i32(ldx, R, N)
	return k.start(columnSum, blocks(N, 32), 1)
}

// segmentSum is kernel.SegmentSum into zeros: row v of sums (rows, N) is the sum of
// the rows list[first[v]] … list[first[v+1]-1] of x, in this order. first 0: it is
// row v of x. Columns from split on read x shift columns to the right.
func (k *kernels) segmentSum(sums Ptr, lds int, x Ptr, ldx int, first, list Ptr, rows, N, split, shift int) error {
	a := k.begin()
	a.ptrs(sums)
	a.i32(lds)
	a.ptrs(x)
	a.i32(ldx)
	a.ptrs(first, list)
	a.i32(N, split, shift)
	return k.start(segmentSum, rows, blocks(N, 128))
}

// gather sets y[r] = table[ids[r]] for R rows of K.
func (k *kernels) gather(y, table, ids Ptr, R, K int) error {
	a := k.begin()
	a.ptrs(y, table, ids)
	a.i32(K)
	return k.start(gatherRows, R, blocks(K, 128))
}

// sumSquares is kernel.SumSquares of all chunks of x (n).
func (k *kernels) sumSquares(sums, x Ptr, n int) error {
	a := k.begin()
	a.ptrs(sums, x)
	a.i32(n)
	return k.start(sumSquares, blocks(n, 8*4096), 1)
}

// adam is kernel.Adam, then kernel.Follow of mean, 0 for none. rates points at
// seven float32: the fields of kernel.AdamRates in order, then the rate of Follow.
func (k *kernels) adam(p, m, v, grad, mean Ptr, n int, rates Ptr) error {
	a := k.begin()
	a.ptrs(p, m, v, grad, mean)
	a.i32(n)
	a.ptrs(rates)
	return k.start(updateAdam, blocks(n, 256), 1)
}

// dropout is kernel.Mask.Apply of a mask of that threshold and scale; key points at
// its Key. dst may be src.
func (k *kernels) dropout(dst, src Ptr, n int, key Ptr, threshold uint16, scale float32) error {
	a := k.begin()
	a.ptrs(dst, src)
	a.i32(n)
	a.ptrs(key)
	a.i32(int(threshold))
	a.f32(scale)
	return k.start(applyDropout, blocks(n, 1024), 1)
}
