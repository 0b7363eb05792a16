package sample_test

import (
	"fmt"
	"log"

	"github.com/quire-ml/quire/model/sample"
)

// A sampler draws one id after another; here always from the same logits.
func ExampleSampler_Next() {
	s, err := sample.New(sample.Options{Temperature: 0.8, TopK: 2, TopP: 1}, 1, 0)
	if err != nil {
		log.Fatal(err)
	}
	logits := []float32{0.5, -1, 2, 1.5}
	for range 8 {
		id, err := s.Next(logits)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(id, " ")
	}
	// Output: 3 3 2 3 2 3 3 2
}

// Probabilities shows the distribution after temperature, top-k and top-p.
func ExampleSampler_Probabilities() {
	s, err := sample.New(sample.Options{Temperature: 1, TopP: 0.9}, 1, 0)
	if err != nil {
		log.Fatal(err)
	}
	p, err := s.Probabilities(nil, []float32{0, 2, -3, 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.3f, kept %v\n", p, s.Kept())
	// Output: [0.000 0.731 0.000 0.269], kept [1 3]
}
