package train

import (
	"errors"
	"math"
	"testing"
)

func epochs(losses ...float64) []EpochMetrics {
	var past []EpochMetrics
	for i, l := range losses {
		past = append(past, EpochMetrics{Epoch: i + 1, TrainNats: 9, Validation: &l})
	}
	return past
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		name        string
		schedule    Schedule
		warmup      int64
		step, total int64
		past        []EpochMetrics
		want        float64
	}{
		{"constant", Constant, 0, 7, 10, nil, 0.5},
		{"empty is constant", "", 0, 7, 10, nil, 0.5},
		{"first of the warm-up", Constant, 4, 0, 10, nil, 0.125},
		{"last of the warm-up", Cosine, 4, 3, 10, nil, 0.5},
		{"cosine, start", Cosine, 4, 4, 12, nil, 0.5},
		{"cosine, a quarter", Cosine, 4, 6, 12, nil, 0.5 * (0.5 + math.Sqrt2/4)},
		{"cosine, half", Cosine, 4, 8, 12, nil, 0.25},
		{"cosine, a sixth before the end", Cosine, 0, 10, 12, nil, 0.5 * (0.5 - math.Sqrt(3)/4)},
		{"cosine, end", Cosine, 0, 12, 12, nil, 0},
		{"cosine, all warm-up", Cosine, 12, 12, 12, nil, 0.5},
		{"plateau, better each time", Plateau, 0, 9, 12, epochs(3, 2, 1), 0.5},
		{"plateau, one worse", Plateau, 0, 9, 12, epochs(3, 2, 2), 0.5},
		{"plateau, two worse", Plateau, 0, 9, 12, epochs(3, 2, 2, 4), 0.25},
		{"plateau, three worse", Plateau, 0, 9, 12, epochs(3, 2, 2, 4, 2), 0.25},
		{"plateau, four worse", Plateau, 0, 9, 12, epochs(3, 2, 2, 4, 2, 2), 0.125},
		{"plateau, better after all", Plateau, 0, 9, 12, epochs(3, 2, 2, 4, 1, 2), 0.25},
	} {
		o := Options{LR: 0.5, Schedule: c.schedule, WarmupSteps: c.warmup}
		if got := o.rate(c.step, c.total, c.past); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%s: rate %.17g, want %.17g", c.name, got, c.want)
		}
	}
}

func TestScheduleCheck(t *testing.T) {
	if err := errors.Join(Schedule("").check(), Plateau.check()); err != nil {
		t.Error(err)
	}
	_, _, err := Steps(nil, Options{Schedule: "linear"})
	if want := `train: schedule is "linear", want one of [constant cosine plateau]`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestCosPi(t *testing.T) {
	worst := 0.0
	for i := 0; i <= 10_000; i++ {
		x := float64(i) / 10_000
		worst = max(worst, math.Abs(cosPi(x)-math.Cos(math.Pi*x)))
	}
	if worst > 1e-15 {
		t.Errorf("worst difference %.3g, want at most 1e-15", worst)
	}
}

func TestExhausted(t *testing.T) {
	for _, c := range []struct {
		past     []EpochMetrics
		patience int
		want     bool
	}{
		{nil, 2, false}, {epochs(1), 1, false}, {epochs(1, 2), 1, true}, {epochs(1, 2), 2, false}, {epochs(1, 2, 1), 2, true},
		{epochs(3, 2, 1), 1, false}, {epochs(3, 1, 2, 0.5, 0.6), 2, false}, {epochs(1, 2, 3, 4), 0, false},
		{[]EpochMetrics{{TrainNats: 1}, {TrainNats: 2}}, 1, true},
	} {
		if got := exhausted(c.past, c.patience); got != c.want {
			t.Errorf("%d epochs, patience %d: %v", len(c.past), c.patience, got)
		}
	}
}
