package tfexample_test

import (
	"fmt"

	"github.com/quire-ml/quire/transforms/tfexample"
)

func Example() {
	width := tfexample.Width(5000) // bytes of an id in a vocabulary of 5000
	payload := tfexample.AppendIDs(nil, []int32{20, 15, 4999}, width)
	fmt.Printf("%d bytes of %d: % x\n", len(payload), tfexample.Size(3, width), payload)

	ids, err := tfexample.ParseIDs(nil, payload)
	fmt.Println(ids, err)

	_, err = tfexample.ParseIDs(nil, payload[:12])
	fmt.Println(err)
	// Output:
	// 21 bytes of 21: 0a 13 0a 11 0a 03 69 64 73 12 0a 1a 08 0a 06 94 00 8f 00 87 27
	// [20 15 4999] <nil>
	// tfexample: byte 1: length 19, but 10 bytes are left: not an example with the one feature ids
}
