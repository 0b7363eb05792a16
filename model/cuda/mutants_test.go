//go:build soak

package cuda

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestMain runs the tests of the kernels on other kernels where -ptx names a file.
func TestMain(m *testing.M) {
	other := flag.String("ptx", "", "PTX to test in place of kernels.ptx")
	flag.Parse()
	if *other != "" {
		b, err := os.ReadFile(*other)
		if err != nil {
			panic(err)
		}
		ptxText = string(b)
	}
	os.Exit(m.Run())
}

// A mutant is a bug planted in kernels.cu and what it includes, or in the flags of gen.sh: the first
// old in the function or the kernel that begins with the text after becomes new.
type mutant struct {
	bug             string
	after, old, new string
	rounding        bool // it changes the last bits of a result, and no more
}

var mutants = []mutant{
	{"the compiler fuses products with sums", "set -eu", "-ffp-contract=off", "-ffp-contract=fast", true},

	{"exp: a coefficient is off by one unit", "float exp_(", "0.49999994f", "0.49999997f", true},
	{"exp: the last product is not fused", "float exp_(", "fma(p, r * r, r)", "p * (r * r) + r", true},
	{"exp: ln 2 in one part", "float exp_(", "fma(n, 2.12194440e-4f, r)", "r", false},
	{"sigmoid: of x itself", "float sigmoid(", "-abs_(x)", "-x", false},
	{"tanh: the polynomial at its end too", "float tanh_(", "a < 0.625f", "a <= 0.625f", true},
	{"tanh: u·x·x² in another order", "float tanh_(", "fma(p, u * x, x)", "fma(p * u, x, x)", true},
	{"log: a coefficient short", "double log_(", "k = 21; k >= 3", "k = 21; k >= 5", false},
	{"log: times one by m + 1", "double log_(", "(m - 1) / (m + 1)", "(m - 1) * (1 / (m + 1))", true},

	{"gemm: a term is rounded twice", "DEVICE void gemm(", "acc[i][j] = fma(x[i / VM][i % VM], y[j / VN][j % VN], acc[i][j])",
		"acc[i][j] = acc[i][j] + x[i / VM][i % VM] * y[j / VN][j % VN]", true},
	{"gemm: the terms of a block from the last to the first", "DEVICE void gemm(", "k = 0; k < depth; k++) multiply", "k = depth - 1; k >= 0; k--) multiply", true},
	{"gemm: the initial value is added at the end", "DEVICE void gemm(", "c[(i64)r * crs + q] = acc[i][j]",
		"c[(i64)r * crs + q] = init ? acc[i][j] + init[(i64)r * irs + q] - init[(i64)r * irs + q] : acc[i][j]", true},
	{"gemm: no barrier before the first product", "DEVICE void gemm(", "whole - depth));\n\t\tbarrier();", "whole - depth));", false},
	{"gemm: no barrier between two blocks of terms", "DEVICE void gemm(", "\t\t}\n\t\tbarrier();\n\t}", "\t\t}\n\t}", false},
	{"gemm: no barrier before the last terms", "DEVICE void gemm(", "b_at(l, whole);\n\t\tbarrier();", "b_at(l, whole);", false},
	{"gemm: the same terms twice", "DEVICE void gemm(", "fetch(least(k0 + depth, whole - depth))", "fetch(least(k0, whole - depth))", false},
	{"gemm: zeros fill the last block of terms", "DEVICE void gemm(",
		"if (a_term(l) < rest) as[0][a_term(l)][a_row(l)] = a_at(l, whole);\n\t\tfor (int l = 0; l < LB; l++)\n\t\t\tif (b_term(l) < rest) " +
			"bs[0][b_term(l)][b_column(l)] = b_at(l, whole);\n\t\tbarrier();\n\t\tfor (int k = 0; k < rest; k++)",
		"as[0][a_term(l)][a_row(l)] = a_term(l) < rest ? a_at(l, whole) : 0.f;\n\t\tfor (int l = 0; l < LB; l++)\n\t\t\t" +
			"bs[0][b_term(l)][b_column(l)] = b_term(l) < rest ? b_at(l, whole) : 0.f;\n\t\tbarrier();\n\t\tfor (int k = 0; k < depth; k++)", true},
	{"gemm: a row beyond the edge is read", "DEVICE void gemm(", "least(i0 + a_row(l), M - 1), k", "i0 + a_row(l), k", false},
	{"gemm: a column beyond the edge is written", "DEVICE void gemm(", "q < N", "q <= N", false},
	{"gemm: the tile in shared memory is a row short", "DEVICE void gemm(", "as[2][depth][TM + 4]", "as[2][depth][TM - 4]", false},
	{"gemm: wrong stride of the transposed factor", "DEVICE void gemm(", "k * lda + i :", "k * M + i :", false},

	{"recurrent: no barrier between two blocks of terms", "DEVICE void recurrent(", "\t\t}\n\t\tbarrier();\n\t}", "\t\t}\n\t}", false},
	{"recurrent: no barrier before the last terms", "DEVICE void recurrent(", "\t}\n\tbarrier();\n\tfor (int k = 0; k < rest", "\t}\n\tfor (int k = 0; k < rest", false},
	{"recurrent: the same terms twice", "DEVICE void recurrent(", "fetch(least(k0 + depth, whole - depth))", "fetch(least(k0, whole - depth))", false},
	{"recurrent: four terms from the last to the first", "DEVICE void recurrent(", "q = 0; q < 4; q++", "q = 3; q >= 0; q--", true},
	{"recurrent: a batch row beyond the edge is read", "DEVICE void recurrent(", "least(x_at, rows - 1)", "x_at", false},
	{"recurrent: the last terms of the wrong batch row", "DEVICE void recurrent(", "x[least(n, rows - 1) * x_row", "x[least(n, 0) * x_row", false},
	{"forward: the units of the next gate", "DEVICE void forward(", "n / 16 * H + least(u0 + n % 16, H - 1)", "n / 16 * H + u0 + n % 16", false},
	{"forward: the bias is that of another gate", "DEVICE void forward(", "bhh[(i64)g * H", "bhh[(i64)0 * H", false},
	{"backward: a row of tmp is 4H wide", "DEVICE i64 tmp_width(", "4 * (i64)H + 16", "4 * (i64)H", false},

	{"gru_forward: n is not fused", "gru_forward(", "fma(r, acc[i][2], xr[2 * (i64)H])", "r * acc[i][2] + xr[2 * (i64)H]", true},
	{"gru_forward: the result is not fused", "gru_forward(", "fma(z, h[at] - n, n)", "z * (h[at] - n) + n", true},
	{"gru_forward: rows of x by 32 bits", "gru_forward(", "(i64)(ids ? ids[b] : b) * 3 * H", "(int)((u32)(ids ? ids[b] : b) * 3 * H)", false},
	{"gru_forward: one row too many", "gru_forward(", "b >= B", "b > B", false},
	{"gru_backward: wrong sign", "gru_backward(", "h[at] - n", "n - h[at]", false},
	{"gru_backward: three factors in another order", "gru_backward(", "all * (h[at] - n) * (z * (1.f - z))", "all * (h[at] - n) * z * (1.f - z)", true},
	{"gru_backward: 1 - n² is not fused", "gru_backward(", "fma(-n, n, 1.f)", "1.f - n * n", true},
	{"lstm_forward: the other product is fused", "lstm_forward(", "fma(f, c[at], i * g)", "fma(i, g, f * c[at])", true},
	{"lstm_backward: 1 - tanh² is not fused", "lstm_backward(", "fma(-tc, tc, 1.f)", "1.f - tc * tc", true},
	{"lstm_backward: dc is read at the last step", "lstm_backward(", "next ? dc[at] : 0.f", "dc[at]", false},

	{"cross_entropy: one running sum", "cross_entropy(", "for (int v = lane; v < n; v += 16) {\n\t\tfloat x = exp_(l[v] - top);\n\t\tif (dlogits) e[v] = x;\n\t\tsum = sum + x;",
		"for (int v = lane; v < n; v += 16) {\n\t\tfloat x = exp_(l[v] - top);\n\t\tif (dlogits) e[v] = x;\n\t}\n\tfor (int v = 0; v < n && lane == 0; v++) {\n\t\tsum = sum + exp_(logits[row * V + v] - top);", false},
	{"cross_entropy: no barrier between two halves", "cross_entropy(", "mine[lane] = mine[lane] + mine[lane + w];\n\t\tbarrier();", "mine[lane] = mine[lane] + mine[lane + w];", false},
	{"cross_entropy: the target's gradient is not scaled", "cross_entropy(", "x - scale", "x - 1.f", false},
	{"cross_entropy: the greatest logit is at least 0", "cross_entropy(", "top = l[0];", "top = l[0] > 0.f ? l[0] : 0.f;", false},
	{"cross_entropy: scale is divided later", "cross_entropy(", "float k = scale / sum;", "float k = scale * (1.f / sum);", true},
	{"column_sum: the last row twice", "column_sum(", "least(rows, R - r)", "least(rows, R - r + 1)", false},
	{"column_sum: rows of a block from the last", "column_sum(", "total + xs[s][k][column]", "total + xs[s][least(rows, R - r) - 1 - k][column]", true},
	{"segment_sum: the last row is missing", "segment_sum(", "i + l < to", "i + l < to - 1", false},
	{"segment_sum: a row alone keeps -0", "segment_sum(", "float s = 0.f;", "float s = first ? 0.f : -0.f;", true},
	{"segment_sum: column split is not moved", "segment_sum(", "j < split", "j <= split", false},
	{"gather: offsets of 32 bits", "gather(", "table[(i64)ids[r] * K + k]", "table[(int)((u32)ids[r] * K) + k]", false},
	{"sum_squares: squares of float32", "sum_squares(", "fma64((double)x[i], (double)x[i], s)", "s + (double)(x[i] * x[i])", true},
	{"sum_squares: a value of the next chunk", "sum_squares(", "i < to", "i <= to", false},

	{"adam: g² is not fused", "adam(", "fma(g, g, -v[i])", "g * g - v[i]", true},
	{"adam: the last difference is fused", "adam(", "keep * p[i] - rate * mi / (__nvvm_sqrt_rn_f(vi) + epsilon)", "fma(keep, p[i], -(rate * mi / (__nvvm_sqrt_rn_f(vi) + epsilon)))", true},
	{"adam: an approximate root", "adam(", "__nvvm_sqrt_rn_f", "__nvvm_sqrt_approx_f", true},
	{"adam: the mean is fused", "adam(", "mean[i] + rates[6] * (x - mean[i])", "fma(rates[6], x - mean[i], mean[i])", true},
	{"adam: the mean follows the old values", "adam(", "(x - mean[i])", "(m[i] - mean[i])", false},
	{"dropout: one value more in 65536 is dropped", "dropout(", "< threshold", "<= threshold", false},
	{"dropout: a hash too far", "dropout(", "*key + (u64)four", "*key + (u64)four + 1", false},
	{"dropout: beyond the last value", "dropout(", "&& i < n", "", false},
}

