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

#define KERNEL(threads) extern "C" __attribute__((global, launch_bounds(threads))) void
#define DEVICE static inline __attribute__((device, always_inline))
#define SHARED __attribute__((shared))
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

// ---- Products: kernel.Team.Gemm

// Rows and columns of a block's tile of c, and the terms that are in shared memory at once.
enum { tile = 64, depth = 16 };

// A block computes a tile of c (M, N), a thread of it a part of 4 by 4.
//   A(i, k), B(k, j)  offsets of the factors' values
template <typename A, typename B>
DEVICE void gemm(int M, int N, int K, const float *a, A at, const float *b, B bt, const float *init, int irs, float *c, int crs) {
	SHARED float as[depth][tile + 1];
	SHARED float bs[depth][tile + 1];
	int t = thread_x, i0 = block_x * tile, j0 = block_y * tile, row = t / 16, col = t % 16;
	float acc[4][4];
	UNROLL for (int i = 0; i < 4; i++)
		UNROLL for (int j = 0; j < 4; j++) {
			int r = i0 + row + 16 * i, q = j0 + col + 16 * j;
			acc[i][j] = init && r < M && q < N ? init[(i64)r * irs + q] : 0.f;
		}
	for (int k0 = 0; k0 < K; k0 += depth) {
		int n = least(depth, K - k0);
		for (int e = t; e < depth * tile; e += 256) {
			int k = e / tile, x = e % tile;
			as[k][x] = k < n && i0 + x < M ? a[at(i0 + x, k0 + k)] : 0.f;
			bs[k][x] = k < n && j0 + x < N ? b[bt(k0 + k, j0 + x)] : 0.f;
		}
		barrier();
		for (int k = 0; k < n; k++) {
			float x[4], y[4];
			UNROLL for (int i = 0; i < 4; i++) {
				x[i] = as[k][row + 16 * i];
				y[i] = bs[k][col + 16 * i];
			}
			UNROLL for (int i = 0; i < 4; i++)
				UNROLL for (int j = 0; j < 4; j++) acc[i][j] = fma(x[i], y[j], acc[i][j]);
		}
		barrier();
	}
	UNROLL for (int i = 0; i < 4; i++)
		UNROLL for (int j = 0; j < 4; j++) {
			int r = i0 + row + 16 * i, q = j0 + col + 16 * j;
			if (r < M && q < N) c[(i64)r * crs + q] = acc[i][j];
		}
}

// c = init + a·bᵀ    a (M, K)  b (N, K)  c (M, N), rows lda, ldb and ldc apart; init has rows irs apart, 0 for one row; null: zeros
// Grid (M/64, N/64).
KERNEL(256) gemm_nt(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int ldc) {
	gemm(M, N, K, a, [=](int i, int k) { return (i64)i * lda + k; }, b, [=](int k, int j) { return (i64)j * ldb + k; }, init, irs, c, ldc);
}

// c = init + a·b    a (M, K)  b (K, N)
KERNEL(256) gemm_nn(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int ldc) {
	gemm(M, N, K, a, [=](int i, int k) { return (i64)i * lda + k; }, b, [=](int k, int j) { return (i64)k * ldb + j; }, init, irs, c, ldc);
}

// c = init + aᵀ·b    a (K, M)  b (K, N)
KERNEL(256) gemm_tn(int M, int N, int K, const float *a, int lda, const float *b, int ldb, const float *init, int irs, float *c, int ldc) {
	gemm(M, N, K, a, [=](int i, int k) { return (i64)k * lda + i; }, b, [=](int k, int j) { return (i64)k * ldb + j; }, init, irs, c, ldc);
}

// ---- Time steps of the recurrent layers

// kernel.TmpWidth
DEVICE i64 tmp_width(int H) { return 4 * (i64)H + 16; }

enum { chunk = 32 }; // terms of a recurrent product in shared memory at once

