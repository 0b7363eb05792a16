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
// exponentials is a lane sum. A row with a NaN gives NaN alone. dlogits may be
// logits.
func CrossEntropy(losses []float64, dlogits, logits []float32, targets []int32, scale float32, R, V int) {
	acc := new([lanes]float32) // of all rows: what assembly writes to is not on the stack
	for r := 0; r < R; r++ {
		losses[r] = crossEntropy(dlogits[r*V:(r+1)*V], logits[r*V:(r+1)*V], int(targets[r]), scale, acc)
	}
}

// crossEntropy writes the gradient of one row to e and returns its loss.
func crossEntropy(e, l []float32, target int, scale float32, acc *[lanes]float32) float64 {
	m := greatest(l, acc)
	hit := l[target] // read before e is written: e may be l
	s := expSum(e, l, m, acc)
	scaleBy(e, scale/s)
	e[target] -= scale
	return Log(float64(s)) + (float64(m) - float64(hit))
}

// greatest returns the greatest value of x, or any value where one is NaN. Zeros
// of both signs are equal to it.
func greatest(x []float32, acc *[lanes]float32) float32 {
	m, n := x[0], wholeLanes(len(x))
	if n > 0 {
		for i := range acc {
			acc[i] = m
		}
		use.greatest(n, &x[0], acc)
		m = top(m, acc[:])
	}
	return top(m, x[n:])
}

// top returns the greatest of m and the values of x.
func top(m float32, x []float32) float32 {
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m
}

// expSum sets dst[i] = Exp(src[i] - m) and returns the lane sum of dst.
func expSum(dst, src []float32, m float32, acc *[lanes]float32) float32 {
	*acc = [lanes]float32{}
	n := wholeLanes(len(dst))
	if n > 0 {
		use.expSum(n, &dst[0], &src[:n][0], acc, m)
	}
	for i := n; i < len(dst); i++ {
		x := Exp(src[i] - m)
		dst[i] = x
		acc[i%lanes] += x
	}
	return pairs(acc)
}

// pairs returns the sum of the lanes, and leaves the sums of pairs in them.
func pairs(acc *[lanes]float32) float32 {
	for w := lanes / 2; w > 0; w /= 2 {
		for i := 0; i < w; i++ {
			acc[i] += acc[i+w]
		}
	}
	return acc[0]
}

// scaleBy multiplies the values of x by k.
func scaleBy(x []float32, k float32) {
	n := whole(len(x))
	if n > 0 {
		use.scaleBy(n, &x[0], k)
	}
	for i := n; i < len(x); i++ {
		x[i] *= k
	}
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
