// The kernels of a training on a GPU. Each computes, to the bit, what the function of model/kernel named in its comment
// computes; a block's size is that of the table in kernels.go. Go launches them (kernels.go); gen.sh compiles them.
//
// The rules that make the bits those of the processor:
//   - a dot product is one chain of FMA in index order, by one thread; other sums have the order of model/kernel
//   - -ffp-contract=off: clang writes .rn on every operation, which no later compiler may fuse or reorder
//   - no term is added to fill a tile: fma(0, 0, -0) is +0
//
// Letters: T time steps, B batch, H hidden width, V vocabulary, R = T·B rows, G gates. Offsets into (R, …) have 64 bits.

typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

// One block on a multiprocessor is enough: the assembler may use as many registers as loads on their way need.
#define KERNEL(threads) extern "C" __attribute__((global, launch_bounds(threads, 1))) void
#define DEVICE static inline __attribute__((device, always_inline))
#define SHARED __attribute__((shared))
#define ALIGNED __attribute__((aligned(16)))
#define UNROLL _Pragma("unroll")

#define thread_x ((int)__nvvm_read_ptx_sreg_tid_x())
#define block_x ((int)__nvvm_read_ptx_sreg_ctaid_x())
#define block_y ((int)__nvvm_read_ptx_sreg_ctaid_y())
#define barrier() __syncthreads()
#define fma(a, b, c) __nvvm_fma_rn_f(a, b, c)
#define fma64(a, b, c) __nvvm_fma_rn_d(a, b, c)

DEVICE float as_float(u32 x) { return __builtin_bit_cast(float, x); }
DEVICE u32 bits(float x) { return __builtin_bit_cast(u32, x); }
DEVICE double as_double(u64 x) { return __builtin_bit_cast(double, x); }
DEVICE u64 bits64(double x) { return __builtin_bit_cast(u64, x); }
DEVICE int least(int a, int b) { return a < b ? a : b; }

// kernel.Exp
DEVICE float exp_(float x) {
	if (x < -87.f) return 0.f;
	if (x > 88.375f) x = 88.375f;
	float t = fma(x, 1.44269504f, 12582912.f);
	float n = t - 12582912.f;
	float r = fma(n, -0.693359375f, x);
	r = fma(n, 2.12194440e-4f, r);
	float p = 0.0013814467f;
	p = fma(p, r, 0.008368781f);
	p = fma(p, r, 0.041668393f);
	p = fma(p, r, 0.1666652f);
	p = fma(p, r, 0.49999994f);
	p = fma(p, r * r, r);
	p = p + 1.f;
	return p * as_float((bits(t) << 23) + 0x3f800000u);
}

DEVICE float abs_(float x) { return as_float(bits(x) & 0x7fffffffu); }

// kernel.Sigmoid
DEVICE float sigmoid(float x) {
	float e = exp_(-abs_(x));
	return (x < 0.f ? e : 1.f) / (1.f + e);
}

// kernel.Tanh
DEVICE float tanh_(float x) {
	float a = abs_(x);
	if (a < 0.625f) {
		float u = x * x, p = -0.0056812926f;
		p = fma(p, u, 0.020618634f);
		p = fma(p, u, -0.0537337f);
		p = fma(p, u, 0.13331373f);
		p = fma(p, u, -0.3333328f);
		return fma(p, u * x, x);
	}
	float e = exp_(-2.f * a);
	float t = (1.f - e) / (1.f + e);
	return as_float(bits(t) | (bits(x) & 0x80000000u));
}

// kernel.Log, of a float32 that has been widened: no argument is subnormal.
DEVICE double log_(double x) {
	if (!(x > 0)) return as_double(0x7ff8000000000001ull);
	if (bits64(x) == 0x7ff0000000000000ull) return x;
	int e = (int)(bits64(x) >> 52) - 1022;
	double m = as_double((bits64(x) & 0x000fffffffffffffull) | 0x3fe0000000000000ull);
	if (m < 0.70710678118654752440) {
		m = m * 2;
		e--;
	}
	double s = (m - 1) / (m + 1), u = s * s, p = 1.0 / 23;
	UNROLL for (int k = 21; k >= 3; k -= 2) p = fma64(p, u, 1.0 / k);
	double t = fma64(2 * s * u, p, 2 * s);
	return fma64((double)e, 0x1.62e42fee00000p-1, fma64((double)e, 0x1.a39ef35793c76p-33, t));
}

