package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// Precision is the rounding of a product's factors. Sums are float32 in each.
type Precision int

const (
	FP32 Precision = iota // none: float32
	BF16                  // bfloat16: the upper half of a float32, rounded to nearest even
)

// String returns fp32 or bf16.
func (p Precision) String() string { return [...]string{"fp32", "bf16"}[p] }

// ParsePrecision is the inverse of String. Another name is an error.
func ParsePrecision(name string) (Precision, error) {
	for _, p := range []Precision{FP32, BF16} {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("kernel: precision is %q; use fp32 or bf16", name)
}

// Check returns an error where the variant in use cannot multiply in p.
//
// bfloat16 products are those of the processor's VDPBF16PS. The instruction adds
// the two products of a pair of terms to a float32 and takes subnormals as zero.
// There is no plain Go for it: every processor with the instruction gives the
// same bits.
func (p Precision) Check() error {
	if p == FP32 || use.half != nil {
		return nil
	}
	return fmt.Errorf("kernel: this processor, or the variant %s, has no bfloat16 products (AVX512-BF16); fp32 works everywhere", use.name)
}

// tile returns the innermost product of p in the variant in use.
func (p Precision) tile() tile {
	if p == BF16 {
		return use.half.tile
	}
	return use.tile
}

// Words returns the number of words of K values in the form that a product
// reads. A word is one float32, or two bfloat16 with the earlier value in the
// lower half.
func (p Precision) Words(K int) int {
	if p == BF16 {
		return (K + 1) / 2
	}
	return K
}

// Put writes src into the words dst, as values at … at+len(src)-1. dst must have
// Words(at+len(src)) words and not overlap src.
func (p Precision) Put(dst []float32, at int, src []float32) {
	if p == FP32 {
		copy(dst[at:], src)
		return
	}
	halves := unsafe.Slice((*uint16)(unsafe.Pointer(&dst[0])), 2*len(dst))[at : at+len(src)]
	n := whole(len(src))
	if n > 0 {
		use.half.toBF16(n, &halves[0], &src[0])
	}
	for i := n; i < len(src); i++ {
		halves[i] = toBF16(src[i])
	}
}

// toBF16 returns the upper half of x, rounded to nearest even; NaN stays NaN.
func toBF16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16 | 1<<6)
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}

// pairBF16 arranges n rows of src, w columns each, as pairs of rows: column j
// of rows 2i and 2i+1 becomes word j of row i of dst. An odd last row is paired
// with zeros. Strides are in values.
func pairBF16(dst []float32, dstRow int, src []float32, srcRow, n, w int) {
	if pairs := n / 2; pairs > 0 && w > 0 {
		_, _ = dst[(pairs-1)*dstRow+w-1], src[(2*pairs-1)*srcRow+w-1]
		for j := 0; j < w; j += 32 {
			masks := uint64(1)<<min(32, w-j) - 1
			use.half.pairBF16(pairs, &dst[j], 4*dstRow, &src[j], 4*srcRow, masks)
		}
	}
	if n%2 == 1 {
		for j := range w {
			dst[n/2*dstRow+j] = math.Float32frombits(uint32(toBF16(src[(n-1)*srcRow+j])))
		}
	}
}

// packPairs copies w columns of b (K, w) to dst (⌈K/2⌉, cols) as pairs of rows.
func packPairs(dst, b []float32, brs, bcs, K, w, cols int) {
	if bcs == 1 {
		pairBF16(dst, cols, b, brs, K, w)
		return
	}
	if brs != 1 {
		panic("kernel: bfloat16 needs dense rows or columns")
	}
	var words [depth / 2]float32
	for j := 0; j < w; j++ {
		for k := 0; k < K; k += depth {
			n := min(depth, K-k)
			words[(n-1)/2] = 0 // an odd n leaves the upper half of its last word zero
			BF16.Put(words[:], 0, b[j*bcs+k:j*bcs+k+n])
			for i, x := range words[:(n+1)/2] {
				dst[(k/2+i)*cols+j] = x
			}
		}
	}
}
