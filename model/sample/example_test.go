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