typedef float f4 __attribute__((ext_vector_type(4)));

// vector is the aligned values at p. (Of an array clang would believe the alignment of its elements.)
template <typename V> DEVICE V &vector(float *p) { return *(V *)p; }

// ---- Products: kernel.Team.Gemm

// A block of 128 threads computes a tile of c, 16·RM by 8·RN, and a thread RM rows by RN columns of it, which lie in vectors of up to
// four. While the block multiplies depth terms in shared memory, the next are on their way to registers. Beyond an edge the last row or
// column is read again; no term is multiplied twice.
//   a_across  term k of row i of a is at k·lda + i, else at i·lda + k    b_across  so for the columns of b
template <int RM, int RN, int depth, bool a_across, bool b_across>
DEVICE void gemm(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int crs) {
	enum { TM = 16 * RM, TN = 8 * RN, VM = RM < 4 ? RM : 4, VN = RN < 4 ? RN : 4, LA = TM * depth / 128, LB = TN * depth / 128 };
	typedef float vm __attribute__((ext_vector_type(VM)));
	typedef float vn __attribute__((ext_vector_type(VN)));
	SHARED ALIGNED float as[2][depth][TM + 4];
	SHARED ALIGNED float bs[2][depth][TN + 4];
	int t = thread_x, i0 = block_x * TM, j0 = block_y * TN;
	auto row = [=](int i) { return t / 8 * VM + i / VM * 16 * VM + i % VM; };
	auto column = [=](int j) { return t % 8 * VN + j / VN * 8 * VN + j % VN; };
	float acc[RM][RN];
	UNROLL for (int i = 0; i < RM; i++)
		UNROLL for (int j = 0; j < RN; j++)
			acc[i][j] = init ? init[(i64)least(i0 + row(i), M - 1) * irs + least(j0 + column(j), N - 1)] : 0.f;

	// A thread brings LA values of a and LB of b: value l is of that row or column, and that term.
	auto a_row = [=](int l) { return a_across ? t % TM : t / depth + l * (128 / depth); };
	auto a_term = [=](int l) { return a_across ? t / TM + l * (128 / TM) : t % depth; };
	auto b_column = [=](int l) { return b_across ? t % TN : t / depth + l * (128 / depth); };
	auto b_term = [=](int l) { return b_across ? t / TN + l * (128 / TN) : t % depth; };
	auto a_at = [=](int l, int k0) {
		i64 i = least(i0 + a_row(l), M - 1), k = k0 + a_term(l);
		return a[a_across ? k * lda + i : i * lda + k];
	};
	auto b_at = [=](int l, int k0) {
		i64 j = least(j0 + b_column(l), N - 1), k = k0 + b_term(l);
		return b[b_across ? k * ldb + j : j * ldb + k];
	};
	struct terms {
		float a[LA], b[LB];
	};
	auto fetch = [=](int k0) {
		terms x;
		UNROLL for (int l = 0; l < LA; l++) x.a[l] = a_at(l, k0);
		UNROLL for (int l = 0; l < LB; l++) x.b[l] = b_at(l, k0);
		return x;
	};
	auto store = [=](int s, const terms &x) {
		UNROLL for (int l = 0; l < LA; l++) as[s][a_term(l)][a_row(l)] = x.a[l];
		UNROLL for (int l = 0; l < LB; l++) bs[s][b_term(l)][b_column(l)] = x.b[l];
	};
	auto multiply = [&](int s, int k) {
		vm x[RM / VM];
		vn y[RN / VN];
		UNROLL for (int i = 0; i < RM / VM; i++) x[i] = vector<vm>(&as[s][k][row(i * VM)]);
		UNROLL for (int j = 0; j < RN / VN; j++) y[j] = vector<vn>(&bs[s][k][column(j * VN)]);
		UNROLL for (int i = 0; i < RM; i++)
			UNROLL for (int j = 0; j < RN; j++) acc[i][j] = fma(x[i / VM][i % VM], y[j / VN][j % VN], acc[i][j]);
	};
	int whole = K / depth * depth, rest = K - whole, s = 0;
	terms next; // on its way while the block multiplies
	if (whole > 0) {
		store(0, fetch(0));
		next = fetch(least(depth, whole - depth));
		barrier();
	}
	for (int k0 = depth; k0 <= whole; k0 += depth, s ^= 1) {
		UNROLL for (int k = 0; k < depth; k++) multiply(s, k);
		if (k0 < whole) {
			store(s ^ 1, next);
			next = fetch(least(k0 + depth, whole - depth));
		}
		barrier();
	}
	if (rest > 0) {
		for (int l = 0; l < LA; l++)
			if (a_term(l) < rest) as[0][a_term(l)][a_row(l)] = a_at(l, whole);
		for (int l = 0; l < LB; l++)
			if (b_term(l) < rest) bs[0][b_term(l)][b_column(l)] = b_at(l, whole);
		barrier();
		for (int k = 0; k < rest; k++) multiply(0, k);
	}
	UNROLL for (int i = 0; i < RM; i++)
		UNROLL for (int j = 0; j < RN; j++) {
			int r = i0 + row(i), q = j0 + column(j);
			if (r < M && q < N) c[(i64)r * crs + q] = acc[i][j];
		}
}

