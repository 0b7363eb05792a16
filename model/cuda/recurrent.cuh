// Time steps of the recurrent layers: kernel/gru.go and kernel/lstm.go, with the products of rnn.Step and rnn.Recurrent.

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
	terms next; // on its way while the block multiplies: no compiler moves its loads behind the barrier, to their use
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
