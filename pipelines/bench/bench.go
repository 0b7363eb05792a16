// Package bench measures how fast this machine trains and generates.
package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/memory"
)

// Options are the sizes that Run measures.
type Options struct {
	Shape    rnn.Shape
	Batch    int // sequences
	Length   int // time steps
	Steps    int // measured
	Generate int // characters a stream, 0 for none

	Precision kernel.Precision // of training
	Device    *cuda.Device     // that trains; nil for the processor, which generates in any case
}

// Needs returns the bytes of a GPU that training takes.
func (o Options) Needs() int64 {
	_, gpu := o.training().GPUMemory()
	return gpu
}

// CheckGPU is train.Options.CheckGPU of the training.
func (o Options) CheckGPU() error { return o.training().CheckGPU() }

func (o Options) training() *train.Options {
	return &train.Options{TrainerOptions: train.TrainerOptions{Precision: o.Precision}, Shape: o.Shape, Batch: o.Batch, SeqLength: o.Length}
}

// Check refuses sizes that are out of range. The error begins with the name of the size.
func (o Options) Check() error {
	if _, err := rnn.ParseCell(string(o.Shape.Cell)); err != nil {
		return fmt.Errorf("cell is unknown: %w", err)
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"hidden", o.Shape.Hidden}, {"embedding", o.Shape.Embedding}, {"layers", o.Shape.Layers}, {"vocab", o.Shape.Vocabulary},
		{"batch", o.Batch}, {"length", o.Length}, {"steps", o.Steps}} {
		if n.value < 1 || n.value > 1<<16 {
			return fmt.Errorf("%s is %d; it must be 1 to %d", n.name, n.value, 1<<16)
		}
	}
	if o.Generate < 0 {
		return fmt.Errorf("generate is %d; it must be 0 or more", o.Generate)
	}
	return nil
}

// Result is the outcome of Run. Rates are those of the median step.
type Result struct {
	Cell             rnn.Cell           `json:"cell"`
	Layers           int                `json:"layers"`
	Hidden           int                `json:"hidden"`
	Embedding        int                `json:"embedding"`
	Batch            int                `json:"batch"`
	Length           int                `json:"length"`
	Device           string             `json:"device"` // cpu or gpu
	GPU              string             `json:"gpu"`    // its name; empty for none
	Variant          string             `json:"variant"`
	Precision        string             `json:"precision"`
	Threads          int                `json:"threads"`
	Steps            int                `json:"steps"`
	StepMilliseconds float64            `json:"step_milliseconds"`
	CharsPerSecond   float64            `json:"chars_per_second"`
	GFLOPS           float64            `json:"gflops"`      // of the multiplications and additions that a step needs
	PeakGFLOPS       float64            `json:"peak_gflops"` // of this machine, in the same run; 0 for a GPU, whose peak is not measured
	PeakShare        float64            `json:"peak_share"`  // 0 for a GPU
	Generate         map[string]float64 `json:"generate"`    // characters a second, by streams side by side
}

// generateSizes are the numbers of streams that Run generates side by side.
var generateSizes = []int{1, 8, 64}

// Run measures training steps and generation on random characters.
func Run(ctx context.Context, o Options, console *report.Console) (*Result, error) {
	variant, err := kernel.Variant()
	if err != nil {
		return nil, err
	}
	s := o.Shape
	needs, _ := o.training().GPUMemory()
	if o.Device == nil {
		needs = o.training().Memory()
	}
	if err := memory.Check("to train this network", needs); err != nil {
		return nil, err
	}
	res := &Result{Device: "cpu", Cell: s.Cell, Layers: s.Layers, Hidden: s.Hidden, Embedding: s.Embedding, Batch: o.Batch, Length: o.Length,
		Variant: variant, Precision: o.Precision.String(), Threads: runtime.GOMAXPROCS(0), Steps: o.Steps, Generate: map[string]float64{}}
	w := rnn.NewWeights(s)
	w.Init(1)
	if err := o.Precision.Check(); err != nil {
		return nil, err
	}
	var peak float64
	if o.Device == nil {
		peak = kernel.Peak(o.Precision)
	} else if info, err := o.Device.Info(); err != nil {
		return nil, err
	} else {
		res.Device, res.GPU = "gpu", info.Name
	}
	if err := measureTraining(ctx, o, w, res, console); err != nil {
		return nil, err
	}
	if o.Device == nil {
		res.PeakGFLOPS = max(peak, kernel.Peak(o.Precision)) / 1e9
		res.PeakShare = res.GFLOPS / res.PeakGFLOPS
	}
	for _, streams := range generateSizes {
		if o.Generate == 0 {
			break
		}
		console.Line("bench: generate, %d at a time", streams)
		rate, err := measureGeneration(ctx, w, streams, o.Generate)
		if err != nil {
			return nil, err
		}
		res.Generate[strconv.Itoa(streams)] = rate
	}
	return res, nil
}

// measureTraining fills in the median of the steps.
func measureTraining(ctx context.Context, o Options, w *rnn.Weights, res *Result, console *report.Console) error {
	trainer, err := train.NewTrainer(w, o.Length, o.Batch, 1e-3, &train.TrainerOptions{Precision: o.Precision, Device: o.Device})
	if err != nil {
		return err
	}
	defer trainer.Close()
	r := rand.New(rand.NewPCG(1, 2))
	batch := make([]int32, o.Batch*(o.Length+1))
	for i := range batch {
		batch[i] = int32(r.IntN(o.Shape.Vocabulary))
	}
	const warm = 2
	var times []time.Duration
	progress := console.Progress("bench", 0, int64(o.Steps+warm))
	defer progress.Done()
	for i := range o.Steps + warm {
		if err := ctx.Err(); err != nil {
			return err
		}
		began := time.Now()
		if _, err := trainer.Step(batch); err != nil {
			return err
		}
		took := time.Since(began)
		if i >= warm {
			times = append(times, took)
		}
		progress.Set(int64(i+1), fmt.Sprintf("step %d: %.0f ms", i+1, took.Seconds()*1e3))
	}
	slices.Sort(times)
	median := times[len(times)/2].Seconds()
	res.StepMilliseconds = median * 1e3
	res.CharsPerSecond = float64(o.Batch*o.Length) / median
	res.GFLOPS = o.Shape.StepFlops(o.Length, o.Batch) / median / 1e9
	return nil
}

// measureGeneration returns the characters a second of streams side by side.
func measureGeneration(ctx context.Context, w *rnn.Weights, streams, chars int) (float64, error) {
	const warm = 20
	began, written := time.Now(), 0
	texts := make([]*decode.Text, streams)
	for i := range texts {
		sampler, err := sample.New(sample.Options{Temperature: 1, TopP: 1}, 1, uint64(i))
		if err != nil {
			return 0, err
		}
		texts[i] = &decode.Text{Length: warm + chars, Sampler: sampler, Emit: func(decode.Char) bool {
			if written++; written == warm*streams {
				began = time.Now()
			}
			return true
		}}
	}
	err := decode.Write(ctx, decode.New(w, streams), texts)
	return float64(streams*chars) / time.Since(began).Seconds(), err
}