#define GEMM(name, a_across, b_across) \
	KERNEL(128) name(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int ldc) { \
		gemm<8, 8, 8, a_across, b_across>(M, N, K, a, lda, b, ldb, init, irs, c, ldc); \
	} \
	KERNEL(128) name##_small(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int ldc) { \
		gemm<2, 4, 32, a_across, b_across>(M, N, K, a, lda, b, ldb, init, irs, c, ldc); \
	}

// c = init + a·bᵀ    a (M, K)  b (N, K)  c (M, N), rows lda, ldb and ldc apart; init has rows irs apart, 0 for one row; null: zeros
// Grid (M/128, N/64); small: (M/32, N/32).
GEMM(gemm_nt, false, false)

// c = init + a·b    a (M, K)  b (K, N)
GEMM(gemm_nn, false, true)

// c = init + aᵀ·b    a (K, M)  b (K, N)
GEMM(gemm_tn, true, true)

// ---- Time steps of the recurrent layers

// kernel.TmpWidth
DEVICE i64 tmp_width(int H) { return 4 * (i64)H + 16; }

// A block has 32 batch rows and C·L columns of weights, and a thread rows row and row + 16 of C columns that are L apart, so that the
// block has 16·L threads. A warp is 4 rows by 8 columns: its reads of shared memory meet in no bank.
template <int L> DEVICE int row_of() { return thread_x % 32 / 8 + thread_x / 32 / (L / 8) * 4; }
template <int L> DEVICE int column_of() { return thread_x % 8 + thread_x / 32 % (L / 8) * 8; }