// plant returns the text with the bug.
func (m *mutant) plant(t *testing.T, text string) string {
	begin, rest, found := strings.Cut(text, m.after)
	if !found || !strings.Contains(rest, m.old) {
		t.Fatalf("%s: there is no %q after %q", m.bug, m.old, m.after)
	}
	return begin + m.after + strings.Replace(rest, m.old, m.new, 1)
}

var failure = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: (.*)$`)

// TestMutants plants each bug, compiles, and runs the tests of the kernels, which
// must fail. Some ten seconds a bug.
func TestMutants(t *testing.T) {
	if _, err := exec.LookPath("clang-16"); err != nil {
		t.Skip("there is no clang-16")
	}
	rounding := 0
	for _, m := range mutants {
		if m.rounding {
			rounding++
		}
		t.Run(m.bug, func(t *testing.T) {
			folder := t.TempDir()
			planted := 0
			for _, name := range append(sources(t), "gen.sh") {
				b, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				text := string(b)
				if strings.Contains(text, m.after) {
					text = m.plant(t, text)
					planted++
				}
				if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if planted != 1 {
				t.Fatalf("%q is in %d files", m.after, planted)
			}
			if out, err := exec.Command(filepath.Join(folder, "gen.sh")).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			out, err := exec.Command(os.Args[0], "-test.run", "^Test(Gemm|Forward|Backward|CrossEntropy|ColumnSum|SegmentSum|Gather|SumSquares|Adam|Dropout|FarRows)$",
				"-test.failfast", "-ptx", filepath.Join(folder, "kernels.ptx")).CombinedOutput()
			if err == nil {
				t.Fatal("no test fails")
			}
			if why := failure.FindSubmatch(out); why != nil {
				t.Logf("found: %s", why[1])
			} else {
				t.Fatalf("no test says what is wrong:\n%s", out)
			}
		})
	}
	t.Logf("%d bugs, of which %d change only rounding", len(mutants), rounding)
}