// recurrent computes W_hh·h + b_hh of G gates. A block has 16 batch rows and 8 units, a thread the G sums of a unit.
template <int G>
DEVICE void recurrent(int B, int H, const float *whh, const float *bhh, const float *h, float acc[G]) {
	SHARED float hs[16][chunk + 1];
	SHARED float ws[G * 8][chunk + 1];
	int t = thread_x, unit = t % 8, row = t / 8, u0 = block_x * 8, b0 = block_y * 16, u = u0 + unit;
	UNROLL for (int g = 0; g < G; g++) acc[g] = u < H ? bhh[(i64)g * H + u] : 0.f;
	for (int k0 = 0; k0 < H; k0 += chunk) {
		int n = least(chunk, H - k0);
		for (int e = t; e < 16 * chunk; e += 128) {
			int b = e / chunk, k = e % chunk;
			hs[b][k] = b0 + b < B && k < n ? h[(i64)(b0 + b) * H + k0 + k] : 0.f;
		}
		for (int e = t; e < G * 8 * chunk; e += 128) {
			int g = e / chunk / 8, q = u0 + e / chunk % 8, k = e % chunk;
			ws[e / chunk][k] = q < H && k < n ? whh[((i64)g * H + q) * H + k0 + k] : 0.f;
		}
		barrier();
		for (int k = 0; k < n; k++)
			UNROLL for (int g = 0; g < G; g++) acc[g] = fma(hs[row][k], ws[8 * g + unit][k], acc[g]);
		barrier();
	}
}

// kernel.GRUForward with the product before it. Grid (H/8, B/16).
//   x (…, 3H): batch row b reads row ids[b], or row b where ids is null    whh (3H, H)  bhh (3H)
//   h (B, H) before the step  out (B, H) after it  tmp (B, TmpWidth): r z a_n n for the way back, or null
KERNEL(128) gru_forward(int B, int H, const float *x, const int *ids, const float *whh, const float *bhh, const float *h, float *out, float *tmp) {
	float acc[3];
	recurrent<3>(B, H, whh, bhh, h, acc);
	int u = block_x * 8 + thread_x % 8, b = block_y * 16 + thread_x / 8;
	if (u >= H || b >= B) return;
	const float *xr = x + (i64)(ids ? ids[b] : b) * 3 * H + u;
	i64 at = (i64)b * H + u;
	float r = sigmoid(xr[0] + acc[0]);
	float z = sigmoid(xr[H] + acc[1]);
	float n = tanh_(fma(r, acc[2], xr[2 * (i64)H]));
	out[at] = fma(z, h[at] - n, n);
	if (!tmp) return;
	float *p = tmp + b * tmp_width(H) + u;
	p[0] = r;
	p[H] = z;
	p[2 * (i64)H] = acc[2];
	p[3 * (i64)H] = n;
}

// kernel.LSTMForward with the product before it. Grid (H/8, B/16).
//   x, ids, h, out, tmp (i f g o) as for the GRU    whh (4H, H)  bhh (4H)    c (B, H) before the step  c_out after it, may be c
KERNEL(128) lstm_forward(int B, int H, const float *x, const int *ids, const float *whh, const float *bhh, const float *h, const float *c,
                         float *c_out, float *out, float *tmp) {
	float acc[4];
	recurrent<4>(B, H, whh, bhh, h, acc);
	int u = block_x * 8 + thread_x % 8, b = block_y * 16 + thread_x / 8;
	if (u >= H || b >= B) return;
	const float *xr = x + (i64)(ids ? ids[b] : b) * 4 * H + u;
	i64 at = (i64)b * H + u;
	float i = sigmoid(xr[0] + acc[0]);
	float f = sigmoid(xr[H] + acc[1]);
	float g = tanh_(xr[2 * (i64)H] + acc[2]);
	float o = sigmoid(xr[3 * (i64)H] + acc[3]);
	float cell = fma(f, c[at], i * g);
	c_out[at] = cell;
	out[at] = o * tanh_(cell);
	if (!tmp) return;
	float *p = tmp + b * tmp_width(H) + u;
	p[0] = i;
	p[H] = f;
	p[2 * (i64)H] = g;
	p[3 * (i64)H] = o;
}

// through adds to d the gradient that reaches the hidden of a block's 16 batch rows and 16 units through W_hh.
//   next (B, TmpWidth): gradients of the G gates of the step after    whh (G·H, H)
template <int G>
DEVICE float through(int B, int H, const float *next, const float *whh, float d) {
	SHARED float gs[16][chunk + 1];
	SHARED float ws[chunk][17];
	int t = thread_x, unit = t % 16, row = t / 16, u0 = block_x * 16, b0 = block_y * 16;
	for (int k0 = 0; k0 < G * H; k0 += chunk) {
		int n = least(chunk, G * H - k0);
		for (int e = t; e < 16 * chunk; e += 256) {
			int b = e / chunk, k = e % chunk;
			gs[b][k] = b0 + b < B && k < n ? next[(b0 + b) * tmp_width(H) + k0 + k] : 0.f;
		}
		for (int e = t; e < 16 * chunk; e += 256) {
			int k = e / 16, u = e % 16;
			ws[k][u] = u0 + u < H && k < n ? whh[(i64)(k0 + k) * H + u0 + u] : 0.f;
		}
		barrier();
		for (int k = 0; k < n; k++) d = fma(gs[row][k], ws[k][unit], d);
		barrier();
	}
	return d;
}