// recurrent adds K terms to a thread's sums. While the block multiplies depth terms in shared memory, the next are on their way to
// registers.
//   x  the block's first batch row; rows are x_row apart, and the last of rows is read again; V values are loaded at once
//   w  term k of column n is at w[at(n) + k·stride]; where across, neighbouring columns are neighbours in memory, else terms: stride is 1
template <int C, int L, int depth, int V, bool across, typename At>
DEVICE void recurrent(int K, const float *x, int x_row, int rows, const float *w, At at, u32 stride, float acc[2][C]) {
	enum { threads = 16 * L, N = C * L, LX = 32 * depth / V / threads, LW = N * depth / threads };
	typedef float value __attribute__((ext_vector_type(V)));
	SHARED ALIGNED float both[2][32 + N][depth + 4]; // rows of x, then columns of w
	int t = thread_x, row = row_of<L>(), column = 32 + column_of<L>();

	// A thread brings LX vectors of a row of x, and of w LW terms of a column where across, else LK terms of each of LN columns.
	// Neighbours in a warp read neighbours in memory, and the offsets of a thread's loads are known as far as can be.
	enum { x_side = threads / 32, side = N % 32 ? 16 : 8, LK = across ? LW : depth / side, LN = LW / LK };
	int x_at = t / x_side, x_term = t % x_side * V;
	int w_at = across ? t % N : t / side, w_term = across ? t / N : t % side;
	const float *mine = x + least(x_at, rows - 1) * x_row + x_term;
	int offset[LN];
	UNROLL for (int n = 0; n < LN; n++) offset[n] = at(w_at + n * (threads / side));
	struct terms {
		value x[LX];
		float w[LN][LK];
	};
	auto fetch = [&](int k0) {
		terms y;
		UNROLL for (int l = 0; l < LX; l++) y.x[l] = *(const value *)(mine + k0 + l * x_side * V);
		UNROLL for (int n = 0; n < LN; n++) {
			const float *p = w + (i64)(k0 + w_term) * stride + offset[n];
			UNROLL for (int l = 0; l < LK; l++) y.w[n][l] = p[across ? (u64)stride * (l * (threads / N)) : l * side];
		}
		return y;
	};
	auto store = [&](int s, const terms &y) {
		UNROLL for (int l = 0; l < LX; l++) vector<value>(&both[s][x_at][x_term + l * x_side * V]) = y.x[l];
		UNROLL for (int n = 0; n < LN; n++)
			UNROLL for (int l = 0; l < LK; l++) both[s][32 + w_at + n * (threads / side)][w_term + l * (across ? threads / N : side)] = y.w[n][l];
	};
	int whole = K / depth * depth, rest = K - whole, s = 0;
	terms next; // on its way while the block multiplies
	if (whole > 0) {
		store(0, fetch(0));
		next = fetch(least(depth, whole - depth));
		barrier();
	}
	for (int k0 = depth; k0 <= whole; k0 += depth, s ^= 1) {
		UNROLL for (int k = 0; k < depth; k += 4) {
			f4 a[2], b[C];
			UNROLL for (int i = 0; i < 2; i++) a[i] = vector<f4>(&both[s][row + 16 * i][k]);
			UNROLL for (int j = 0; j < C; j++) b[j] = vector<f4>(&both[s][column + L * j][k]);
			UNROLL for (int q = 0; q < 4; q++)
				UNROLL for (int i = 0; i < 2; i++)
					UNROLL for (int j = 0; j < C; j++) acc[i][j] = fma(a[i][q], b[j][q], acc[i][j]);
		}
		if (k0 < whole) {
			store(s ^ 1, next);
			next = fetch(least(k0 + depth, whole - depth));
		}
		barrier();
	}
	if (rest == 0) return;
	for (int e = t; e < (32 + N) * depth; e += threads) {
		int n = e / depth, k = e % depth;
		if (k < rest) both[0][n][k] = n < 32 ? x[least(n, rows - 1) * x_row + whole + k] : w[at(n - 32) + (i64)(whole + k) * stride];
	}
	barrier();
	for (int k = 0; k < rest; k++)
		UNROLL for (int i = 0; i < 2; i++)
			UNROLL for (int j = 0; j < C; j++) acc[i][j] = fma(both[0][row + 16 * i][k], both[0][column + L * j][k], acc[i][j]);
}

// forward computes W_hh·h + b_hh for the G gates of unit u in batch rows b and b + 16. A block has 32 rows and 16 units.
template <int G>
DEVICE void forward(int B, int H, const float *whh, const float *bhh, const float *h, float acc[2][G], int *u, int *b) {
	int u0 = block_x * 16, b0 = block_y * 32;
	*u = u0 + column_of<16>();
	*b = b0 + row_of<16>();
	UNROLL for (int g = 0; g < G; g++) acc[0][g] = acc[1][g] = bhh[(i64)g * H + least(*u, H - 1)];
	recurrent<G, 16, 32, 1, false>(H, h + (i64)b0 * H, H, B - b0, whh,
		[=](int n) { return (n / 16 * H + least(u0 + n % 16, H - 1)) * H; }, 1, acc);
}

// kernel.GRUForward with the product before it. Grid (H/16, B/32).
//   x (…, 3H): batch row b reads row ids[b], or row b where ids is null    whh (3H, H)  bhh (3H)
//   h (B, H) before the step  out (B, H) after it  tmp (B, TmpWidth): r z a_n n for the way back, or null
KERNEL(256) gru_forward(int B, int H, const float *x, const int *ids, const float *whh, const float *bhh, const float *h, float *out, float *tmp) {
	float acc[2][3];
	int u, b0;
	forward<3>(B, H, whh, bhh, h, acc, &u, &b0);
	UNROLL for (int i = 0; i < 2; i++) {
		int b = b0 + 16 * i;
		if (u >= H || b >= B) continue;
		const float *xr = x + (i64)(ids ? ids[b] : b) * 3 * H + u;
		i64 at = (i64)b * H + u;
		float r = sigmoid(xr[0] + acc[i][0]);
		float z = sigmoid(xr[H] + acc[i][1]);
		float n = tanh_(fma(r, acc[i][2], xr[2 * (i64)H]));
		out[at] = fma(z, h[at] - n, n);
		if (!tmp) continue;
		float *p = tmp + b * tmp_width(H) + u;
		p[0] = r;
		p[H] = z;
		p[2 * (i64)H] = acc[i][2];
		p[3 * (i64)H] = n;
	}
}

