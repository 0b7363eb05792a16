package bench

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
)

func small() Options {
	return Options{Shape: rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 5, Embedding: 3, Hidden: 4}, Batch: 2, Length: 3, Steps: 2, Generate: 4}
}

func TestCheck(t *testing.T) {
	if err := small().Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *Options){
		"cell":      func(o *Options) { o.Shape.Cell = "elman" },
		"hidden":    func(o *Options) { o.Shape.Hidden = 0 },
		"embedding": func(o *Options) { o.Shape.Embedding = 1<<16 + 1 },
		"layers":    func(o *Options) { o.Shape.Layers = -1 },
		"vocab":     func(o *Options) { o.Shape.Vocabulary = 0 },
		"batch":     func(o *Options) { o.Batch = 0 },
		"length":    func(o *Options) { o.Length = 0 },
		"steps":     func(o *Options) { o.Steps = 0 },
		"generate":  func(o *Options) { o.Generate = -1 },
	} {
		o := small()
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestRun: the figures belong together, whatever the machine.
func TestRun(t *testing.T) {
	for _, cell := range rnn.Cells() {
		o := small()
		o.Shape.Cell = cell
		r, err := Run(t.Context(), o, tiny.Console())
		if err != nil {
			t.Fatal(err)
		}
		if r.Cell != cell || r.Hidden != 4 || r.Steps != 2 || r.Threads < 1 || r.Variant == "" {
			t.Errorf("%s: %+v", cell, r)
		}
		for name, x := range map[string]float64{"chars_per_second": r.CharsPerSecond, "gflops": r.GFLOPS, "peak_gflops": r.PeakGFLOPS} {
			if !(x > 0) || math.IsInf(x, 0) {
				t.Errorf("%s: %s is %g", cell, name, x)
			}
		}
		if got, want := r.CharsPerSecond*r.StepMilliseconds/1000, 2.*3; math.Abs(got-want) > 1e-6*want {
			t.Errorf("%s: a step has %g characters by its rate and time, want %g", cell, got, want)
		}
		if got := r.GFLOPS / r.PeakGFLOPS; math.Abs(got-r.PeakShare) > 1e-9 {
			t.Errorf("%s: the share of the peak is %g, want %g", cell, r.PeakShare, got)
		}
		for _, streams := range []string{"1", "8", "64"} {
			if !(r.Generate[streams] > 0) {
				t.Errorf("%s: %s streams generate %g characters a second", cell, streams, r.Generate[streams])
			}
		}
	}
}

// TestRunWithout: no generation is asked for, or the work is cut off.
func TestRunWithout(t *testing.T) {
	o := small()
	o.Generate = 0
	if r, err := Run(t.Context(), o, tiny.Console()); err != nil || len(r.Generate) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, small(), tiny.Console()); !errors.Is(err, context.Canceled) || r != nil {
		t.Errorf("cancelled: %+v, %v", r, err)
	}
	if o = small(); o.Check() != nil {
		t.Errorf("the sizes of the tests are refused: %v", o.Check())
	}
	if o.Steps, o.Length = 1<<16, 1<<16; o.Check() != nil {
		t.Errorf("the largest sizes are refused: %v", o.Check())
	}
}

// TestRunSaysProgress: a person sees what is measured.
func TestRunSaysProgress(t *testing.T) {
	var lines bytes.Buffer
	if _, err := Run(t.Context(), small(), report.NewConsole(&lines, false)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bench: generate, 1 at a time\n", "bench: generate, 8 at a time\n", "bench: generate, 64 at a time\n"} {
		if strings.Count(lines.String(), want) != 1 {
			t.Errorf("no %q in %q", want, lines.String())
		}
	}
}

// TestPrecision: a precision that this processor lacks is refused before any work.
func TestPrecision(t *testing.T) {
	o := small()
	o.Precision = kernel.BF16
	r, err := Run(t.Context(), o, tiny.Console())
	if missing := kernel.BF16.Check(); missing != nil {
		if err == nil || err.Error() != missing.Error() {
			t.Errorf("want %v: %+v, %v", missing, r, err)
		}
	} else if err != nil || r.Precision != "bf16" {
		t.Errorf("%+v, %v", r, err)
	}
}
