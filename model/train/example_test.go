package train_test

import (
	"fmt"
	"log"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// A training loop of one's own: batches of B sequences of T+1 ids, one Step
// each.
func ExampleTrainer_Step() {
	const T, B = 4, 2
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 3, Embedding: 4, Hidden: 8})
	w.Init(1)
	t, err := train.NewTrainer(w, T, B, 0.01, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	batch := []int32{
		0, 1, 2, 0, 1, // the first sequence: after 0 comes 1, after 1 comes 2, …
		1, 2, 0, 1, 2, // the second
	}
	for step := range 101 {
		loss, err := t.Step(batch)
		if err != nil {
			log.Fatal(err)
		}
		if step%50 == 0 {
			fmt.Printf("step %3d: %.4f nats\n", step, loss)
		}
	}
	// Output:
	// step   0: 1.0962 nats
	// step  50: 0.0128 nats
	// step 100: 0.0026 nats
}

// Loss and Apply are the halves of Step; between them the gradients can be
// looked at, and the learning rate changed.
func ExampleTrainer_Loss() {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.LSTM, Layers: 1, Vocabulary: 2, Embedding: 2, Hidden: 3})
	w.Init(1)
	t, err := train.NewTrainer(w, 2, 1, 0.1, &train.TrainerOptions{Clip: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	for range 3 {
		loss, err := t.Loss([]int32{0, 1, 0})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%.4f nats, d loss / d dense.bias %.4f\n", loss, t.Gradient("dense.bias"))
		t.Solver.LR /= 2
		if err := t.Apply(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 0.6930 nats, d loss / d dense.bias [0.0013 -0.0013]
	// 0.6795 nats, d loss / d dense.bias [-0.0062 0.0062]
	// 0.6710 nats, d loss / d dense.bias [0.0126 -0.0126]
}