// kernel.LSTMForward with the product before it. Grid (H/16, B/32).
//   x, ids, h, out, tmp (i f g o) as for the GRU    whh (4H, H)  bhh (4H)    c (B, H) before the step  c_out after it, may be c
KERNEL(256) lstm_forward(int B, int H, const float *x, const int *ids, const float *whh, const float *bhh, const float *h, const float *c,
                         float *c_out, float *out, float *tmp) {
	float acc[2][4];
	int u, b0;
	forward<4>(B, H, whh, bhh, h, acc, &u, &b0);
	UNROLL for (int j = 0; j < 2; j++) {
		int b = b0 + 16 * j;
		if (u >= H || b >= B) continue;
		const float *xr = x + (i64)(ids ? ids[b] : b) * 4 * H + u;
		i64 at = (i64)b * H + u;
		float i = sigmoid(xr[0] + acc[j][0]);
		float f = sigmoid(xr[H] + acc[j][1]);
		float g = tanh_(xr[2 * (i64)H] + acc[j][2]);
		float o = sigmoid(xr[3 * (i64)H] + acc[j][3]);
		float cell = fma(f, c[at], i * g);
		c_out[at] = cell;
		out[at] = o * tanh_(cell);
		if (!tmp) continue;
		float *p = tmp + b * tmp_width(H) + u;
		p[0] = i;
		p[H] = f;
		p[2 * (i64)H] = g;
		p[3 * (i64)H] = o;
	}
}

// backward adds to d the gradient that reaches units u and u + 8 of batch rows b and b + 16 through W_hh. A block has 32 rows and 16
// units.
//   next (B, TmpWidth), aligned to 16 bytes: gradients of the G gates of the step after    whh (G·H, H)
template <int G>
DEVICE void backward(int B, int H, const float *next, const float *whh, float d[2][2]) {
	int u0 = block_x * 16, b0 = block_y * 32;
	recurrent<2, 8, 64, 4, true>(G * H, next + b0 * tmp_width(H), tmp_width(H), B - b0, whh, [=](int n) { return least(u0 + n, H - 1); }, H, d);
}

// kernel.GRUBackward with the product through W_hh of the step after it before it. Grid (H/16, B/32).
//   next (B, TmpWidth): gradients of the step after; null for the last step, which has none: dh is then not read
//   tmp  (B, TmpWidth): from r z a_n n to the gradients of a_r = x_r, a_z = x_z, a_n and x_n
//   h (B, H) before the step  dout (B, H)  dh (B, H): the part of the gradient of the hidden that goes past W_hh, in and out
KERNEL(128) gru_backward(int B, int H, const float *next, const float *whh, float *tmp, const float *h, const float *dout, float *dh) {
	float d[2][2] = {};
	int u0 = block_x * 16 + column_of<8>(), b0 = block_y * 32 + row_of<8>();
	if (next) {
		UNROLL for (int i = 0; i < 2; i++)
			UNROLL for (int j = 0; j < 2; j++) d[i][j] = dh[(i64)least(b0 + 16 * i, B - 1) * H + least(u0 + 8 * j, H - 1)];
		backward<3>(B, H, next, whh, d);
	}
	UNROLL for (int i = 0; i < 2; i++)
		UNROLL for (int j = 0; j < 2; j++) {
			int u = u0 + 8 * j, b = b0 + 16 * i;
			if (u >= H || b >= B) continue;
			i64 at = (i64)b * H + u;
			float *p = tmp + b * tmp_width(H) + u;
			float r = p[0], z = p[H], an = p[2 * (i64)H], n = p[3 * (i64)H];
			float all = d[i][j] + dout[at];
			float dxn = all * (1.f - z) * fma(-n, n, 1.f);
			p[0] = dxn * an * (r * (1.f - r));
			p[H] = all * (h[at] - n) * (z * (1.f - z));
			p[2 * (i64)H] = dxn * r;
			p[3 * (i64)H] = dxn;
			dh[at] = all * z;
		}
}

