package kernel

import (
	"math"
	"unsafe"
)

// AdamRates are the numbers of one Adam step, the same for every parameter. The
// order is that of the assembly.
type AdamRates struct {
	Scale     float32 // factor of the gradients: 1, or less to clip
	Rate      float32 // lr·sqrt(1-β2^t)/(1-β1^t)
	Beta1Rest float32 // 1-β1, rounded from float64
	Beta2Rest float32 // 1-β2
	Epsilon   float32
	Keep      float32 // 1 - lr·weight decay; 1 for none
}

// Adam updates parameters in place, in Keras' form:
//
//	g  = scale·grad
//	m += (1-β1)·(g - m)        v += (1-β2)·(g² - v)
//	p  = keep·p - rate·m / (sqrt(v) + ε)
//
// p, m, v and grad have the same length and do not overlap.
func Adam(p, m, v, grad []float32, a *AdamRates) {
	n := whole(len(p))
	if n > 0 {
		m, v, grad := m[:len(p)], v[:len(p)], grad[:len(p)]
		use.adam(n, &p[0], &m[0], &v[0], &grad[0], (*[6]float32)(unsafe.Pointer(a)))
	}
	adam(p[n:], m[n:], v[n:], grad[n:], a)
}

func adam(p, m, v, grad []float32, a *AdamRates) {
	for i := range p {
		g := float32(grad[i] * a.Scale) // rounded here: g - m must not fuse with it
		m[i] = FMA(a.Beta1Rest, g-m[i], m[i])
		v[i] = FMA(a.Beta2Rest, FMA(g, g, -v[i]), v[i])
		root := float32(math.Sqrt(float64(v[i])))
		p[i] = float32(a.Keep*p[i]) - float32(a.Rate*m[i])/(root+a.Epsilon)
	}
}

// Follow moves a mean of parameters towards them:
//
//	mean += rate·(p - mean)
//
// Each operation is rounded. mean and p have the same length.
func Follow(mean, p []float32, rate float32) {
	mean = mean[:len(p)]
	for i, x := range p {
		mean[i] += float32(rate * (x - mean[i])) // rounded: the sum must not fuse with it
	}
}
