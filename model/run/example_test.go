package run_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
)

// A loop holds the run, saves and commits, and then resumes from the newest intact
// checkpoint. A reader opens the best checkpoint meanwhile.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "run")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	st, err := store.Open(ctx, folder)
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	dir, err := run.Acquire(ctx, st, nil)
	if err != nil {
		log.Fatal(err)
	}
	keep := run.Retention{KeepLast: 2, KeepBest: true}
	for step, loss := range []float64{2.1, 1.4, 1.6, 1.7} {
		p, err := dir.Save(ctx, &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{Cell: "gru", Step: int64(step)},
			Tensors: []checkpoint.Tensor{{Name: "dense.bias", Shape: []int{1}, Data: []float32{float32(step)}}}})
		if err != nil {
			log.Fatal(err)
		}
		p.Loss = &loss
		if warning, err := dir.Commit(ctx, p, keep); err != nil || warning != nil {
			log.Fatal(errors.Join(err, warning))
		}
	}
	if err := dir.Release(ctx); err != nil {
		log.Fatal(err)
	}

	if err := os.Truncate(filepath.Join(folder, checkpoint.Path(3)), 100); err != nil {
		log.Fatal(err)
	}
	if dir, err = run.Acquire(ctx, st, nil); err != nil {
		log.Fatal(err)
	}
	defer dir.Release(ctx)
	newest, err := dir.NewestIntact(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := dir.ResumeFrom(ctx, newest, keep); err != nil {
		log.Fatal(err)
	}
	fmt.Println("resume from step", newest.Step, "past", len(newest.Damaged), "damaged")

	best, _, err := run.Open(ctx, folder, run.Best)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("best is step", best.Step)
	// Output:
	// resume from step 2 past 1 damaged
	// best is step 1
}
