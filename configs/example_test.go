package configs_test

import (
	"errors"
	"fmt"

	"github.com/quire-ml/quire/configs"
)

func ExampleLoad() {
	r, err := configs.Load(configs.Options{
		Config:  "tutorial",
		Environ: []string{"QUIRE_TRAIN_BATCH=32"},
		Set:     []string{"train.lr=0.002"},
		Flags:   []configs.Flag{{Key: "train.out", Value: "work/mine", Name: "--out"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	c := r.Config
	fmt.Println(c.Name, c.Model.Cell, c.Model.Hidden, c.Train.Batch, c.Train.LR, c.Train.Out)
	// Output: tutorial gru 1024 32 0.002 work/mine
}

func ExampleResolved_Explain() {
	r, err := configs.Load(configs.Options{Config: "tutorial", Set: []string{"train.lr=0.002"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := r.Explain("train.lr")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text)
	// Output:
	// train.lr = 0.002
	//   set by    --set train.lr
	//   over      0.001 of embedded tutorial.yaml:23
	//   default   0.001
	//   range     number, at least 1e-09 and at most 10
	//   meaning   learning rate, the step size of Adam
	//   effect    weights
	//   variable  QUIRE_TRAIN_LR
}

func ExampleError() {
	_, err := configs.Load(configs.Options{Set: []string{"train.epoch=5"}})
	var e *configs.Error
	fmt.Println(errors.As(err, &e), e.Key, e.Nearest)
	fmt.Println(err)
	// Output:
	// true train.epoch train.epochs
	// configs: --set train.epoch: train.epoch is an unknown key; the nearest is train.epochs
}
