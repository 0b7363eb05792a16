package vocab_test

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/vocab"
)

func Example() {
	counts := map[rune]int64{}
	for _, c := range "to be or not to be" {
		counts[c]++
	}
	v, err := vocab.New(vocab.Rune, counts, 2) // n and r occur once
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Size(), v.HasUnknown())

	ids, err := v.Encode(nil, []byte("robot"))
	fmt.Println(ids, err)

	var text []byte
	for _, id := range ids {
		text = v.AppendText(text, id)
	}
	fmt.Printf("%s\n", text)
	// Output:
	// 6 true
	// [0 4 2 4 5] <nil>
	// [UNK]obot
}

// The rows of a model's embedding move to the ids of a new vocabulary.
func ExampleVocab_Map() {
	old, err := vocab.New(vocab.Rune, map[rune]int64{'a': 1, 'b': 1, 'd': 1}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	next, err := vocab.New(vocab.Rune, map[rune]int64{'b': 1, 'c': 1, 'd': 1}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(next.Map(old))
	// Output: [1 -1 2]
}
