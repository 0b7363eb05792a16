package checkpoint_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// Save returns a pointer to the file; Load reads that very file, verified.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	p, err := checkpoint.Save(ctx, st, &checkpoint.Checkpoint{
		Metadata: checkpoint.Metadata{Cell: "gru", Step: 172, Epoch: 1},
		Tensors:  []checkpoint.Tensor{{Name: "dense.bias", Shape: []int{2}, Data: []float32{0.5, -1}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	c, err := checkpoint.Load(ctx, st, p)
	if err != nil {
		log.Fatal(err)
	}
	bias, _ := c.Tensor("dense.bias")
	fmt.Println(p.Name, c.Step, bias.Shape, bias.Data)
	// Output: checkpoints/step-00000172.safetensors 172 [2] [0.5 -1]
}
