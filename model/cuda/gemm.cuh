// Products: kernel.Team.Gemm.

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
	terms next; // on its way while the block multiplies: no compiler moves its loads behind the barrier, to their use
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
