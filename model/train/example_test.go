package train_test

import (
	"fmt"
	"log"
	"math"

	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
)

// The tutorial's training loop, written by hand: epochs of batches, a loss, its
// gradients, an update. After two epochs a harder text follows an easy one. From
// the fourth epoch on, samples of the model replace a growing share of the inputs
// (scheduled sampling).
func ExampleTrainer() {
	const T, B, V = 8, 4, 5
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: V, Embedding: 8, Hidden: 16})
	w.Init(1)
	t, err := train.NewTrainer(w, T, B, 0.01, &train.TrainerOptions{Clip: 1, Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()

	easy := func(i int) int32 { return int32(i % V) }       // 0 1 2 3 4 0 1 …
	harder := func(i int) int32 { return int32(i * i % V) } // 0 1 4 4 1 0 1 …
	batch := make([]int32, 0, B*(T+1))
	for epoch := 1; epoch <= 6; epoch++ {
		text := easy
		if epoch > 2 {
			text = harder
			t.Sampling = 0.1 * float64(epoch-3)
		}
		var loss, norm float64
		for at := range 25 {
			batch = batch[:0]
			for b := range B {
				for i := range T + 1 {
					batch = append(batch, text((at*B+b)*T+i))
				}
			}
			if loss, err = t.Loss(batch); err != nil {
				log.Fatal(err)
			}
			norm = 0
			for _, g := range t.Gradient("rnn.weight_hh_l0") {
				norm += float64(g) * float64(g)
			}
			if err := t.Apply(); err != nil {
				log.Fatal(err)
			}
		}
		fmt.Printf("epoch %d: %.3f nats, recurrent gradient %.3f, %.0f %% samples\n", epoch, loss, math.Sqrt(norm), 100*t.Sampling)
	}
	// Output:
	// epoch 1: 0.398 nats, recurrent gradient 0.095, 0 % samples
	// epoch 2: 0.018 nats, recurrent gradient 0.002, 0 % samples
	// epoch 3: 0.134 nats, recurrent gradient 0.030, 0 % samples
	// epoch 4: 0.100 nats, recurrent gradient 0.017, 10 % samples
	// epoch 5: 0.809 nats, recurrent gradient 0.396, 20 % samples
	// epoch 6: 0.146 nats, recurrent gradient 0.152, 30 % samples
}

// A training loop: batches of B sequences of T+1 ids, one Step each.
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

// Loss and Apply are the halves of Step. Between them a loop can read the
// gradients and change the learning rate.
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
