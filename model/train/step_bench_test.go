package train_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// BenchmarkStep is a whole training step: forward, backward, Adam.
func BenchmarkStep(b *testing.B) {
	for _, s := range []rnn.Shape{
		{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024},
		{Cell: rnn.LSTM, Layers: 1, Vocabulary: 65, Embedding: 256, Hidden: 1024},
		{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 128, Hidden: 512},
		{Cell: rnn.LSTM, Layers: 1, Vocabulary: 65, Embedding: 128, Hidden: 512},
		{Cell: rnn.GRU, Layers: 1, Vocabulary: 65, Embedding: 64, Hidden: 256},
		{Cell: rnn.LSTM, Layers: 1, Vocabulary: 65, Embedding: 64, Hidden: 256},
		{Cell: rnn.GRU, Layers: 1, Vocabulary: 20_000, Embedding: 64, Hidden: 256},
	} {
		b.Run(fmt.Sprintf("%s%d/%d", s.Cell, s.Hidden, s.Vocabulary), func(b *testing.B) {
			const T, B = 100, 64
			w := rnn.NewWeights(s)
			w.Init(1)
			tr, err := train.NewTrainer(w, T, B, 1e-3, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			batch := make([]int32, B*(T+1))
			r := rand.New(rand.NewPCG(1, 2))
			for i := range batch {
				batch[i] = int32(r.IntN(s.Vocabulary))
			}
			for b.Loop() {
				if _, err := tr.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(T*B*b.N)/b.Elapsed().Seconds(), "chars/s")
		})
	}
}

// BenchmarkEvaluate is the validation of tiny-shakespeare's last tenth with
// two layers of 512.
func BenchmarkEvaluate(b *testing.B) {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 2, Vocabulary: 65, Embedding: 64, Hidden: 512})
	w.Init(1)
	for b.Loop() {
		if _, _, err := train.Evaluate(b.Context(), w, &novel{stretches: []int64{111_504}}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOptions is a step of a GRU of 512 with 32 sequences of 100, plain and
// with each option.
func BenchmarkOptions(b *testing.B) {
	for name, set := range map[string]func(*train.TrainerOptions, *float64){
		"plain":    func(*train.TrainerOptions, *float64) {},
		"carry":    func(o *train.TrainerOptions, _ *float64) { o.Hidden = train.Carry },
		"average":  func(o *train.TrainerOptions, _ *float64) { o.Average = 0.999 },
		"sampling": func(_ *train.TrainerOptions, share *float64) { *share = 0.25 },
	} {
		b.Run(name, func(b *testing.B) {
			const T, B, V = 100, 32, 65
			w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: V, Embedding: 64, Hidden: 512})
			w.Init(1)
			var o train.TrainerOptions
			var share float64
			set(&o, &share)
			tr, err := train.NewTrainer(w, T, B, 1e-3, &o)
			if err != nil {
				b.Fatal(err)
			}
			defer tr.Close()
			tr.Sampling = share
			batch := make([]int32, B*(T+1))
			for i := range batch {
				batch[i] = int32(i * i % V)
			}
			for b.Loop() {
				if _, err := tr.Step(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
