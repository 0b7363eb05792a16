package kernel

import "unsafe"

// Panels is the right-hand side of a product, (K, N), packed once and used many
// times: (N/cols, words of K, cols), where cols is Columns() and zeros fill the
// last panel. Different goroutines may pack different columns at once.
type Panels struct {
	K, N      int
	precision Precision
	words     int
	cols      int
	data      []float32
}

// NewPanels returns panels of zeros. The precision must be one that Check allows.
func NewPanels(K, N int, precision Precision) *Panels {
	p := &Panels{K: K, N: N, precision: precision, words: precision.Words(K), cols: use.cols}
	p.data = Floats((N + p.cols - 1) / p.cols * p.cols * p.words)
	return p
}

// Floats returns n zeros that start at a cache line, in large pages where the system
// gives them to those who ask.
func Floats(n int) []float32 {
	const line = 64
	x := make([]float32, n+line/4)
	largePages(x)
	off := (line - int(uintptr(unsafe.Pointer(&x[0]))%line)) % line / 4
	return x[off : off+n : off+n]
}

// Pack fills columns lo … hi-1 from b, with b[k,j] at k·brs + j·bcs. lo is a
// multiple of Columns; hi is another, or N. For BF16 one stride must be 1.
func (p *Panels) Pack(lo, hi int, b []float32, brs, bcs int) {
	for j := lo; j < hi; j += p.cols {
		p.precision.pack(p.data[j*p.words:(j+p.cols)*p.words], b[j*bcs:], brs, bcs, p.K, min(p.cols, p.N-j), p.cols)
	}
}

// pack copies w columns of b (K, w) to dst (words of K, cols). Other columns stay.
func (p Precision) pack(dst, b []float32, brs, bcs, K, w, cols int) {
	if p == BF16 {
		packPairs(dst, b, brs, bcs, K, w, cols)
		return
	}
	if bcs == 1 {
		copyRows(dst, cols, b, brs, K, w)
		return
	}
	// Sixteen rows at a time: their values in a column share a cache line of b.
	const rows = 16
	for k := 0; k < K; k += rows {
		n := min(rows, K-k)
		for j := 0; j < w; j++ {
			for i, at := 0, k*brs+j*bcs; i < n; i, at = i+1, at+brs {
				dst[(k+i)*cols+j] = b[at]
			}
		}
	}
}

// copyRows copies w columns of n rows of src; rows are dstRow and srcRow apart.
func copyRows(dst []float32, dstRow int, src []float32, srcRow, n, w int) {
	if n == 0 || w == 0 {
		return
	}
	_, _ = dst[(n-1)*dstRow+w-1], src[(n-1)*srcRow+w-1]
	if use.copyRows != nil {
		for j := 0; j < w; j += 32 {
			use.copyRows(n, &dst[j], 4*dstRow, &src[j], 4*srcRow, 1<<min(32, w-j)-1)
		}
		return
	}
	for i := 0; i < n; i++ {
		copy(dst[i*dstRow:i*dstRow+w], src[i*srcRow:])
	}
}

// depth is the number of words of a sum that are added before the next columns:
// a panel of that depth, and the rows multiplied by it, stay in a core's own
// cache.
const depth = 1024

// Multiply computes columns lo … hi-1 of c = init + a·b for M rows:
//
//	c[i,j] = init[i,j] + Σ_k a[i,k]·b[k,j]        k = 0 … K-1, in this order
//
// Row i of a starts at i·ars and holds the words of its K values, dense, as
// Precision.Put writes them. init and c start at column lo, with rows irs and crs
// apart. With irs 0 every row of c starts from the same row of init, and with a
// nil init from zeros. init may be c. c must not overlap a. lo is a multiple of
// Columns; hi is another, or N.
func (p *Panels) Multiply(w *Worker, M, lo, hi int, a []float32, ars int, init []float32, irs int, c []float32, crs int) {
	if M == 0 || lo >= hi {
		return
	}
	if init == nil {
		irs = 0
	}
	tile := p.precision.tile()
	for k := 0; k < p.words; k += depth {
		n := min(depth, p.words-k)
		for j := lo; j < hi; j += p.cols {
			f := zeros[:]
			if init != nil {
				f = init[j-lo:]
			}
			w.columns(tile, M, n, min(p.cols, hi-j), a[k:], ars, 1, p.data[j*p.words+k*p.cols:], f, irs, c[j-lo:], crs)
		}
		init, irs = c, crs
	}
}

// zeros starts the sums of a product without init.
var zeros [64]float32

// columns computes the n columns of one panel (k, cols) for M rows, in blocks
// of rows of about the same size.
func (w *Worker) columns(tile tile, M, k, n int, a []float32, ars, acs int, b, init []float32, irs int, c []float32, crs int) {
	blocks := (M + use.rows - 1) / use.rows
	for block := 0; block < blocks; block++ {
		i := M * block / blocks
		r := M*(block+1)/blocks - i
		if n == use.cols {
			tile(r, k, a[i*ars:], ars, acs, b, init[i*irs:], irs, c[i*crs:], crs)
			continue
		}
		w.edgeTile(tile, r, k, n, a[i*ars:], ars, acs, b, init[i*irs:], irs, c[i*crs:], crs)
	}
}

// edgeTile is tile for the n columns of a panel that is not full.
func (w *Worker) edgeTile(tile tile, r, k, n int, a []float32, ars, acs int, b, init []float32, irs int, c []float32, crs int) {
	cols := use.cols
	if len(w.edge) < use.rows*cols {
		w.edge = Floats(use.rows * cols)
	}
	for i := 0; i < r; i++ {
		copy(w.edge[i*cols:i*cols+n], init[i*irs:i*irs+n])
	}
	tile(r, k, a, ars, acs, b, w.edge, cols, w.edge, cols)
	for i := 0; i < r; i++ {
		copy(c[i*crs:i*crs+n], w.edge[i*cols:])
	}
}
