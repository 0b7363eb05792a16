package cuda

import (
	"fmt"
	"math"
	"math/rand"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
)

// TestCrossEntropy has rows around a block and vocabularies around the lanes of a
// sum: ordinary logits, special ones, and rows with a NaN or an infinity.
func TestCrossEntropy(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	for _, R := range []int{1, 7, 8, 9, 17} {
		for i, V := range []int{1, 2, 15, 16, 17, 31, 32, 33, 66, 150} {
			t.Run(fmt.Sprintf("%dx%d", R, V), func(t *testing.T) {
				s := newKernelBench(t)
				logits, targets := random(r, R*V), indexes(r, R, V)
				for b := range min(R, 6) {
					row := logits[b*V : (b+1)*V]
					switch b {
					case 0, 1:
						copy(row, ordinary(r, V))
					case 3:
						row[0] = float32(math.NaN())
					case 4:
						row[V/2] = float32(math.NaN())
					case 5:
						row[V-1] = float32(math.Inf(1 - 2*(i%2)))
					}
				}
				scale := 1 / float32(R)
				losses, d := make([]float64, R), make([]float32, R*V)
				pl, plogits, pt, pd := put(s, losses), put(s, logits), put(s, targets), put(s, d)
				palone := put(s, losses)
				s.check(s.crossEntropy(palone, 0, plogits, pt, 1, R, V))
				s.check(s.crossEntropy(pl, pd, plogits, pt, scale, R, V))
				same(s, "logits", plogits, logits)
				kernel.CrossEntropy(losses, d, logits, targets, scale, R, V)
				same64(s, "losses", pl, losses)
				same64(s, "losses alone", palone, losses)
				same(s, "gradient", pd, d)
				s.check(s.crossEntropy(pl, plogits, plogits, pt, scale, R, V))
				same(s, "gradient in place", plogits, d)
				same64(s, "losses in place", pl, losses)
			})
		}
	}
}

func TestColumnSum(t *testing.T) {
	r := rand.New(rand.NewSource(5))
	for _, R := range []int{1, 2, 7, 8, 9, 127, 128, 129, 300} {
		for _, N := range []int{1, 31, 32, 33, 65} {
			s, ldx := newKernelBench(t), N+R%3
			x, sum := either(r, R*ldx), make([]float32, N)
			p := put(s, random(r, N))
			s.check(s.columnSum(p, put(s, x), ldx, R, N))
			kernel.ColumnSum(sum, x, ldx, R, 0, N)
			same(s, fmt.Sprintf("%dx%d", R, N), p, sum)
		}
	}
}

// TestSegmentSum has characters that occur often, once and not at all, columns
// that are moved apart, and rows alone: a row of -0 becomes +0.
func TestSegmentSum(t *testing.T) {
	r := rand.New(rand.NewSource(6))
	for _, size := range [][3]int{{1, 1, 1}, {5, 9, 127}, {6, 40, 128}, {3, 200, 129}, {70, 30, 12}} {
		V, R, N := size[0], size[1], size[2]
		for _, shift := range []int{0, N/3 + 1} {
			split, ldx, lds := N, N+5, N+2
			if shift > 0 {
				split, ldx = 2*N/3, N+shift
			}
			x, ids := either(r, R*ldx), indexes(r, R, V)
			for j := range ldx {
				x[j] = special[1]
			}
			for _, list := range [][]int32{ids, nil} {
				s, rows := newKernelBench(t), V
				var pf, pl Ptr
				if list == nil {
					rows = R
				} else {
					first, order := sorted(list, V)
					pf, pl = put(s, first), put(s, order)
				}
				sums, before := make([]float32, rows*lds), random(r, rows*lds)
				for v := range rows { // what lies between the rows stays
					copy(sums[v*lds+N:(v+1)*lds], before[v*lds+N:(v+1)*lds])
				}
				p := put(s, before)
				s.check(s.segmentSum(p, lds, put(s, x), ldx, pf, pl, rows, N, split, shift))
				kernel.SegmentSum(sums, lds, x, ldx, list, R, 0, split)
				kernel.SegmentSum(sums, lds, x[shift:], ldx, list, R, split, N)
				same(s, fmt.Sprintf("V %d, R %d, N %d, shift %d, rows alone %v", V, R, N, shift, list == nil), p, sums)
			}
		}
	}
}

