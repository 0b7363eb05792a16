package tfrecord_test

import (
	"bytes"
	"fmt"
	"io"

	"github.com/quire-ml/quire/transforms/tfrecord"
)

func Example() {
	var file bytes.Buffer
	w := tfrecord.NewWriter(&file)
	for _, payload := range []string{"to be", "or not to be"} {
		if err := w.Write([]byte(payload)); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(file.Len(), "bytes")

	cut := bytes.NewReader(file.Bytes()[:40]) // as after a crash
	r := tfrecord.NewReader("train-00000-of-00001.tfrecord", cut)
	for {
		payload, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s\n", payload)
	}
	// Output:
	// 49 bytes
	// to be
	// tfrecord: train-00000-of-00001.tfrecord: record 1 at byte 21: 7 of 16 bytes of payload and checksum: truncated record
}
