package decode_test

import (
	"context"
	"fmt"
	"log"

	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
)

// Write continues three prompts, two at a time.
func ExampleWrite() {
	w := rnn.NewWeights(rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 26, Embedding: 8, Hidden: 16})
	w.Init(1) // an untrained model: it writes nonsense
	prompts := [][]int32{{0, 1}, {2}, {}}
	var samplers []*sample.Sampler
	for i := range prompts {
		s, err := sample.New(sample.Options{Temperature: 1, TopP: 1}, 0, uint64(i))
		if err != nil {
			log.Fatal(err)
		}
		samplers = append(samplers, s)
	}
	texts := []string{"ab", "c", ""}
	err := decode.Write(context.Background(), decode.New(w, 2), samplers, prompts, 8, func(text int, id int32) error {
		texts[text] += string(rune('a' + id))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", texts)
	// Output: ["abdzhxriwe" "cpezsdgpf" "djgiqbat"]
}
