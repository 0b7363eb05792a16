// What the kernels are written in, and the functions of model/kernel/math.go.

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
