//go:build linux && !nogpu

package device_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
)

const standInWords = "Stand-in GPU, compute capability 7.0, driver of CUDA 12.4"

// TestOpen: what each name takes, and what Check has said before.
func TestOpen(t *testing.T) {
	bf16 := errors.New("train: only a processor has products in bf16")
	const free = 1 << 20 // beside what the driver takes
	for _, c := range []struct {
		o       cudatest.Options
		name    string
		unfit   error
		needs   int64
		taken   string // how it begins; "" for an error
		err     string // what the error has
		checked string // the error of Check has it; "" for none
	}{
		{name: device.CPU, taken: "cpu"},
		{name: device.GPU, needs: free, taken: "gpu: " + standInWords},
		{name: device.Auto, needs: free, taken: "gpu: " + standInWords},
		{name: device.GPU, needs: free + 1, err: "MiB more are needed, the GPU has 65.0 MiB free", checked: "MiB are needed, the whole GPU has 65.0 MiB: train with"},
		{name: device.Auto, needs: free + 1, taken: "cpu: cuda: out of memory"},
		{name: device.CPU, unfit: bf16, taken: "cpu"},
		{name: device.GPU, unfit: bf16, err: "train: only a processor has products in bf16", checked: "train: only a processor"},
		{name: device.Auto, unfit: bf16, taken: "cpu: only a processor has products in bf16"},
		{o: cudatest.Options{NoDevice: true}, name: device.GPU, err: "the driver shows no GPU", checked: "the driver shows no GPU"},
		{o: cudatest.Options{NoDevice: true}, name: device.Auto, taken: "cpu: the driver shows no GPU"},
		{o: cudatest.Options{NoDevice: true}, name: device.CPU, taken: "cpu"},
		{o: cudatest.Options{Refuse: "no"}, name: device.GPU, err: "does not compile the kernels"},
		{o: cudatest.Options{Refuse: "no"}, name: device.Auto, taken: "cpu: cuda: the driver does not compile the kernels"},
	} {
		c.o.Bytes = free + 64<<20
		s := tiny.GPU(t, c.o)
		onGPU, err := device.Check(c.name, c.unfit, c.needs)
		if c.checked != "" != (err != nil) || err != nil && !strings.Contains(err.Error(), c.checked) {
			t.Errorf("%+v: Check says %v", c, err)
		}
		d, taken, err := device.Open(c.name, c.unfit, c.needs)
		if c.err != "" != (err != nil) || err != nil && !strings.Contains(err.Error(), c.err) || !strings.HasPrefix(taken, c.taken) {
			t.Errorf("%+v: took %q, %v", c, taken, err)
		}
		if d != nil != strings.HasPrefix(c.taken, "gpu") || d != nil && !onGPU {
			t.Errorf("%+v: a GPU is open: %t; Check has promised one: %t", c, d != nil, onGPU)
		}
		if d != nil {
			err = d.Close()
		}
		if left := s.Left(); left != "" || d != nil && err != nil {
			t.Errorf("%+v: left %s, %v", c, left, err)
		}
	}
}

// TestLost: a GPU that fails is no reason for auto to fail.
func TestLost(t *testing.T) {
	s := tiny.GPU(t, cudatest.Options{})
	s.Fail("cuCtxSetCurrent", 1, 46)
	if d, taken, err := device.Open(device.Auto, nil, 1); d != nil || err != nil || !strings.HasPrefix(taken, "cpu: cuda: the GPU failed") {
		t.Errorf("auto took %q, %v", taken, err)
	}
	s.Fail("cuCtxSetCurrent", 1, 46)
	if _, _, err := device.Open(device.GPU, nil, 1); !errors.As(err, new(*cuda.LostError)) {
		t.Errorf("gpu: %v", err)
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		o    cudatest.Options
		want [3]string
	}{
		{cudatest.Options{}, [3]string{"gpu", standInWords, ""}},
		{cudatest.Options{NoDevice: true}, [3]string{"cpu", "", "the driver shows no GPU"}},
		{cudatest.Options{Version: 11030}, [3]string{"cpu", "", "the driver is older than CUDA 11.4"}},
		{cudatest.Options{Major: 6, Minor: 1}, [3]string{"cpu", "", "the GPU's compute capability is below 7.0"}},
	} {
		tiny.GPU(t, c.o)
		name, gpu, lacks := device.Find()
		if got := [3]string{name, gpu, lacks}; got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}
