package train_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
)

// TestLosses pins the first ten losses of a small training of each cell: a
// change of one bit anywhere in the arithmetic shows.
func TestLosses(t *testing.T) {
	for cell, want := range map[rnn.Cell][]float64{
		rnn.GRU:  {1.9456887892476284, 1.92263370067622, 1.8941085628856231, 1.8423424929954455, 1.840155591978682, 1.8061288183319695, 1.7198971092146398, 1.7562676976169491, 1.7269982862049669, 1.6093703090882636},
		rnn.LSTM: {1.945860519025788, 1.9313842205548168, 1.9127935919352859, 1.881490073622078, 1.877620779385821, 1.8528036872554126, 1.7959747719213086, 1.8079022271222054, 1.7804655527395805, 1.689154463523994},
	} {
		w := rnn.NewWeights(rnn.Shape{Cell: cell, Layers: 2, Vocabulary: testV, Embedding: 5, Hidden: 9})
		w.Init(3)
		trainer, err := train.NewTrainer(w, testL, 3, 0.01, &train.TrainerOptions{Clip: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		defer trainer.Close()
		data, batch := trainData(), make([]int32, 3*(testL+1))
		var got []float64
		for step := range int64(10) {
			for b := range int64(3) {
				if err := data.Read(context.Background(), 1, (step*3+b)%9, batch[b*(testL+1):(b+1)*(testL+1)]); err != nil {
					t.Fatal(err)
				}
			}
			loss, err := trainer.Step(batch)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, loss)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: losses %v, want %v", cell, got, want)
		}
	}
}

func TestTrainerRefuses(t *testing.T) {
	w := rnn.NewWeights(options().Shape)
	w.Init(1)
	trainer, err := train.NewTrainer(w, testL, 2, 0.01, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	before := slices.Clone(w.Flat)
	for want, batch := range map[string][]int32{
		"train: batch of 11 ids, want 2 sequences of 6": make([]int32, 11),
		"7":  append(make([]int32, 11), testV),
		"-1": append(make([]int32, 11), -1),
	} {
		if _, err := trainer.Step(batch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", batch, err, want)
		}
	}
	if !slices.Equal(w.Flat, before) {
		t.Error("a refused batch changed the weights")
	}
}

// TestEvaluateIsTheGraphs: the loss of sequences that do not follow one another is
// the mean of their losses in the training graph.
func TestEvaluateIsTheGraphs(t *testing.T) {
	ctx, w := t.Context(), rnn.NewWeights(options().Shape)
	data, text := &sequences{n: 70}, &novel{stretches: slices.Repeat([]int64{testL + 1}, 70)}
	got, chars, err := train.Evaluate(ctx, w, text)
	if err != nil || math.Abs(got-math.Log(testV)) > 1e-6 || chars != 70*testL {
		t.Errorf("zero weights: %v over %d characters, %v, want ln %d", got, chars, err, testV)
	}
	w.Init(1)
	trainer, err := train.NewTrainer(w, testL, 1, 0.01, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	seq, sum := make([]int32, testL+1), 0.0
	for i := range data.n {
		if err := data.Read(ctx, 1, i, seq); err != nil {
			t.Fatal(err)
		}
		loss, err := trainer.Loss(seq)
		if err != nil {
			t.Fatal(err)
		}
		sum += loss
	}
	if got, _, err = train.Evaluate(ctx, w, text); err != nil || math.Abs(got-sum/float64(data.n)) > 1e-12 {
		t.Errorf("%v, %v, want %v as the training graph has it", got, err, sum/float64(data.n))
	}
}

// TestWeights: a checkpoint is a network, if its tensors are those of the shape.
func TestWeights(t *testing.T) {
	st, o := newStore(t), options()
	mustRun(t, st, o, nil)
	c, _, err := run.Open(context.Background(), st.URL(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tensors) != 3*len(o.Shape.Parameters()) {
		t.Errorf("%d tensors", len(c.Tensors))
	}
	w, err := c.Weights(o.Shape)
	if err != nil {
		t.Fatal(err)
	}
	nats, _, err := train.Evaluate(context.Background(), w, validationData())
	if p := pointerOf(t, st, "latest"); err != nil || nats != *p.Loss {
		t.Errorf("validation loss %v, %v, the pointer says %v", nats, err, *p.Loss)
	}
	wider, deeper := o.Shape, o.Shape
	wider.Hidden, deeper.Layers = 5, 2
	if _, err := c.Weights(wider); err == nil || !strings.Contains(err.Error(), "parameter rnn.weight_ih_l0 has shape [12 3], want [15 3]") {
		t.Errorf("wider: %v", err)
	}
	if _, err := c.Weights(deeper); err == nil || !strings.Contains(err.Error(), "there is no tensor rnn.weight_ih_l1") {
		t.Errorf("deeper: %v", err)
	}
}
