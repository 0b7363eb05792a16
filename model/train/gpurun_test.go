//go:build linux && !nogpu

package train_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

// errKilled ends a call of Run as a kill does: nothing more is saved.
var errKilled = errors.New("killed")

// A leg is a call of Run, on the GPU or the processor.
type leg struct {
	gpu    bool
	end    int64 // the step at which it ends
	killed bool  // it does not end by itself, and does not save that step
}

// gpuRuns are options and data of runs of more than 10 steps that save every third.
func gpuRuns() map[string]func() (train.Options, train.Data) {
	return map[string]func() (train.Options, train.Data){
		"gru": func() (train.Options, train.Data) {
			o := options()
			o.Epochs = 3
			return o, trainData()
		},
		"lstm with every option": func() (train.Options, train.Data) {
			o := carryOptions(rnn.LSTM)
			o.Epochs, o.Schedule, o.WarmupSteps = 4, train.Cosine, 2
			o.Dropout, o.InputDropout, o.WeightDropout, o.Average, o.Decay = 0.2, 0.1, 0.3, 0.9, 0.01
			o.Curriculum = train.Curriculum{SeqLength: 2, Epochs: 1, Sampling: 0.5}
			return o, trainNovel()
		},
	}
}

// trained takes the legs one after another in a store of their own, and returns it.
func trained(t *testing.T, d *cuda.Device, what func() (train.Options, train.Data), legs ...leg) *store.Store {
	t.Helper()
	st := newStore(t)
	for _, l := range legs {
		o, data := what()
		o.EverySteps, o.LogEvery, o.MaxSteps = 3, 1, l.end
		var observe func(train.Report) error
		if l.killed {
			o.MaxSteps = 0
			observe = func(r train.Report) error {
				if r.Step == l.end {
					return errKilled
				}
				return nil
			}
		}
		if l.gpu {
			o.Device = d
		}
		if _, err := runIn(context.Background(), st, data, validationNovel(), o, observe); l.killed != errors.Is(err, errKilled) || !l.killed && err != nil {
			t.Fatalf("%+v: %v", l, err)
		}
	}
	return st
}

// TestOneCheckpointFile: after 10 steps the checkpoint has one sha256, whichever
// device took which step, and whichever was killed after 7.
func TestOneCheckpointFile(t *testing.T) {
	d, _ := train.OpenStandIn(t, cudatest.Options{})
	for name, what := range gpuRuns() {
		end := func(legs ...leg) [2]string {
			all := contents(t, trained(t, d, what, legs...))
			return [2]string{all[checkpoint.Path(10)], all["latest.json"]}
		}
		want := end(leg{end: 10})
		if want[0] == "" {
			t.Fatalf("%s: no checkpoint of step 10", name)
		}
		for _, legs := range [][]leg{
			{{gpu: true, end: 10}},
			{{end: 5}, {gpu: true, end: 10}},
			{{gpu: true, end: 5}, {end: 10}},
			{{gpu: true, end: 7, killed: true}, {gpu: true, end: 10}},
			{{gpu: true, end: 7, killed: true}, {end: 10}},
			{{end: 7, killed: true}, {gpu: true, end: 10}},
		} {
			if got := end(legs...); got != want {
				t.Errorf("%s, %+v: checkpoint and pointer are %v, want %v", name, legs, got, want)
			}
		}
	}
}

// TestLostGPU: a GPU that fails in mid-training is an error that names the call. The
// last checkpoint is there, and the processor goes on from it to the same end.
func TestLostGPU(t *testing.T) {
	what := gpuRuns()["gru"]
	want := contents(t, trained(t, nil, what, leg{end: 10}))[checkpoint.Path(10)]
	for _, c := range []struct {
		call string
		n    int
		last int64 // step of the checkpoint that is left
	}{
		{"cuMemAlloc_v2", 1, -1},
		{"cuStreamEndCapture", 2, -1},
		{"cuGraphLaunch", 13, 6}, // of the loss of step 7
		{"cuGraphLaunch", 14, 6}, // of its update
		{"cuMemcpyHtoDAsync_v2", 40, 4},
		{"cuStreamSynchronize", 60, 3},
	} {
		d, s := train.OpenStandIn(t, cudatest.Options{})
		st := newStore(t)
		o, data := what()
		o.EverySteps, o.MaxSteps, o.Device = 3, 10, d
		s.Fail(c.call, c.n, 719)
		_, err := runIn(context.Background(), st, data, validationNovel(), o, nil)
		if lost := (*cuda.LostError)(nil); !errors.As(err, &lost) || !strings.Contains(err.Error(), strings.TrimSuffix(c.call, "_v2")) {
			t.Fatalf("%+v: error %v", c, err)
		}
		if p, err := readPointer(st, "latest"); c.last < 0 != (err != nil) || err == nil && p.Step != c.last {
			t.Errorf("%+v: latest is %+v, %v", c, p, err)
		}
		o.Device = nil
		if _, err := runIn(context.Background(), st, data, validationNovel(), o, nil); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, st)[checkpoint.Path(10)]; got != want {
			t.Errorf("%+v: the end is %s, want %s", c, got, want)
		}
	}
}