// kernel.GRUBackward with the product through W_hh of the step after it before it. Grid (H/16, B/16).
//   next (B, TmpWidth): gradients of the step after; null for the last step, which has none: dh is then not read
//   tmp  (B, TmpWidth): from r z a_n n to the gradients of a_r = x_r, a_z = x_z, a_n and x_n
//   h (B, H) before the step  dout (B, H)  dh (B, H): the part of the gradient of the hidden that goes past W_hh, in and out
KERNEL(256) gru_backward(int B, int H, const float *next, const float *whh, float *tmp, const float *h, const float *dout, float *dh) {
	int u = block_x * 16 + thread_x % 16, b = block_y * 16 + thread_x / 16;
	bool ok = u < H && b < B;
	i64 at = (i64)b * H + u;
	float d = 0.f;
	if (next) d = through<3>(B, H, next, whh, ok ? dh[at] : 0.f);
	if (!ok) return;
	float *p = tmp + b * tmp_width(H) + u;
	float r = p[0], z = p[H], an = p[2 * (i64)H], n = p[3 * (i64)H];
	d = d + dout[at];
	float dxn = d * (1.f - z) * fma(-n, n, 1.f);
	p[0] = dxn * an * (r * (1.f - r));
	p[H] = d * (h[at] - n) * (z * (1.f - z));
	p[2 * (i64)H] = dxn * r;
	p[3 * (i64)H] = dxn;
	dh[at] = d * z;
}

// kernel.LSTMBackward with the product through W_hh of the step after it before it. Grid (H/16, B/16).
//   next, dout as for the GRU    tmp: from i f g o to the gradients of their pre-activations
//   c, c_out (B, H) before and after the step    dc (B, H): the gradient of c_out from later steps, then that of c
KERNEL(256) lstm_backward(int B, int H, const float *next, const float *whh, float *tmp, const float *c, const float *c_out, const float *dout, float *dc) {
	int u = block_x * 16 + thread_x % 16, b = block_y * 16 + thread_x / 16;
	bool ok = u < H && b < B;
	i64 at = (i64)b * H + u;
	float d = 0.f, cell = 0.f;
	if (next) {
		d = through<4>(B, H, next, whh, 0.f);
		if (ok) cell = dc[at];
	}
	if (!ok) return;
	float *p = tmp + b * tmp_width(H) + u;
	float i = p[0], f = p[H], g = p[2 * (i64)H], o = p[3 * (i64)H];
	float tc = tanh_(c_out[at]);
	d = d + dout[at];
	cell = fma(d * o, fma(-tc, tc, 1.f), cell);
	p[0] = cell * g * (i * (1.f - i));
	p[H] = cell * c[at] * (f * (1.f - f));
	p[2 * (i64)H] = cell * i * fma(-g, g, 1.f);
	p[3 * (i64)H] = d * tc * (o * (1.f - o));
	dc[at] = cell * f;
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

// kernel.ColumnSum from zeros: sum[j] = Σ_r x[r, j]    x (R, N), rows ldx apart. Grid (N/128).
KERNEL(128) column_sum(float *sum, const float *x, int ldx, int R, int N) {
	int j = block_x * 128 + thread_x;
	if (j >= N) return;
	float s = 0.f;
	for (int r = 0; r < R; r++) s = s + x[(i64)r * ldx + j];
	sum[j] = s;
}

// kernel.SegmentSum from zeros. Grid (rows, N/128).
//   sums[v, j] = Σ x[r, j]    r = list[first[v]] … list[first[v+1]-1], or v alone where first is null    rows lds and ldx apart
// Columns from split on read x shift columns to the right: the GRU's x_n lies behind its a_n.
KERNEL(128) segment_sum(float *sums, int lds, const float *x, int ldx, const int *first, const int *list, int N, int split, int shift) {
	int v = block_x, j = block_y * 128 + thread_x;
	if (j >= N) return;
	x += j < split ? j : j + shift;
	float s = 0.f;
	if (first)
		for (int i = first[v]; i < first[v + 1]; i++) s = s + x[(i64)list[i] * ldx];
	else
		s = s + x[(i64)v * ldx];
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
