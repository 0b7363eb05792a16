package kernel

import (
	"fmt"
	"os"
	"strings"
)

// A variant is one implementation of the kernels. Its functions give the bits of
// the plain Go functions. Functions over vectors take n values, a multiple of
// lanes; plain Go does the rest. The signatures are those of the generated
// assembly.
type variant struct {
	name       string
	rows, cols int // of the largest tile
	lanes      int // values of a vector; 0 for plain Go

	// tile computes c = init + a·b for r rows (at most rows) and cols columns,
	// the sums in order of k = 0 … k-1, k > 0: a[i,k] at i·ars + k·acs, b (k,
	// cols) dense, init and c with rows irs and crs apart.
	tile tile

	gruForward   func(n int, xr, xz, xn, r, z, an, nn, h, out *float32)
	gruBackward  func(n int, r, z, an, nn, h, dout, dh *float32)
	lstmForward  func(n int, xi, xf, xg, xo, ai, af, ag, ao, c, cOut, out *float32)
	lstmBackward func(n int, ai, af, ag, ao, c, cOut, dout, dh, dc *float32)
	greatest     func(n int, src *float32, acc *[lanes]float32)                 // n is a multiple of 16
	expSum       func(n int, dst, src *float32, acc *[lanes]float32, m float32) // likewise
	scaleBy      func(n int, dst *float32, k float32)
	addTo        func(n int, dst, src *float32)
	adam         func(n int, p, m, v, grad *float32, rates *[6]float32)
	sumSquares   func(n int, src *float32) float64 // n is a multiple of 16

	// dropout is Mask.Apply for values whose first hash is that of key; n is a
	// multiple of 2·lanes.
	dropout func(n int, dst, src *float32, key uint64, threshold uint32, scale float32)

	// copyRows copies at most 32 columns of n rows: those that masks has bits for.
	// dstRow and srcRow are bytes. It may be nil.
	copyRows func(n int, dst *float32, dstRow int, src *float32, srcRow int, masks uint64)

	// half multiplies pairs of bfloat16; nil where the processor cannot.
	half *halfVariant

	peak func() (flops float64) // does flops operations as fast as the processor can
}

// A tile is the innermost product of a variant.
type tile func(r, k int, a []float32, ars, acs int, b, init []float32, irs int, c []float32, crs int)

// A halfVariant multiplies in bfloat16: tile counts pairs of terms, and a word
// of a or b is a pair. No plain Go defines the results; the processor does.
type halfVariant struct {
	tile     tile
	toBF16   func(n int, dst *uint16, src *float32) // n is a multiple of lanes
	pairBF16 func(pairs int, dst *float32, dstRow int, src *float32, srcRow int, masks uint64)
	peak     func() (flops float64)
}

// generic is plain Go: it defines the results.
var generic = &variant{name: "generic", rows: 4, cols: 4, lanes: 0, tile: tileGeneric, peak: peakGeneric}

// use is the variant in use. It changes before the first computation and in
// tests.
var (
	use    = generic
	useErr error
)

func init() { useErr = choose(os.Getenv("QUIRE_VARIANT")) }

// choose sets the variant: the fastest where name is empty.
func choose(name string) error {
	have := variants()
	if name == "" {
		use = have[len(have)-1]
		return nil
	}
	var names []string
	for _, v := range have {
		if v.name == name {
			use = v
			return nil
		}
		names = append(names, v.name)
	}
	return fmt.Errorf("kernel: QUIRE_VARIANT is %q, which this processor or build lacks; it has %s", name, strings.Join(names, ", "))
}

// Variant returns the name of the variant in use: generic, avx2, avx512 or neon. That
// is the variant that QUIRE_VARIANT names, or else the fastest of the processor.
// The error says that the processor or the build lacks the named variant.
func Variant() (string, error) { return use.name, useErr }

// Columns returns the number of columns that a product computes together. Work is
// best divided at multiples of it.
func Columns() int { return use.cols }

// wholeLanes returns the part of n that functions over lanes take.
func wholeLanes(n int) int {
	if use.lanes == 0 {
		return 0
	}
	return n - n%lanes
}

// whole returns the part of n that the variant's vector functions take.
func whole(n int) int {
	if use.lanes == 0 {
		return 0
	}
	return n - n%use.lanes
}