// sorted returns the rows of each id, in order, and where those of each id begin.
func sorted(ids []int32, V int) (first, list []int32) {
	first = append(first, 0)
	for v := range int32(V) {
		for r, id := range ids {
			if id == v {
				list = append(list, int32(r))
			}
		}
		first = append(first, int32(len(list)))
	}
	return first, list
}

func TestGather(t *testing.T) {
	r := rand.New(rand.NewSource(7))
	for _, size := range [][3]int{{1, 1, 1}, {5, 7, 127}, {2, 9, 128}, {9, 3, 129}, {4, 4, 300}} {
		V, R, K := size[0], size[1], size[2]
		s := newKernelBench(t)
		table, ids := random(r, V*K), indexes(r, R, V)
		var want []float32
		for _, id := range ids {
			want = append(want, table[int(id)*K:(int(id)+1)*K]...)
		}
		p := put(s, make([]float32, R*K))
		s.check(s.gather(p, put(s, table), put(s, ids), R, K))
		same(s, fmt.Sprint(size), p, want)
	}
}

func TestSumSquares(t *testing.T) {
	r := rand.New(rand.NewSource(8))
	for _, n := range []int{1, 15, 16, 17, 4095, 4096, 4097, 8 * 4096, 8*4096 + 1, 9*4096 + 21} {
		s := newKernelBench(t)
		x, sums := random(r, n), make([]float64, kernel.Chunks(n))
		p := put(s, sums)
		s.check(s.sumSquares(p, put(s, x), n))
		kernel.SumSquares(sums, x, 0, len(sums))
		same64(s, fmt.Sprint(n), p, sums)
	}
}

func TestAdam(t *testing.T) {
	r := rand.New(rand.NewSource(9))
	rates := []float32{0.37, 0.0123, 1 - 0.9, 0.001, 1e-7, 0.99987, 0.0321}
	for _, n := range []int{1, 255, 256, 257, 1000} {
		for _, mean := range []bool{false, true} {
			s := newKernelBench(t)
			p, m, v, g, a := either(r, n), ordinary(r, n), ordinary(r, n), ordinary(r, n), ordinary(r, n)
			for i := range v {
				v[i] *= v[i]
			}
			pp, pm, pv, pa := put(s, p), put(s, m), put(s, v), put(s, a)
			given := pa
			if !mean {
				given = 0
			}
			s.check(s.adam(pp, pm, pv, put(s, g), given, n, put(s, rates)))
			kernel.Adam(p, m, v, g, &kernel.AdamRates{Scale: rates[0], Rate: rates[1], Beta1Rest: rates[2], Beta2Rest: rates[3], Epsilon: rates[4], Keep: rates[5]})
			if mean {
				kernel.Follow(a, p, rates[6])
			}
			same(s, "parameters", pp, p)
			same(s, "first moment", pm, m)
			same(s, "second moment", pv, v)
			same(s, "mean", pa, a)
		}
	}
}

// TestDropout has values around a hash and around a block, a key that overflows
// while values are counted, and shares at both ends.
func TestDropout(t *testing.T) {
	r := rand.New(rand.NewSource(10))
	for i, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 1023, 1024, 1025, 5000} {
		for _, share := range []float64{1.0 / (1 << 16), 0.3, 0.5, 65535.0 / (1 << 16)} {
			s := newKernelBench(t)
			mask := kernel.NewMask(share)
			mask.Key = r.Uint64()
			if i%2 == 0 {
				mask.Key = math.MaxUint64 - 1
			}
			threshold := uint16(share * (1 << 16))
			scale := float32(1 / (1 - float64(threshold)/(1<<16)))
			x, want := random(r, n), make([]float32, n)
			mask.Apply(want, x, 0, n)
			px, pd, pk := put(s, x), put(s, want), put(s, []uint64{mask.Key})
			s.check(s.dropout(pd, px, n, pk, threshold, scale))
			same(s, fmt.Sprintf("%d values, share %g", n, share), pd, want)
			s.check(s.dropout(px, px, n, pk, threshold, scale))
			same(s, fmt.Sprintf("%d values in place, share %g", n, share), px, want)
		}
	}
}

