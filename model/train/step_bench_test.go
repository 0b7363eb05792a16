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
	} {
		b.Run(fmt.Sprintf("%s%d", s.Cell, s.Hidden), func(b *testing.B) {
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
