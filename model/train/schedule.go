package train

import "math"

// Schedule is how the learning rate changes during a training.
type Schedule string

const (
	Constant Schedule = "constant" // it stays; the default
	Cosine   Schedule = "cosine"   // half a cosine from lr after the warm-up to 0 at the end of the last epoch
	Plateau  Schedule = "plateau"  // halved whenever plateauEpochs epochs have not improved the loss
)

// plateauEpochs is how many epochs Plateau waits.
const plateauEpochs = 2

// rate returns the learning rate of step (from 0). It rises over the warm-up
// to lr: (step+1)/warm-up of it. total is the number of steps in all epochs.
func (o *Options) rate(step, total int64, past []EpochMetrics) float64 {
	if step < o.WarmupSteps {
		return o.LR * (float64(step+1) / float64(o.WarmupSteps))
	}
	switch o.Schedule {
	case Cosine:
		if total <= o.WarmupSteps {
			return o.LR
		}
		done := float64(step-o.WarmupSteps) / float64(total-o.WarmupSteps)
		return o.LR * (0.5 * (1 + cosPi(done)))
	case Plateau:
		lr, waited, lowest := o.LR, 0, math.Inf(1)
		for _, e := range past {
			if waited++; e.judgedLoss() < lowest {
				lowest, waited = e.judgedLoss(), 0
			}
			if waited == plateauEpochs {
				lr, waited = lr/2, 0
			}
		}
		return lr
	}
	return o.LR
}

// exhausted reports whether the last patience epochs have not improved the
// loss.
func exhausted(past []EpochMetrics, patience int) bool {
	best := 0
	for i, e := range past {
		if e.judgedLoss() < past[best].judgedLoss() {
			best = i
		}
	}
	return patience > 0 && len(past)-1-best >= patience
}

// judgedLoss is the validation loss, or without a validation part the training
// loss.
func (e EpochMetrics) judgedLoss() float64 {
	if e.Validation != nil {
		return *e.Validation
	}
	return e.TrainNats
}

// cosPi returns cos(πx) for 0 ≤ x ≤ 1 within 1e-15, the same on every
// processor: the Taylor series of sin(π(½-x)).
func cosPi(x float64) float64 {
	y := math.Pi * (0.5 - x)
	u := float64(y * y)
	p := 0.0
	for k := 23; k >= 3; k -= 2 {
		p = math.FMA(p, u, 1) * (-1 / float64(k*(k-1)))
	}
	return math.FMA(float64(p*u), y, y)
}