// kernel.LSTMBackward with the product through W_hh of the step after it before it. Grid (H/16, B/32).
//   next, dout as for the GRU    tmp: from i f g o to the gradients of their pre-activations
//   c, c_out (B, H) before and after the step    dc (B, H): the gradient of c_out from later steps, then that of c
KERNEL(128) lstm_backward(int B, int H, const float *next, const float *whh, float *tmp, const float *c, const float *c_out, const float *dout, float *dc) {
	float d[2][2] = {};
	int u0 = block_x * 16 + column_of<8>(), b0 = block_y * 32 + row_of<8>();
	if (next) backward<4>(B, H, next, whh, d);
	UNROLL for (int k = 0; k < 2; k++)
		UNROLL for (int j = 0; j < 2; j++) {
			int u = u0 + 8 * j, b = b0 + 16 * k;
			if (u >= H || b >= B) continue;
			i64 at = (i64)b * H + u;
			float *p = tmp + b * tmp_width(H) + u;
			float i = p[0], f = p[H], g = p[2 * (i64)H], o = p[3 * (i64)H];
			float tc = tanh_(c_out[at]);
			float dh = d[k][j] + dout[at];
			float cell = fma(dh * o, fma(-tc, tc, 1.f), next ? dc[at] : 0.f);
			p[0] = cell * g * (i * (1.f - i));
			p[H] = cell * c[at] * (f * (1.f - f));
			p[2 * (i64)H] = cell * i * fma(-g, g, 1.f);
			p[3 * (i64)H] = dh * tc * (o * (1.f - o));
			dc[at] = cell * f;
		}
}

// ---- The loss and the sums

// kernel.CrossEntropy. 16 threads a row, one for each running sum of the lane sum. Grid (R/8).
//   losses (R)  dlogits (R, V), may be logits, or null  logits (R, V)  targets (R)
KERNEL(128) cross_entropy(double *losses, float *dlogits, const float *logits, const int *targets, float scale, int R, int V) {
	SHARED float lanes[8][16];
	int lane = thread_x % 16;
	i64 row = (i64)block_x * 8 + thread_x / 16;
	float *mine = lanes[thread_x / 16];
	int n = row < R ? V : 0, target = 0;
	const float *l = logits + row * V;
	float *e = dlogits + row * V;
	float top = 0.f, hit = 0.f, sum = 0.f;
	if (n > 0) {
		target = targets[row];
		top = l[0]; // where this is NaN nothing is greater
		hit = l[target];
	}
	for (int v = lane; v < n; v += 16)
		if (l[v] > top) top = l[v];
	mine[lane] = top;
	barrier();
	for (int w = 8; w > 0; w /= 2) {
		if (lane < w && mine[lane + w] > mine[lane]) mine[lane] = mine[lane + w];
		barrier();
	}
	top = mine[0];
	barrier();
	for (int v = lane; v < n; v += 16) {
		float x = exp_(l[v] - top);
		if (dlogits) e[v] = x;
		sum = sum + x;
	}
	mine[lane] = sum;
	barrier();
	for (int w = 8; w > 0; w /= 2) {
		if (lane < w) mine[lane] = mine[lane] + mine[lane + w];
		barrier();
	}
	sum = mine[0];
	if (lane == 0 && n > 0) losses[row] = log_((double)sum) + ((double)top - (double)hit);
	if (!dlogits) return;
	float k = scale / sum;
	for (int v = lane; v < n; v += 16) {
		float x = e[v] * k;
		e[v] = v == target ? x - scale : x;
	}
}

// kernel.ColumnSum from zeros: sum[j] = Σ_r x[r, j]    x (R, N), rows ldx apart. Grid (N/32).
// A block has 32 columns. Its first 32 threads add up what all have brought, while the next 128 rows are on their way.
KERNEL(256) column_sum(float *sum, const float *x, int ldx, int R, int N) {
	enum { rows = 128, L = rows / 8 };
	SHARED float xs[2][rows][32];
	int column = thread_x % 32, row = thread_x / 32, j = block_x * 32 + column, s = 0;
	x += least(j, N - 1);
	float next[L], total = 0.f;
	UNROLL for (int l = 0; l < L; l++) next[l] = x[(i64)least(row + 8 * l, R - 1) * ldx];
	for (int r = 0; r < R; r += rows, s ^= 1) {
		UNROLL for (int l = 0; l < L; l++) xs[s][row + 8 * l][column] = next[l];
		UNROLL for (int l = 0; l < L; l++) next[l] = x[(i64)least(r + rows + row + 8 * l, R - 1) * ldx];
		barrier();
		if (row == 0)
			for (int k = 0; k < least(rows, R - r); k++) total = total + xs[s][k][column];
	}
	if (row == 0 && j < N) sum[j] = total;
}

