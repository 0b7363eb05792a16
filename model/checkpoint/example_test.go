package checkpoint_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// Data first, pointer last: a checkpoint is saved, then latest.json is moved
// to it. Open finds it again.
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
	if err := checkpoint.SwapPointer(ctx, st, "latest", p, ""); err != nil {
		log.Fatal(err)
	}

	c, at, err := checkpoint.Open(ctx, dir, "latest")
	if err != nil {
		log.Fatal(err)
	}
	bias, _ := c.Tensor("dense.bias")
	fmt.Println(filepath.Base(at), c.Step, bias.Shape, bias.Data)
	// Output: step-00000172.safetensors 172 [2] [0.5 -1]
}
