package kernel

import (
	"math"
	"time"
)

// Peak measures the floating-point operations a second of all processors
// together, where no memory is touched. A fused multiply-add is two operations.
// Peak returns the best of 20 runs of the variant in use, which take about 100
// ms. The precision must be one that Check allows.
func Peak(precision Precision) float64 {
	peak := use.peak
	if precision == BF16 {
		peak = use.half.peak
	}
	team := NewTeam()
	var flops, best float64
	for range 20 {
		began := time.Now()
		team.Run(math.MaxInt/2, func(w *Worker) {
			n := peak()
			if w.ID == 0 {
				flops = n * float64(w.Size)
			}
		})
		best = max(best, flops/time.Since(began).Seconds())
	}
	return best
}
