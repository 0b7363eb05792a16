package kernel

const (
	blockK = 256 // terms of a sum in a block of b
	blockN = 512 // columns of the block, which fills half of a core's own cache
	pad    = 16  // floats between the packed rows of a, which keep them out of each other's cache sets
)

// A product is the arguments of a Gemm.
type product struct {
	precision Precision
	M, N, K   int
	a         []float32
	ars, acs  int
	b         []float32
	brs, bcs  int
	init      []float32
	irs       int
	c         []float32
	crs       int
}

// Gemm computes a matrix product:
//
//	c[i,j] = init[i,j] + Σ_k a[i,k]·b[k,j]        k = 0 … K-1, in this order
//
// a is (M, K) with a[i,k] at i·ars + k·acs, b is (K, N) with b[k,j] at
// k·brs + j·bcs, so either may be read transposed; c is (M, N) with rows crs
// apart and dense columns. init has rows irs apart. With irs 0 every row of c
// starts from the same row of init, and with a nil init from zeros. init may be
// c. c must not overlap a or b. A team multiplies one product at a time.
func (t *Team) Gemm(M, N, K int, a []float32, ars, acs int, b []float32, brs, bcs int, init []float32, irs int, c []float32, crs int) {
	t.multiply(product{FP32, M, N, K, a, ars, acs, b, brs, bcs, init, irs, c, crs})
}

// GemmT computes c[i,j] = Σ_k a[k,i]·b[k,j] in a precision that Check allows: a
// (K, M) and b (K, N) have dense rows, ars and brs apart; c (M, N) has rows crs
// apart. c must not overlap a or b.
func (t *Team) GemmT(precision Precision, M, N, K int, a []float32, ars int, b []float32, brs int, c []float32, crs int) {
	t.multiply(product{precision, M, N, K, a, 1, ars, b, brs, 1, nil, 0, c, crs})
}

func (t *Team) multiply(p product) {
	if p.M <= 0 || p.N <= 0 {
		return
	}
	if p.init == nil {
		p.irs = 0
	}
	p.check()
	t.product = p
	t.Run(p.M*p.N*max(p.K, 1), t.gemm)
	t.product = product{}
}

// check panics where a shape reaches beyond its slice: a wrong shape is a
// wrongly built graph.
func (p *product) check() {
	if (p.M-1)*p.crs+p.N > len(p.c) || p.init != nil && (p.M-1)*p.irs+p.N > len(p.init) {
		panic("kernel: Gemm: c or init is too short for its shape")
	}
	if p.K > 0 && ((p.M-1)*p.ars+(p.K-1)*p.acs >= len(p.a) || (p.K-1)*p.brs+(p.N-1)*p.bcs >= len(p.b)) {
		panic("kernel: Gemm: an input is too short for its shape")
	}
}

// share computes w's part of c.
func (p *product) share(w *Worker) {
	i0, i1, j0, j1 := 0, p.M, 0, p.N
	if p.M >= p.N { // the larger factor is packed once, the smaller one by every worker
		i0, i1 = w.Range(p.M, use.rows)
	} else {
		j0, j1 = w.Range(p.N, use.cols)
	}
	if i0 >= i1 || j0 >= j1 {
		return
	}
	if p.K == 0 {
		p.start(i0, i1, j0, j1)
		return
	}
	if w.b == nil {
		w.b = aligned(blockK * blockN)
	}
	for j := j0; j < j1; j += blockN {
		for k := 0; k < p.K; k += blockK {
			p.block(w, i0, i1, j, min(j+blockN, j1), k, min(k+blockK, p.K))
		}
	}
}

// start sets a rectangle of c to init: the product of no terms.
func (p *product) start(i0, i1, j0, j1 int) {
	for i := i0; i < i1; i++ {
		dst := p.c[i*p.crs+j0 : i*p.crs+j1]
		if p.init == nil {
			clear(dst)
		} else {
			copy(dst, p.init[i*p.irs+j0:i*p.irs+j1])
		}
	}
}

// block adds terms k0 … k1-1 to a rectangle of c.
func (p *product) block(w *Worker, i0, i1, j0, j1, k0, k1 int) {
	n, cols := k1-k0, use.cols
	words, tile := p.precision.Words(n), p.precision.tile()
	for j := j0; j < j1; j += cols {
		dst, width := w.b[(j-j0)*words:(j-j0+cols)*words], min(cols, j1-j)
		if width < cols {
			clear(dst)
		}
		p.precision.pack(dst, p.b[k0*p.brs+j*p.bcs:], p.brs, p.bcs, n, width, cols)
	}
	init, irs := p.init, p.irs
	if k0 > 0 {
		init, irs = p.c, p.crs
	}
	blocks := (i1 - i0 + use.rows - 1) / use.rows
	for block := 0; block < blocks; block++ {
		i := i0 + (i1-i0)*block/blocks
		r := i0 + (i1-i0)*(block+1)/blocks - i
		a, ars, acs := p.rows(w, i, r, k0, n)
		for j := j0; j < j1; j += cols {
			f := zeros[:]
			if init != nil {
				f = init[i*irs+j:]
			}
			w.columns(tile, r, words, min(cols, j1-j), a, ars, acs, w.b[(j-j0)*words:], f, irs, p.c[i*p.crs+j:], p.crs)
		}
	}
}

// rows packs terms k0 … k0+n-1 of r rows of a into w.a, and returns them with
// their strides in words.
func (p *product) rows(w *Worker, i, r, k0, n int) (a []float32, ars, acs int) {
	if w.a == nil {
		w.a = aligned(use.rows * (blockK + pad))
	}
	src := p.a[i*p.ars+k0*p.acs:]
	if p.precision == BF16 {
		pairBF16(w.a, r, src, p.acs, n, r)
		return w.a, 1, r
	}
	if p.acs == 1 {
		for q := 0; q < r; q++ {
			copy(w.a[q*(blockK+pad):], src[q*p.ars:q*p.ars+n])
		}
		return w.a, blockK + pad, 1
	}
	if p.ars == 1 {
		copyRows(w.a, r, src, p.acs, n, r)
		return w.a, 1, r
	}
	for k := 0; k < n; k++ {
		dst := w.a[k*r : (k+1)*r]
		for q := range dst {
			dst[q] = src[q*p.ars+k*p.acs]
		}
	}
	return w.a, 1, r
}
