package kernel

import (
	"fmt"
	"testing"
)

// flops reports the rate of n operations a round.
func flops(b *testing.B, n float64) {
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
}

func BenchmarkPeak(b *testing.B) {
	team := NewTeam()
	var n float64
	for b.Loop() {
		n = 0
		team.Run(1<<30, func(w *Worker) {
			f := use.peak()
			if w.ID == 0 {
				n = f * float64(w.Size)
			}
		})
	}
	flops(b, n)
}

// BenchmarkGemm has the shapes of the tutorial's step: the gradient of the
// recurrent weights, the logits, and their two gradients.
func BenchmarkGemm(b *testing.B) {
	const T, B, H, V = 100, 64, 1024, 65
	h, g, l := random(1, T*B*H), random(2, T*B*4*H), random(3, T*B*V)
	w := random(4, V*H)
	team := NewTeam()
	b.Run("weights", func(b *testing.B) {
		c := make([]float32, 3*H*H)
		for b.Loop() {
			team.Gemm(3*H, H, T*B, g, 1, 4*H, h, H, 1, nil, 0, c, H)
		}
		flops(b, 2*3*H*H*T*B)
	})
	b.Run("logits", func(b *testing.B) {
		for b.Loop() {
			team.Gemm(T*B, V, H, h, H, 1, w, 1, H, nil, 0, l, V)
		}
		flops(b, 2*T*B*V*H)
	})
	b.Run("dhidden", func(b *testing.B) {
		for b.Loop() {
			team.Gemm(T*B, H, V, l, V, 1, w, H, 1, nil, 0, h, H)
		}
		flops(b, 2*T*B*V*H)
	})
	b.Run("dlogits", func(b *testing.B) {
		for b.Loop() {
			team.Gemm(V, H, T*B, l, 1, V, h, H, 1, nil, 0, w, H)
		}
		flops(b, 2*T*B*V*H)
	})
}

// BenchmarkMultiply is one time step's product with packed weights.
func BenchmarkMultiply(b *testing.B) {
	for _, s := range []struct{ M, N, K int }{{64, 3072, 1024}, {64, 1024, 3072}, {64, 768, 256}, {1, 3072, 1024}, {8, 3072, 1024}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s.M, s.N, s.K), func(b *testing.B) {
			const times = 20
			p, lda := NewPanels(s.K, s.N, FP32), s.K+16
			w, a, c := random(1, s.N*s.K), random(2, s.M*lda), make([]float32, s.M*s.N)
			team := NewTeam()
			job := func(k *Worker) {
				lo, hi := k.Range(s.N, Columns())
				for range times {
					p.Multiply(k, s.M, lo, hi, a, lda, nil, 0, c[lo:], s.N)
					k.Barrier()
				}
			}
			p.Pack(0, s.N, w, 1, s.K)
			for b.Loop() {
				team.Run(1<<30, job)
			}
			flops(b, times*2*float64(s.M*s.N*s.K))
		})
	}
}

// BenchmarkCells is one time step's gates at the tutorial's sizes, forward and
// backward, by one goroutine.
func BenchmarkCells(b *testing.B) {
	const B, H = 64, 1024
	x, tmp, h, out := random(1, B*4*H), random(2, B*TmpWidth(H)), random(3, B*H), make([]float32, B*H)
	dout, dh, dc, c := random(4, B*H), random(5, B*H), random(6, B*H), random(7, B*H)
	for name, run := range map[string]func(){
		"gru/forward":   func() { GRUForward(x, nil, tmp, h, out, B, H, 0, H) },
		"gru/backward":  func() { GRUBackward(tmp, h, dout, dh, B, H, 0, H) },
		"lstm/forward":  func() { LSTMForward(x, nil, tmp, c, out, h, B, H, 0, H) },
		"lstm/backward": func() { LSTMBackward(tmp, c, h, dout, dh, dc, B, H, 0, H) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(4 * B * H)
			for b.Loop() {
				run()
			}
		})
	}
}

// BenchmarkRows is the work on rows: loss, sums, Adam, by one goroutine.
func BenchmarkRows(b *testing.B) {
	const R, V, N = 640, 65, 3072
	logits, d, losses, targets := random(1, R*V), make([]float32, R*V), make([]float64, R), make([]int32, R)
	x, sums, squares := random(2, R*N), make([]float32, V*N), make([]float64, Chunks(R*N))
	for i := range targets {
		targets[i] = int32(i % V)
	}
	p, m, v := random(3, R*N), make([]float32, R*N), make([]float32, R*N)
	for name, f := range map[string]struct {
		bytes int64
		run   func()
	}{
		"loss":       {4 * R * V, func() { CrossEntropy(losses, d, logits, targets, 1, R, V) }},
		"segmentSum": {4 * R * N, func() { SegmentSum(sums, N, x, N, targets, R, 0, N) }},
		"columnSum":  {4 * R * N, func() { ColumnSum(sums, x, N, R, 0, N) }},
		"squares":    {4 * R * N, func() { SumSquares(squares, x, 0, len(squares)) }},
		"adam":       {4 * R * N, func() { Adam(p, m, v, x, &AdamRates{1, 1e-3, 0.1, 0.001, 1e-7, 1}) }},
		"follow":     {4 * R * N, func() { Follow(m, p, 1e-3) }},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(f.bytes)
			for b.Loop() {
				f.run()
			}
		})
	}
}
