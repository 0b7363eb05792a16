package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// harsh returns n values, some of them at the borders of the functions: zeros,
// infinities, NaN, subnormals, the ends of exp, the change of tanh's formula.
func harsh(seed uint64, n int) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
		1e-40, -1e-40, 0x1p-126, 88.375, 88.4, -87, -87.1, -86.9, 43.5, -43.6, 0.625, -0.625, 0.62499994, 120, -120, 1, -1, 3e38, -3e38}
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	x := random(seed, n)
	for i := range x {
		if r.IntN(6) == 0 {
			x[i] = special[r.IntN(len(special))]
		}
	}
	return x
}

// lengths are every small number of units, and some larger ones.
func lengths() []int {
	var list []int
	for n := 1; n <= 66; n++ {
		list = append(list, n)
	}
	return append(list, 127, 128, 300, 1024)
}

// agree runs f once for each variant and compares all results with those of plain
// Go, bit for bit. f must make new inputs in each call.
func agree(t *testing.T, f func(n int) [][]float32) {
	for _, n := range lengths() {
		var want [][]float32
		every(t, func(t *testing.T) {
			got := f(n)
			if want == nil {
				want = got
			}
			for i := range want {
				equalBits(t, fmt.Sprintf("length %d, result %d", n, i), got[i], want[i])
			}
		})
	}
}

// inputs are the two kinds of values: those of a network, and harsh ones.
var kinds = map[string]func(uint64, int) []float32{"usual": random, "harsh": harsh}

func TestGRUVariants(t *testing.T) {
	const B = 3
	ids := []int32{2, 0, 2}
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(H int) [][]float32 {
				x, tmp, h, out := values(1, 3*3*H), values(2, B*TmpWidth(H)), values(3, B*H), make([]float32, B*H)
				lo, hi := H/3, H
				GRUForward(x, ids, tmp, h, out, B, H, 0, lo)
				GRUForward(x, ids, tmp, h, out, B, H, lo, hi)
				forward := append([]float32(nil), tmp...)
				dout, dh := values(4, B*H), values(5, B*H)
				GRUBackward(tmp, h, dout, dh, B, H, lo, hi)
				GRUBackward(tmp, h, dout, dh, B, H, 0, lo)
				rows := values(6, B*TmpWidth(H))
				GRUForward(values(7, B*3*H), nil, rows, h, h, B, H, 0, H)
				return [][]float32{forward, out, tmp, dh, rows, h}
			})
		})
	}
}

func TestLSTMVariants(t *testing.T) {
	const B = 3
	ids := []int32{2, 0, 2}
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(H int) [][]float32 {
				x, tmp, c := values(1, 3*4*H), values(2, B*TmpWidth(H)), values(3, B*H)
				cOut, out := make([]float32, B*H), make([]float32, B*H)
				lo, hi := H/3, H
				LSTMForward(x, ids, tmp, c, cOut, out, B, H, 0, lo)
				LSTMForward(x, ids, tmp, c, cOut, out, B, H, lo, hi)
				forward := append([]float32(nil), tmp...)
				dout, dh, dc := values(4, B*H), values(5, B*H), values(6, B*H)
				LSTMBackward(tmp, c, cOut, dout, dh, dc, B, H, lo, hi)
				LSTMBackward(tmp, c, cOut, dout, dh, dc, B, H, 0, lo)
				rows := values(7, B*TmpWidth(H))
				LSTMForward(values(8, B*4*H), nil, rows, c, c, out, B, H, 0, H)
				return [][]float32{forward, cOut, out, tmp, dh, dc, rows, c}
			})
		})
	}
}

func TestLossVariants(t *testing.T) {
	const R = 4
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(V int) [][]float32 {
				l, d, losses := values(1, R*V), make([]float32, R*V), make([]float64, R)
				targets := []int32{0, int32(V - 1), int32(V / 2), int32(V / 3)}
				CrossEntropy(losses, d, l, targets, 0.25, R, V)
				same, again := append([]float32(nil), l...), make([]float64, R)
				CrossEntropy(again, same, same, targets, 0.25, R, V)
				out := make([]float32, 0, 4*R)
				for i, x := range losses {
					hi, lo := math.Float64bits(x)>>32, math.Float64bits(x)
					if math.IsNaN(x) {
						hi, lo = 0, 0
					}
					out = append(out, float32(hi>>16), float32(hi&0xffff), float32(lo>>16&0xffff), float32(lo&0xffff))
					if again[i] != x && !math.IsNaN(x) {
						t.Errorf("V %d: loss %d is %v in place, else %v", V, i, again[i], x)
					}
				}
				equalBits(t, "in place", same, d)
				return [][]float32{d, out}
			})
		})
	}
}

func TestSumVariants(t *testing.T) {
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(n int) [][]float32 {
				const R = 5
				x, seg, col, own := values(1, R*(n+1)), values(2, 3*n), values(3, n), values(4, R*n)
				ids := []int32{1, 0, 1, 2, 1}
				SegmentSum(seg, n, x, n+1, ids, R, 0, n)
				SegmentSum(own, n, x, n+1, nil, R, n/2, n)
				ColumnSum(col, x, n+1, R, 0, n)
				return [][]float32{seg, col, own}
			})
		})
	}
}

// TestSquares compares the sums of squares at every length around a chunk, with
// values whose squares and their sums are exact.
func TestSquares(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 31, 32, 33, 4095, 4096, 4097, 8192, 8193, 10_000} {
		var want []float64
		every(t, func(t *testing.T) {
			x := random(uint64(n), n)
			got, exact := make([]float64, Chunks(n)), make([]float64, Chunks(n))
			SumSquares(got, x, 0, Chunks(n))
			if want == nil {
				want = got
			}
			for i := range x {
				x[i] = float32(i%19 - 9)
			}
			SumSquares(exact, x, 0, Chunks(n))
			for c := range got {
				if got[c] != want[c] {
					t.Errorf("n %d: chunk %d is %x, want %x", n, c, got[c], want[c])
				}
				var sum float64
				for i := c * 4096; i < min(n, (c+1)*4096); i++ {
					sum += float64(x[i] * x[i])
				}
				if exact[c] != sum {
					t.Errorf("n %d: chunk %d of small integers is %g, want %g", n, c, exact[c], sum)
				}
			}
		})
	}
}

func TestAdamVariants(t *testing.T) {
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(n int) [][]float32 {
				p, m, v, g := values(1, n), values(2, n), values(3, n), values(4, n)
				for i := range v {
					v[i] = abs(v[i])
				}
				Adam(p, m, v, g, &AdamRates{Scale: 0.75, Rate: 1e-3, Beta1Rest: 0.1, Beta2Rest: 0.001, Epsilon: 1e-7, Keep: 0.999})
				return [][]float32{p, m, v}
			})
		})
	}
}
