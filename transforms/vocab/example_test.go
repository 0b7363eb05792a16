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
