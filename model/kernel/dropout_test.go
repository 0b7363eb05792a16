package kernel

import (
	"math"
	"testing"
)

// TestMask pins the values kept. They come from a Python program with the same
// definition.
func TestMask(t *testing.T) {
	m := NewMask(0.4)
	m.Key = 7
	ones, got := make([]float32, 40), make([]float32, 40)
	for i := range ones {
		ones[i] = 1
	}
	m.Apply(got, ones, 0, 40)
	scale := float32(1 / (1 - 26214.0/65536))
	for i, c := range "0010010101010100000011111101101101111110" {
		if want := scale * float32(c-'0'); got[i] != want {
			t.Errorf("value %d is %v, want %v", i, got[i], want)
		}
	}
	for lo := 0; lo < 40; lo++ {
		for hi := lo; hi <= 40; hi++ {
			part := append([]float32(nil), ones...)
			m.Apply(part, part, lo, hi)
			for i := range part {
				want := float32(1)
				if i >= lo && i < hi {
					want = got[i]
				}
				if part[i] != want {
					t.Fatalf("%d to %d: value %d is %v, want %v", lo, hi, i, part[i], want)
				}
			}
		}
	}
}

func TestMaskVariants(t *testing.T) {
	for kind, values := range kinds {
		t.Run(kind, func(t *testing.T) {
			agree(t, func(n int) [][]float32 {
				var all [][]float32
				for _, p := range []float64{0, 0.2, 0.5, 0.99999} {
					m := NewMask(p)
					m.Key = 1<<63 + uint64(n)
					src, dst := values(1, n+5), values(2, n+5)
					m.Apply(dst, src, 5, n+5)
					m.Apply(src, src, 0, n/2)
					all = append(all, dst, src)
				}
				return all
			})
		})
	}
}

// TestMaskShare checks the share dropped and that neighbours are independent.
func TestMaskShare(t *testing.T) {
	const n = 1 << 20
	x := make([]float32, n)
	for _, p := range []float64{0, 0.1, 0.5, 0.9} {
		m := NewMask(p)
		m.Key = 99
		for i := range x {
			x[i] = 1
		}
		m.Apply(x, x, 0, n)
		var dropped, both float64
		for i := range x {
			if x[i] == 0 {
				dropped++
				if i > 0 && x[i-1] == 0 {
					both++
				}
			}
		}
		sd := math.Sqrt(p * (1 - p) / n)
		if math.Abs(dropped/n-p) > 5*sd+1.0/65536 || math.Abs(both/n-p*p) > 10*sd+1.0/32768 {
			t.Errorf("p %g: share dropped %.5f, of pairs %.5f, want %.5f and %.5f", p, dropped/n, both/n, p, p*p)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	x := random(1, 1<<16)
	m := NewMask(0.4)
	b.SetBytes(4 << 16)
	for b.Loop() {
		m.Apply(x, x, 0, len(x))
	}
}
