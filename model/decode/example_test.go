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
	written := []string{"ab", "c", ""}
	var texts []*decode.Text
	for i, prompt := range prompts {
		s, err := sample.New(sample.Options{Temperature: 1, TopP: 1}, 0, uint64(i))
		if err != nil {
			log.Fatal(err)
		}
		texts = append(texts, &decode.Text{Prompt: prompt, Length: 8, Sampler: s, Emit: func(c decode.Char) bool {
			written[i] += string(rune('a' + c.ID))
			return true
		}})
	}
	if err := decode.Write(context.Background(), decode.New(w, 2), texts); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", written)
	// Output: ["abdzhxriwe" "cpezsdgpf" "djgiqbat"]
}
