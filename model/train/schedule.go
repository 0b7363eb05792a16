package train

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

// Schedule is the course of the learning rate: a name in the table below. The
// zero value is Constant.
type Schedule string

const (
	Constant Schedule = "constant"
	Cosine   Schedule = "cosine"
	Plateau  Schedule = "plateau"
)

// A course returns the learning rate of a step (from 0) after the warm-up, for
// the peak lr. The steps of all epochs are total; past are the finished epochs.
type course func(o *Options, step, total int64, past []EpochMetrics) float64

// schedules has a row for each schedule. A course that depends on total follows
// the number of epochs, and the config's table must say so.
var schedules = map[Schedule]course{
	Constant: func(o *Options, _, _ int64, _ []EpochMetrics) float64 { return o.LR },
	Cosine:   cosine,
	Plateau:  plateau,
}

// Schedules returns all schedules, in alphabetical order.
func Schedules() []Schedule { return slices.Sorted(maps.Keys(schedules)) }

// check refuses a schedule without a row.
func (s Schedule) check() error {
	if s != "" && schedules[s] == nil {
		return fmt.Errorf("train: schedule is %q, want one of %v", string(s), Schedules())
	}
	return nil
}

// rate returns the learning rate of a step (from 0): in the warm-up lr·(step+1)/
// warm-up, then the schedule's.
func (o *Options) rate(step, total int64, past []EpochMetrics) float64 {
	if step < o.WarmupSteps {
		return o.LR * (float64(step+1) / float64(o.WarmupSteps))
	}
	return schedules[cmp.Or(o.Schedule, Constant)](o, step, total, past)
}

// cosine falls along half a cosine, from lr after the warm-up to 0 after the last
// epoch.
func cosine(o *Options, step, total int64, _ []EpochMetrics) float64 {
	if total <= o.WarmupSteps {
		return o.LR
	}
	done := float64(step-o.WarmupSteps) / float64(total-o.WarmupSteps)
	return o.LR * (0.5 * (1 + cosPi(done)))
}

// plateauEpochs is the number of epochs that plateau waits for a lower loss.
const plateauEpochs = 2

// plateau halves the rate whenever plateauEpochs epochs have not lowered the loss.
func plateau(o *Options, _, _ int64, past []EpochMetrics) float64 {
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

// exhausted reports whether none of the last patience epochs has lowered the loss.
// A patience of 0 is endless.
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
