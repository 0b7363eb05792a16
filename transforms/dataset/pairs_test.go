package dataset

import (
	"math"
	"testing"
)

// TestPairModel has losses that were worked out by hand.
func TestPairModel(t *testing.T) {
	m := pairModel{chars: make([]float64, 3), pairs: map[[2]int32]float64{}, followers: make([]float64, 3)}
	m.learn([]int32{0, 1, 0, 1})
	m.learn([]int32{0, 0})
	// Counts: 4 of 0, 2 of 1, none of 2. After 0: twice 1, once 0, so 2 followers. After 1: once 0.
	p := [3]float64{5.0 / 9, 3.0 / 9, 1.0 / 9}
	for _, test := range []struct {
		ids  []int32
		want float64
	}{
		{[]int32{0, 1}, -math.Log((2 + 2*p[1]) / (4 + 2))},
		{[]int32{1, 2}, -math.Log((0 + 1*p[2]) / (2 + 1))},
		{[]int32{2, 1}, -math.Log(p[1])},
		{[]int32{2, 1, 0}, (-math.Log(p[1]) - math.Log((1+1*p[0])/(2+1))) / 2},
	} {
		if got := m.loss(test.ids); math.Abs(got-test.want) > 1e-15 {
			t.Errorf("%v costs %v, want %v", test.ids, got, test.want)
		}
	}
	// Frequencies (2/3, 1/3, 0) and (0, 1/2, 1/2), with the means 1/3, 5/12, 1/4.
	want := (2.0/3*math.Log(2) + 1.0/3*math.Log(12.0/15) + 1.0/2*math.Log(12.0/10) + 1.0/2*math.Log(2)) / 2
	if got := m.divergence([]float64{0, 1, 1}); math.Abs(got-want) > 1e-15 {
		t.Errorf("the divergence is %v, want %v", got, want)
	}
	if got := m.divergence([]float64{2, 1, 0}); math.Abs(got) > 1e-15 {
		t.Errorf("the divergence of the same frequencies is %v", got)
	}
	var x sampled
	for _, loss := range []float64{1, 2, 3, 6} {
		x.add(loss, nil, false)
	}
	// Variance 14/4, over n-1, and (1+4/3)² times as much for so few.
	if want := 3.5 / 3 * 49 / 9; x.mean() != 3 || math.Abs(x.squaredError()-want) > 1e-12 {
		t.Errorf("mean %v, squared error %v", x.mean(), x.squaredError())
	}
}
