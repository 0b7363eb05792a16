package train

import (
	"math"
	"slices"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
)

// TestCarryAgainstPyTorch compares steps that carry the hidden with those of
// testdata/carry.py, which printed the numbers. Sequence 1 starts from zero at
// step 3. A gradient that went back into the batch before would show in the
// losses from step 2 on.
func TestCarryAgainstPyTorch(t *testing.T) {
	const V, T, B, tolerance = 5, 3, 2, 2e-6
	for cell, want := range map[rnn.Cell]struct{ losses, h, c []float64 }{
		rnn.GRU: {
			losses: []float64{1.643761237, 1.527384721, 1.580846971, 1.573399293, 1.569787048, 1.499635056},
			h:      []float64{0.385345995, 0.017026090, -0.050977989, 0.215239872, 0.443806268, 0.095071982, -0.021181592, 0.225654038},
		},
		rnn.LSTM: {
			losses: []float64{1.604244555, 1.717228559, 1.555849155, 1.638522598, 1.629951480, 1.482713742},
			h:      []float64{-0.011212348, 0.426249570, 0.156792260, -0.229877189, -0.014832786, 0.423339712, 0.160470494, -0.222289301},
			c:      []float64{-0.024714217, 0.943235029, 0.363004883, -0.541770854, -0.032351788, 0.922178380, 0.368631896, -0.518112286},
		},
	} {
		w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: V, Embedding: 3, Hidden: 4})
		for i := range w.Flat {
			w.Flat[i] = float32(math.Sin(1.7*float64(i)) * 0.3)
		}
		trainer, err := NewTrainer(w, T, B, 0.02, &TrainerOptions{Hidden: Carry})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > tolerance {
				t.Errorf("%s: %s is %.9f, by PyTorch %.9f", cell, what, got, want)
			}
		}
		for step, loss := range want.losses {
			var batch []int32
			for b := range B {
				for i := range T + 1 {
					x := step*T + i
					batch = append(batch, int32((x*x+3*b)%V))
				}
			}
			if step == 3 {
				trainer.Forget(1)
			}
			got, err := trainer.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			near("a loss", got, loss)
		}
		for i := range want.h {
			near("a hidden", float64(trainer.hidden.h[1][i]), want.h[i])
		}
		for i := range want.c {
			near("a cell", float64(trainer.hidden.c[1][i]), want.c[i])
		}
	}
}

// TestHiddenTensors: the tensors share the memory of the carried hidden.
func TestHiddenTensors(t *testing.T) {
	x := newHidden(rnn.Shape{Cell: rnn.LSTM, Layers: 2, Hidden: 3}, 2)
	var names []string
	for i, tensor := range x.tensors() {
		names = append(names, tensor.Name)
		tensor.Data[3+i%3] = 1
	}
	if want := []string{"hidden.h.l0", "hidden.c.l0", "hidden.h.l1", "hidden.c.l1"}; !slices.Equal(names, want) {
		t.Errorf("tensors %v, want %v", names, want)
	}
	x.forget(1)
	if x.h[0][3] != 0 || x.c[0][4] != 0 || x.h[1][5] != 0 || x.c[1][3] != 0 {
		t.Errorf("after forget: %v, %v", x.h, x.c)
	}
	if (*hidden)(nil).tensors() != nil {
		t.Error("nothing carried has tensors")
	}
}
