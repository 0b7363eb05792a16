// The kernels of a training on a GPU, here and in the files included. Each computes, to the bit, what the function of model/kernel named
// in its comment computes. Go launches them: a block's size is in the table of kernels.go. gen.sh compiles them.
//
// The rules that make the bits those of the processor:
//   - a dot product is one chain of FMA in index order, by one thread; other sums have the order of model/kernel
//   - -ffp-contract=off: clang writes .rn on every operation, which no later compiler may fuse or reorder
//   - no term is added to fill a tile: fma(0, 0, -0) is +0
//
// Letters: T time steps, B batch, H hidden width, V vocabulary, R = T·B rows, G gates. Offsets into (R, …) have 64 bits.

#include "math.cuh"
#include "gemm.cuh"
#include "recurrent.cuh"

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