// TestFarRows demands offsets of 64 bits: the rows that are read begin beyond
// 2^31 values, and all before them are no memory.
func TestFarRows(t *testing.T) {
	r := rand.New(rand.NewSource(11))
	const far = 1<<31 - 2
	s := newKernelBench(t)
	row := ordinary(r, 12)
	at := func(width int) Ptr { return put(s, row) - Ptr(4*far*width) } // row far is row

	ids := put(s, []int32{far})
	p := put(s, make([]float32, 12))
	s.check(s.gather(p, at(12), ids, 1, 12))
	same(s, "gather", p, row)

	p = put(s, make([]float32, 12))
	s.check(s.segmentSum(p, 12, at(12), 12, put(s, []int32{0, 1}), ids, 1, 12, 12, 0))
	same(s, "segmentSum", p, row)

	zeros := put(s, make([]float32, 64))
	for _, G := range []int{3, 4} {
		out, c, tmp := make([]float32, 3), make([]float32, 3), make([]float32, kernel.TmpWidth(3))
		pout, pc := put(s, out), put(s, c)
		if G == 3 {
			s.check(s.gruForward(1, 3, at(9), ids, zeros, zeros, zeros, pout, 0))
			kernel.GRUForward(row[:9], nil, tmp, make([]float32, 3), out, 1, 3, 0, 3)
		} else {
			s.check(s.lstmForward(1, 3, at(12), ids, zeros, zeros, zeros, zeros, pc, pout, 0))
			kernel.LSTMForward(row, nil, tmp, make([]float32, 3), c, out, 1, 3, 0, 3)
		}
		same(s, fmt.Sprintf("hidden of %d gates", G), pout, out)
	}
}

// TestSizes: an empty result needs no launch, and a size or grid that the kernels
// cannot count is refused before one.
func TestSizes(t *testing.T) {
	s := newKernelBench(t)
	const big = 1 << 31
	for _, c := range []struct {
		err  error
		want string
	}{
		{s.gemm(0, 5, 3, 0, 3, 1, 0, 5, 1, 0, 0, 0, 5), ""},
		{s.gemm(5, 0, 3, 0, 3, 1, 0, 1, 3, 0, 0, 0, 5), ""},
		{s.gruForward(0, 5, 0, 0, 0, 0, 0, 0, 0), ""},
		{s.lstmBackward(0, 5, 0, 0, 0, 0, 0, 0, 0), ""},
		{s.crossEntropy(0, 0, 0, 0, 1, 0, 7), ""},
		{s.columnSum(0, 0, 0, 7, 0), ""},
		{s.segmentSum(0, 0, 0, 0, 0, 0, 0, 7, 7, 0), ""},
		{s.gather(0, 0, 0, 0, 7), ""},
		{s.sumSquares(0, 0, 0), ""},
		{s.adam(0, 0, 0, 0, 0, 0, 0), ""},
		{s.dropout(0, 0, 0, 0, 1, 1), ""},
		{s.gemm(big, 5, 3, 0, 3, 1, 0, 5, 1, 0, 0, 0, 5), "cuda: gemm_nn: a size is 2147483648, want 0 … 2147479551"},
		{s.gemm(5, 5, 3, 0, big, 1, 0, 1, 5, 0, 0, 0, 5), "cuda: gemm_nt_small: a size is 2147483648, want 0 … 2147479551"},
		{s.dropout(0, 0, -1, 0, 1, 1), "cuda: dropout: a size is -1, want 0 … 2147479551"},
		{s.adam(0, 0, 0, 0, 0, big, 0), "cuda: adam: a size is 2147483648, want 0 … 2147479551"},
		{s.columnSum(0, 0, 1<<31-1<<12, 1, 1), "cuda: column_sum: a size is 2147479552, want 0 … 2147479551"},
		{s.gruForward(1, 23171, 0, 0, 0, 0, 0, 0, 0), "cuda: gru_forward: hidden width 23171, at most 23170"},
		{s.lstmBackward(1, 23171, 0, 0, 0, 0, 0, 0, 0), "cuda: lstm_backward: hidden width 23171, at most 23170"},
		{s.gruBackward(1, 4, 264, 0, 0, 0, 0, 0), "cuda: gru_backward: the next step's gradients lie at 0x108, want a multiple of 16"},
		{s.gemm(2, 2, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 2), "cuda: gemm: strides 1, 2 of a and 1, 2 of b: no kernel reads them"},
		{s.gemm(2, 1<<30, 2, 0, 2, 1, 0, 1<<30, 1, 0, 0, 0, 2), "cuda: gemm_nn: a grid of 1 by 16777216 blocks, at most 2147483647 by 65535"},
	} {
		if got := fmt.Sprint(c.err); c.want == "" && c.err != nil || c.want != "" && got != c.want {
			t.Errorf("error %q, want %q", got, c.want)
		}
	}
	if s.launches != [functionCount]int{} {
		t.Errorf("launches %v", s.launches)
	}
}
