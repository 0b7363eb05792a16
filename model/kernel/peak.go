package kernel

import (
	"math"
	"time"
)

// Peak returns the fused multiply-adds that all processors do together without
// touching memory, in operations (two each) a second: the best of several runs
// of the variant in use, in a precision that Check allows. It takes some 100 ms.
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
