package kernel

// SegmentSum adds columns lo … hi-1 of the rows of x to the rows of sums that
// their ids name:
//
//	sums[ids[r], j] += x[r, j]        r = 0 … R-1, in this order
//
//	x     R rows, ldx apart     ids  (R), or nil: row r to row r
//	sums  rows, lds apart
func SegmentSum(sums []float32, lds int, x []float32, ldx int, ids []int32, R, lo, hi int) {
	for r := 0; r < R; r++ {
		to := r
		if ids != nil {
			to = int(ids[r])
		}
		addTo(sums[to*lds+lo:to*lds+hi], x[r*ldx+lo:r*ldx+hi])
	}
}

// ColumnSum adds columns lo … hi-1 of the rows of x to sum: sum[j] += x[r, j]
// for r = 0 … R-1, in this order. x has R rows, ldx apart.
func ColumnSum(sum, x []float32, ldx, R, lo, hi int) {
	for r := 0; r < R; r++ {
		addTo(sum[lo:hi], x[r*ldx+lo:r*ldx+hi])
	}
}

// addTo adds src to dst. src is at least as long.
func addTo(dst, src []float32) {
	n := whole(len(dst))
	if n > 0 {
		use.addTo(n, &dst[0], &src[:len(dst)][0])
	}
	for i := n; i < len(dst); i++ {
		dst[i] += src[i]
	}
}

// sumChunk is the number of values in the lane sum of a chunk.
const sumChunk = 4096

// Chunks returns the number of sums that SumSquares makes of n values.
func Chunks(n int) int { return (n + sumChunk - 1) / sumChunk }

// SumSquares sets sums[i] to Σ x² over chunk i of 4096 values, a lane sum in
// float64, for i = lo … hi-1.
func SumSquares(sums []float64, x []float32, lo, hi int) {
	for i := lo; i < hi; i++ {
		sums[i] = sumSquares(x[i*sumChunk : min((i+1)*sumChunk, len(x))])
	}
}

func sumSquares(x []float32) float64 {
	if use.sumSquares != nil && len(x)%lanes == 0 {
		return use.sumSquares(len(x), &x[0])
	}
	var acc [lanes]float64
	for i, v := range x {
		// The product is exact, so fusing it with the sum changes nothing.
		acc[i%lanes] += float64(v) * float64(v)
	}
	for w := lanes / 2; w > 0; w /= 2 {
		for i := 0; i < w; i++ {
			acc[i] += acc[i+w]
		}
	}
	return acc[0]
}
