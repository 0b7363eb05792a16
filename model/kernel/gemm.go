package kernel

const (
	blockK = 256  // terms of a sum in a block of b
	blockN = 512  // columns of the block, which fills half of a core's own cache
	pad    = 16   // floats between the packed rows of a, which keep them out of each other's cache sets
	blockM = 2048 // rows of a that are packed at once where they lie transposed
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
		w.b = Floats(blockK * blockN)
	}
	step := blockM
	if p.dense() {
		step = i1 - i0
	}
	for k := 0; k < p.K; k += blockK {
		n := min(blockK, p.K-k)
		for i := i0; i < i1; i += step {
			m := min(step, i1-i)
			if !p.dense() {
				p.turn(w, i, m, k, n)
			}
			for j := j0; j < j1; j += blockN {
				p.block(w, i, m, j, min(j+blockN, j1), k, n)
			}
		}
	}
}

// dense tells whether rows of a are packed just before they are multiplied, because
// their terms lie side by side.
func (p *product) dense() bool { return p.acs == 1 && p.precision == FP32 }

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

// block adds n terms from k on to columns j0 … j1-1 of the m rows of c from i on.
func (p *product) block(w *Worker, i, m, j0, j1, k, n int) {
	cols := use.cols
	words, tile := p.precision.Words(n), p.precision.tile()
	for j := j0; j < j1; j += cols {
		dst, width := w.b[(j-j0)*words:(j-j0+cols)*words], min(cols, j1-j)
		if width < cols {
			clear(dst)
		}
		p.precision.pack(dst, p.b[k*p.brs+j*p.bcs:], p.brs, p.bcs, n, width, cols)
	}
	init, irs := p.init, p.irs
	if k > 0 {
		init, irs = p.c, p.crs
	}
	for at, blocks := 0, tilesOf(m); at < blocks; at++ {
		from, r := tileOf(m, at, blocks)
		ars, acs, first := 1, r, from*words
		if p.dense() {
			ars, acs = p.rows(w, i+from, r, k, n)
			first = 0
		}
		a := w.a[first:]
		for j := j0; j < j1; j += cols {
			f := zeros[:]
			if init != nil {
				f = init[(i+from)*irs+j:]
			}
			w.columns(tile, r, words, min(cols, j1-j), a, ars, acs, w.b[(j-j0)*words:], f, irs, p.c[(i+from)*p.crs+j:], p.crs)
		}
	}
}

// tilesOf returns the number of tiles that m rows need, and tileOf the first row of
// one of them and its number of rows: all have about the same.
func tilesOf(m int) int { return (m + use.rows - 1) / use.rows }

func tileOf(m, tile, tiles int) (from, r int) {
	from = m * tile / tiles
	return from, m*(tile+1)/tiles - from
}

// rows copies n terms from k on of r dense rows of a into w.a, where they lie out of
// each other's cache sets, and returns their strides.
func (p *product) rows(w *Worker, i, r, k, n int) (ars, acs int) {
	w.a = grown(w.a, use.rows*(blockK+pad))
	for q := 0; q < r; q++ {
		at := (i+q)*p.ars + k
		copy(w.a[q*(blockK+pad):], p.a[at:at+n])
	}
	return blockK + pad, 1
}

// turn packs n terms from k on of m rows of a into w.a: (words, r) for each tile. A
// few terms of all rows at a time, because they lie side by side.
func (p *product) turn(w *Worker, i, m, k, n int) {
	const few = 8
	words := p.precision.Words(n)
	w.a = grown(w.a, m*words)
	tiles := tilesOf(m)
	for q := 0; q < n; q += few {
		count := min(few, n-q)
		src := p.a[i*p.ars+(k+q)*p.acs:]
		for at := range tiles {
			from, r := tileOf(m, at, tiles)
			dst := w.a[from*words+p.precision.Words(q)*r:]
			switch {
			case p.precision == BF16:
				pairBF16(dst, r, src[from:], p.acs, count, r)
			case p.ars == 1:
				copyRows(dst, r, src[from:], p.acs, count, r)
			default:
				for term := range count {
					for row := range r {
						dst[term*r+row] = src[(from+row)*p.ars+term*p.acs]
					}
				}
			}
		}
	}
}

// grown returns x, or where it is too short n new zeros.
func grown(x []float32, n int) []float32 {
	if len(x) >= n {
		return x
	}
	return Floats(n)
}
