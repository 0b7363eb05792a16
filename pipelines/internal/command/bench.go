package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/bench"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/report"
)

// Bench is the command that measures the speed of training and generation.
func Bench() *cobra.Command {
	var o common
	b := bench.Options{}
	var cell, precision, on string
	c := build(&o, "bench", "Measure training and generation on this machine",
		`Bench trains a model on random characters and generates with it, and prints the medians:
characters a second, the work that a step needs in GFLOPS, and its share of the peak of this
machine's fused multiply-adds, measured in the same run. The peak of a GPU is not measured.

A flag decides a size; without it the key that a variable, --set, or the file of --config sets:
model.cell, layers, hidden and embedding, prep.seq_length (--length), train.batch, device and
precision. Else the sizes are the tutorial's. Dropout is not measured.`,
		"  bench\n  bench --config shakespeare\n  bench --cell lstm --hidden 512 --embedding 128 --steps 20\n  bench --device gpu --steps 50",
		func(c *cobra.Command) error {
			keys, err := sizesOf(c, &o)
			if err != nil {
				return err
			}
			b.Shape.Cell = rnn.Cell(cell)
			if b.Precision, err = kernel.ParsePrecision(precision); err != nil {
				return usage(c, err)
			}
			if err = b.Check(); err != nil {
				return usage(c, keys.name(err))
			}
			if !slices.Contains(device.Names, on) {
				return usage(c, fmt.Errorf("%s is %q; it must be one of %v", keys.of("device"), on, device.Names))
			}
			gpu, taken, err := device.Open(on, b.CheckGPU(), b.Needs())
			if err != nil {
				return usage(c, fmt.Errorf("%s %s: %v", keys.of("device"), on, err)) // the remedies of errors speak of keys
			}
			o.console(c).Line("bench: device %s", taken)
			b.Device = gpu
			res, err := bench.Run(c.Context(), b, o.console(c))
			if gpu != nil {
				err = errors.Join(err, gpu.Close())
			}
			if deviceRemedy(err) != "" {
				return fmt.Errorf("%s %s: %v", keys.of("device"), on, err)
			}
			if err != nil {
				return err
			}
			return o.print(c, res, func(w io.Writer) { printBench(w, res) })
		})
	f := c.Flags()
	f.StringVar(&cell, "cell", "gru", fmt.Sprintf("kind of recurrent cell, one of %v", rnn.Cells()))
	f.StringVar(&on, "device", device.CPU, fmt.Sprintf("what trains, one of %v; the processor generates in any case", device.Names))
	f.StringVar(&precision, "precision", "fp32", "number format of the recurrent products in training: fp32 or bf16")
	f.IntVar(&b.Shape.Hidden, "hidden", 1024, "hidden width")
	f.IntVar(&b.Shape.Embedding, "embedding", 256, "embedding width")
	f.IntVar(&b.Shape.Layers, "layers", 1, "recurrent layers")
	f.IntVar(&b.Shape.Vocabulary, "vocab", 65, "characters of the vocabulary")
	f.IntVar(&b.Batch, "batch", 64, "sequences in a batch")
	f.IntVar(&b.Length, "length", 100, "time steps")
	f.IntVar(&b.Steps, "steps", 8, "training steps to measure, after 2 unmeasured steps")
	f.IntVar(&b.Generate, "generate", 200, "characters to generate in each stream; 0 for none")
	return c
}

// sizeKeys are the keys that decide sizes, by flag.
type sizeKeys map[string]string

// of returns what decides a size: its key or its flag.
func (k sizeKeys) of(size string) string { return cmp.Or(k[size], "--"+size) }

// name returns an error that begins with a size with what decides it in its place.
func (k sizeKeys) name(err error) error {
	size, why, _ := strings.Cut(err.Error(), " ")
	return fmt.Errorf("%s %s", k.of(size), why)
}

// sizesOf sets each size's flag that is not given to its key's value, where a variable, --set or the file of --config
// sets that key. It returns these keys.
func sizesOf(c *cobra.Command, o *common) (keys sizeKeys, err error) {
	r, err := o.load()
	if err != nil {
		return nil, err
	}
	keys = sizeKeys{}
	m, t := r.Config.Model, r.Config.Train
	for _, size := range []struct {
		flag, key string
		value     any
	}{
		{"cell", "model.cell", m.Cell}, {"layers", "model.layers", m.Layers}, {"hidden", "model.hidden", m.Hidden},
		{"embedding", "model.embedding", m.Embedding}, {"length", "prep.seq_length", r.Config.Prep.SeqLength}, {"batch", "train.batch", t.Batch},
		{"device", "train.device", t.Device}, {"precision", "train.precision", t.Precision},
	} {
		set := r.Overridden(size.key) || o.config != "" && r.Set(size.key)
		if f := c.Flag(size.flag); set && !f.Changed {
			if err := f.Value.Set(fmt.Sprint(size.value)); err != nil {
				return nil, fmt.Errorf("command: bench: %s: %w", size.key, err)
			}
			keys[size.flag] = size.key
		}
	}
	return keys, nil
}

func printBench(w io.Writer, r *bench.Result) {
	fmt.Fprintf(w, "model       %s, %s, hidden %d, embedding %d; batches of %d × %d\n", r.Cell, report.Count(r.Layers, "layer"), r.Hidden, r.Embedding, r.Batch, r.Length)
	if r.Device == device.GPU {
		fmt.Fprintf(w, "device      gpu: %s\n", r.GPU)
	}
	fmt.Fprintf(w, "kernels     %s, %s, %d threads\n", r.Variant, r.Precision, r.Threads)
	fmt.Fprintf(w, "training    %.0f characters a second, %.1f ms a step (median of %d)\n", r.CharsPerSecond, r.StepMilliseconds, r.Steps)
	if r.PeakGFLOPS > 0 {
		fmt.Fprintf(w, "work        %.1f GFLOPS of %.1f at the peak: %.0f %%\n", r.GFLOPS, r.PeakGFLOPS, 100*r.PeakShare)
	} else {
		fmt.Fprintf(w, "work        %.1f GFLOPS\n", r.GFLOPS)
	}
	var sizes []int
	for size := range r.Generate {
		n, _ := strconv.Atoi(size)
		sizes = append(sizes, n)
	}
	sort.Ints(sizes)
	for _, n := range sizes {
		fmt.Fprintf(w, "generation  %.0f characters a second, %d at a time\n", r.Generate[strconv.Itoa(n)], n)
	}
}
