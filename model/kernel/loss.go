package kernel

import "math"

// CrossEntropy computes, for each row of logits, the softmax cross-entropy
// against a target and its gradient.
//
//	losses[r]    = log Σ_v e^(logits[r,v]) - logits[r,targets[r]]        nats
//	dlogits[r,v] = scale · (softmax(logits[r])[v] - [v = targets[r]])
//
//	losses   (R) float64       logits   (R, V)
//	targets  (R), 0 … V-1      dlogits  (R, V)
//
// The greatest logit is subtracted first, so nothing overflows; the sum of the
// exponentials is a lane sum. dlogits may be logits.
func CrossEntropy(losses []float64, dlogits, logits []float32, targets []int32, scale float32, R, V int) {
	for r := 0; r < R; r++ {
		losses[r] = crossEntropy(dlogits[r*V:(r+1)*V], logits[r*V:(r+1)*V], int(targets[r]), scale)
	}
}

// crossEntropy writes the gradient of one row to e and returns its loss.
func crossEntropy(e, l []float32, target int, scale float32) float64 {
	m := l[0]
	for _, x := range l[1:] {
		if x > m {
			m = x
		}
	}
	hit := l[target] // read before e is written: e may be l
	expSub(e, l, m)
	s := laneSum(e)
	k := scale / s
	for v := range e {
		e[v] *= k
	}
	e[target] -= scale
	return Log(float64(s)) + (float64(m) - float64(hit))
}

// expSub sets dst[i] = Exp(src[i] - m).
func expSub(dst, src []float32, m float32) {
	n := whole(len(dst))
	if n > 0 {
		use.expSub(n, &dst[0], &src[:n][0], m)
	}
	for i := n; i < len(dst); i++ {
		dst[i] = Exp(src[i] - m)
	}
}

// laneSum returns the lane sum of x.
func laneSum(x []float32) float32 {
	var acc [lanes]float32
	for i, v := range x {
		acc[i%lanes] += v
	}
	for w := lanes / 2; w > 0; w /= 2 {
		for i := 0; i < w; i++ {
			acc[i] += acc[i+w]
		}
	}
	return acc[0]
}

// Mean returns the mean of x, summed in index order; NaN for no values.
func Mean(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v
	}
	if len(x) == 0 {
		return math.NaN()
	}
	return s / float64(len(x))
}
