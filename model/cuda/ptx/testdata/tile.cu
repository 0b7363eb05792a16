// tile.ptx is made of this by
// clang-16 -x cuda --cuda-device-only -nocudainc -nocudalib -O3 -S --cuda-gpu-arch=sm_70 --cuda-feature=+ptx70 -ffp-contract=off tile.cu -o tile.ptx
typedef float float4 __attribute__((ext_vector_type(4)));

// c (M, N) = a (M, K) x b (K, N): each sum from k = 0 on, by fused multiply-add. A block
// of 16 x 16 threads has 64 x 64 of c; M, N and K are multiples of 64, 64 and 16.
extern "C" __attribute__((global)) __attribute__((launch_bounds(256)))
void tile(int M, int N, int K, const float *a, const float *b, float *c) {
	__attribute__((shared)) float as[64][17];
	__attribute__((shared)) float4 bs[16][16];
	int tx = __nvvm_read_ptx_sreg_tid_x(), ty = __nvvm_read_ptx_sreg_tid_y(), t = ty * 16 + tx;
	int row = __nvvm_read_ptx_sreg_ctaid_y() * 64, column = __nvvm_read_ptx_sreg_ctaid_x() * 64;
	float4 sum[4] = {0.f, 0.f, 0.f, 0.f};
	for (int at = 0; at < K; at += 16) {
		for (int e = t; e < 64 * 16; e += 256) as[e / 16][e % 16] = a[(row + e / 16) * K + at + e % 16];
		bs[ty][tx] = *(const float4 *)(b + (at + ty) * N + column + 4 * tx);
		__syncthreads();
		for (int k = 0; k < 16; k++) {
			float4 y = bs[k][tx];
#pragma unroll
			for (int i = 0; i < 4; i++)
#pragma unroll
				for (int j = 0; j < 4; j++) sum[i][j] = __nvvm_fma_rn_f(as[ty + 16 * i][k], y[j], sum[i][j]);
		}
		__syncthreads();
	}
#pragma unroll
	for (int i = 0; i < 4; i++) *(float4 *)(c + (row + ty + 16 * i) * N + column + 4 * tx) = sum[i];
}

// Of each row of x (rows, n) the sum of squares, by a warp: lanes add every 32nd value,
// then halves of lanes are added to one another.
extern "C" __attribute__((global)) void squares(int n, const float *x, double *sums) {
	int lane = __nvvm_read_ptx_sreg_tid_x(), row = __nvvm_read_ptx_sreg_ctaid_x();
	double s = 0;
	for (int i = lane; i < n; i += 32) s = s + (double)x[row * n + i] * (double)x[row * n + i];
	for (int w = 16; w > 0; w /= 2) {
		long long bits = __builtin_bit_cast(long long, s);
		unsigned low = __nvvm_shfl_sync_down_i32(-1, (int)bits, w, 31), high = __nvvm_shfl_sync_down_i32(-1, (int)(bits >> 32), w, 31);
		s = s + __builtin_bit_cast(double, (unsigned long long)high << 32 | low);
	}
	if (lane == 0) sums[row] = s;
}
