package train_test

import (
	"math"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
)

// TestAverage: a checkpoint's parameters are the mean of those after each step, and
// validation judges the mean. The last parameters have the prefix raw, and training
// goes on from them as without a mean.
func TestAverage(t *testing.T) {
	read := func(average float64) (*checkpoint.Checkpoint, []rnn.Weights) {
		t.Helper()
		st, o := newStore(t), options()
		o.Average, o.EverySteps = average, 1
		mustRun(t, st, o, nil)
		var all []rnn.Weights
		for step := range int64(8) {
			c, _, err := run.Open(t.Context(), st.Join(checkpoint.Path(step+1)), "")
			if err != nil {
				t.Fatal(err)
			}
			w, err := c.Weights(o.Shape)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, *w)
		}
		c, _, err := run.Open(t.Context(), st.URL(), "latest")
		if err != nil {
			t.Fatal(err)
		}
		nats, _, err := train.Evaluate(t.Context(), &all[7], validationData())
		if p := pointerOf(t, st, "latest"); err != nil || nats != *p.Loss {
			t.Errorf("average %g: the pointer says %v, the parameters have %v, %v", average, *p.Loss, nats, err)
		}
		return c, all
	}
	plain, steps := read(0)
	mean, means := read(0.5)
	for _, p := range options().Shape.Parameters() {
		want, _ := plain.Tensor(p.Name)
		got, ok := mean.Tensor("raw." + p.Name)
		if !ok || !slices.Equal(got.Data, want.Data) {
			t.Errorf("raw.%s is %v, without a mean it would be %v", p.Name, got.Data, want.Data)
		}
		if _, ok := plain.Tensor("raw." + p.Name); ok {
			t.Errorf("without a mean there is raw.%s", p.Name)
		}
	}
	for i := range steps[0].Flat {
		var sum, weights float64
		for k := range 8 {
			weight := math.Pow(0.5, float64(7-k))
			sum, weights = sum+weight*float64(steps[k].Flat[i]), weights+weight
		}
		if got := float64(means[7].Flat[i]); math.Abs(got-sum/weights) > 1e-6 {
			t.Errorf("value %d is %v, the mean %v", i, got, sum/weights)
		}
	}
}