// kernel.SegmentSum from zeros. Grid (rows, N/128).
//   sums[v, j] = Σ x[r, j]    r = list[first[v]] … list[first[v+1]-1], or v alone where first is null    rows lds and ldx apart
// Columns from split on read x shift columns to the right: the GRU's x_n lies behind its a_n.
KERNEL(128) segment_sum(float *sums, int lds, const float *x, int ldx, const int *first, const int *list, int N, int split, int shift) {
	int v = block_x, j = block_y * 128 + thread_x;
	if (j >= N) return;
	x += j < split ? j : j + shift;
	int from = first ? first[v] : v, to = first ? first[v + 1] : v + 1;
	float s = 0.f;
	for (int i = from; i < to; i += 8) { // eight loads on their way at once
		float next[8];
		UNROLL for (int l = 0; l < 8; l++) {
			int r = least(i + l, to - 1);
			next[l] = x[(i64)(first ? list[r] : r) * ldx];
		}
		UNROLL for (int l = 0; l < 8; l++)
			if (i + l < to) s = s + next[l];
	}
	sums[(i64)v * lds + j] = s;
}

// y[r] = table[ids[r]]    table (…, K)  ids (R)  y (R, K). Grid (R, K/128).
KERNEL(128) gather(float *y, const float *table, const int *ids, int K) {
	int r = block_x, k = block_y * 128 + thread_x;
	if (k < K) y[(i64)r * K + k] = table[(i64)ids[r] * K + k];
}

// kernel.SumSquares. 16 threads a chunk of 4096 values, one for each running sum. Grid (chunks/8).
//   sums (chunks)  x (n)
KERNEL(128) sum_squares(double *sums, const float *x, int n) {
	SHARED double lanes[8][16];
	int lane = thread_x % 16;
	i64 chunk = (i64)block_x * 8 + thread_x / 16, from = chunk * 4096, to = from + 4096 < n ? from + 4096 : n;
	double *mine = lanes[thread_x / 16], s = 0;
	for (i64 i = from + lane; i < to; i += 16) s = fma64((double)x[i], (double)x[i], s);
	mine[lane] = s;
	barrier();
	for (int w = 8; w > 0; w /= 2) {
		if (lane < w) mine[lane] = mine[lane] + mine[lane + w];
		barrier();
	}
	if (lane == 0 && from < n) sums[chunk] = mine[0];
}

// ---- The update and dropout

// kernel.Adam, then kernel.Follow where mean is given. Grid (n/256).
//   p, m, v, grad, mean (n); mean may be null    rates: the fields of kernel.AdamRates, then the rate of Follow
KERNEL(256) adam(float *p, float *m, float *v, const float *grad, float *mean, int n, const float *rates) {
	i64 i = (i64)block_x * 256 + thread_x;
	if (i >= n) return;
	float scale = rates[0], rate = rates[1], rest1 = rates[2], rest2 = rates[3], epsilon = rates[4], keep = rates[5];
	float g = grad[i] * scale;
	float mi = fma(rest1, g - m[i], m[i]);
	float vi = fma(rest2, fma(g, g, -v[i]), v[i]);
	float x = keep * p[i] - rate * mi / (__nvvm_sqrt_rn_f(vi) + epsilon);
	m[i] = mi;
	v[i] = vi;
	p[i] = x;
	if (mean) mean[i] = mean[i] + rates[6] * (x - mean[i]);
}

// kernel.Hash
DEVICE u64 hash(u64 x) {
	x += 0x9e3779b97f4a7c15ull;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

// kernel.Mask.Apply. A thread has the four values of a hash. Grid (n/1024).
//   dst, src (n), may be the same  key: one number
KERNEL(256) dropout(float *dst, const float *src, int n, const u64 *key, int threshold, float scale) {
	i64 four = (i64)block_x * 256 + thread_x;
	if (4 * four >= n) return;
	u64 drawn = hash(*key + (u64)four);
	for (i64 i = 4 * four; i < 4 * four + 4 && i < n; i++, drawn >>= 16) {
		float x = src[i] * scale;
		dst[i] = (int)(drawn & 0xffff) < threshold ? 0.f : x;
	}
}
