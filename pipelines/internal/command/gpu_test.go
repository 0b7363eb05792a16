//go:build linux && !nogpu

package command_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/pipelines/device"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
)

func init() {
	childGPU = func() {
		l, err := cuda.NewLibrary(cudatest.New(child{}, cudatest.Options{}).Lookup)
		if err != nil {
			panic(err)
		}
		device.Driver = l
	}
}

// child is the test of a stand-in in a process that may end at any moment.
type child struct{ testing.TB }

func (child) Helper()                        {}
func (child) Cleanup(func())                 {}
func (child) Errorf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (child) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// newGPULab is a lab with a set, and settings with which a training takes 6 steps.
func newGPULab(t *testing.T) (*lab, func(args ...string) []string) {
	l := newLab(t)
	small := func(args ...string) []string {
		for _, set := range []string{"prep.validation.fraction=0.02", "train.max_steps=6", "train.checkpoint.every_steps=2"} {
			args = append(args, "--set", set)
		}
		return args
	}
	l.ok(small("prep")...)
	return l, small
}

// checkpointOf is the sha256 of the last checkpoint of a run, by its pointer.
func (l *lab) checkpointOf(run string) string {
	return l.read(filepath.Join(l.work, run, "latest.json"))
}

// TestTrainOnGPU: the run of the GPU has the bytes of the processor's, and says what it
// was taken for, also where it goes on from the processor's. What auto takes too.
func TestTrainOnGPU(t *testing.T) {
	s := tiny.GPU(t, cudatest.Options{})
	l, small := newGPULab(t)
	const name = "train: device gpu: Stand-in GPU, compute capability 7.0, driver of CUDA 12.4\n"
	if out := l.ok(small("train", "--out", "cpu", "--set", "train.device=cpu")...); !strings.Contains(out.stderr, "train: device cpu\n") {
		t.Error(out)
	}
	for run, devices := range map[string][2]string{"gpu": {"gpu", "gpu"}, "auto": {"auto", "auto"}, "both": {"cpu", "gpu"}, "other": {"gpu", "cpu"}} {
		counts := s.Count(func() {
			for i, device := range devices {
				args := append(small("train", "--out", run, "--set", "train.device="+device), "--set", fmt.Sprint("train.max_steps=", 3+3*i))
				if out := l.ok(args...); strings.Contains(out.stderr, name) != (device != "cpu") {
					t.Error(out)
				}
			}
		})
		if counts.GraphLaunches == 0 {
			t.Errorf("%s: no step on the GPU", run)
		}
		if got, want := l.checkpointOf(run), l.checkpointOf("cpu"); got != want {
			t.Errorf("%s: %s, the processor's is %s", run, got, want)
		}
	}
}

// TestTooLargeForGPUs: what no GPU trains is refused before work, and auto knows it.
func TestTooLargeForGPUs(t *testing.T) {
	tiny.GPU(t, cudatest.Options{Bytes: 1 << 60})
	l, small := newGPULab(t)
	wide := small("plan", "--set", "model.hidden=23171")
	l.fails(2, []string{"a hidden width of 23171, a GPU trains at most 23170; use train.device cpu"}, append(wide, "--set", "train.device=gpu")...)
	l.fails(2, []string{"to train"}, append(wide, "--set", "train.batch=65536")...) // on the processor, which has too little memory
}

// TestKilledOnGPU stops trainings on one device by SIGKILL inside a save, and lets
// the other take the rest of the steps.
func TestKilledOnGPU(t *testing.T) {
	every := 43
	if soak {
		every = 4
	}
	l, small := newGPULab(t)
	on := func(device string, args ...string) *exec.Cmd {
		c := l.child(append(small("train", "--set", "train.device="+device), args...)...)
		c.Env = append(c.Env, gpuVariable+"=1")
		return c
	}
	if out := l.finish(on("cpu", "--out", "cpu")); out.code != 0 {
		t.Fatal(out)
	}
	want := l.checkpointOf("cpu")
	for i, devices := range [][2]string{{"gpu", "cpu"}, {"cpu", "gpu"}, {"gpu", "gpu"}} {
		killed := 0
		for nth := 1 + i; ; nth += every {
			run := fmt.Sprintf("run%d-%d", i, nth)
			c := on(devices[0], "--out", run)
			c.Env = append(c.Env, fmt.Sprintf("%s=%d", killVariable, nth))
			first := l.stop(c, syscall.SIGKILL, time.Hour)
			if out := l.finish(on(devices[1], "--out", run)); out.code != 0 || l.checkpointOf(run) != want {
				t.Errorf("on %s killed at operation %d, then on %s: %v, %s, want %s", devices[0], nth, devices[1], out, l.checkpointOf(run), want)
			}
			if !first.killed {
				break
			}
			killed++
		}
		if killed < 5 {
			t.Errorf("%v: %d trainings killed, want one at every %d operations of four saves", devices, killed, every)
		}
		t.Logf("%v: %d killed", devices, killed)
	}
}

// TestNoGPU: gpu never falls back, and nothing is done before it is refused. auto falls
// back and says why.
func TestNoGPU(t *testing.T) {
	tiny.GPU(t, cudatest.Options{NoDevice: true})
	newLab(t).fails(2, []string{"the driver shows no GPU"}, "train", "--set", "train.device=gpu") // there is no set either
	for _, c := range []struct {
		o              cudatest.Options
		fail           string // a call that fails
		why, short     string
		remedy         string
		planned, fatal bool // whether plan sees it; whether the exit code is 1
	}{
		{o: cudatest.Options{NoDevice: true}, why: "the driver shows no GPU", short: "the driver shows no GPU", remedy: "or use train.device cpu", planned: true},
		{o: cudatest.Options{Version: 11030}, why: "it supports CUDA 11.3", short: "the driver is older than CUDA 11.4", remedy: "or use train.device cpu", planned: true},
		{o: cudatest.Options{Major: 6, Minor: 1}, why: "has compute capability 6.1", short: "the GPU's compute capability is below 7.0", remedy: "or use train.device cpu", planned: true},
		{o: cudatest.Options{Bytes: 20000}, why: "out of memory", short: "out of memory", remedy: "or a smaller model.hidden", planned: true},
		{o: cudatest.Options{Refuse: "no"}, why: "does not compile the kernels", short: "does not compile the kernels", remedy: "or use train.device cpu", fatal: true},
		{fail: "cuCtxSetCurrent", why: "the GPU failed", short: "the GPU failed", remedy: "goes on from its last checkpoint", fatal: true},
	} {
		t.Run(c.why, func(t *testing.T) {
			l, small := newGPULab(t)
			s := tiny.GPU(t, c.o)
			code := 2
			if c.fatal {
				code = 1
			}
			before := l.files(l.work)
			for _, command := range []string{"train", "plan", "run"} {
				if command != "train" && !c.planned {
					continue
				}
				if c.fail != "" {
					s.Fail(c.fail, 1, 46)
				}
				l.fails(code, []string{c.why, c.remedy}, small(command, "--set", "train.device=gpu")...)
			}
			if after := l.files(l.work); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("refused commands left %v, before were %v", after, before)
			}
			if c.fail != "" {
				s.Fail(c.fail, 1, 46)
			}
			if out := l.ok(small("train")...); !strings.Contains(out.stderr, "train: device cpu: ") || !strings.Contains(out.stderr, c.short) {
				t.Error(out)
			}
		})
	}
}

// TestDeviceIsNoInput: what a round has made on the processor is what a GPU would make,
// so another device finds nothing to do, and needs no GPU for it.
func TestDeviceIsNoInput(t *testing.T) {
	l := newLab(t)
	l.ok("run", "--set", "train.device=cpu")
	tiny.GPU(t, cudatest.Options{NoDevice: true})
	before := l.files(l.work)
	for _, device := range []string{"auto", "gpu"} {
		for _, stage := range l.result("stages", "plan", "--set", "train.device="+device)["stages"].([]any) {
			if s := stage.(map[string]any); s["action"] != "skip" {
				t.Errorf("%s: %v", device, s)
			}
		}
	}
	if after := l.files(l.work); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("plans left %v, before were %v", after, before)
	}
	l.ok("run", "--set", "train.device=gpu")
}

// TestPrecisionOnGPU: bf16 is refused by name with gpu; auto takes the processor.
func TestPrecisionOnGPU(t *testing.T) {
	l, small := newGPULab(t)
	tiny.GPU(t, cudatest.Options{})
	l.fails(2, []string{"train.device", "use train.precision fp32, or train.device cpu"}, small("train", "--set", "train.device=gpu", "--set", "train.precision=bf16")...)
	out := l.run(small("train", "--set", "train.precision=bf16")...)
	if took := strings.Contains(out.stderr, "train: device cpu: only a processor has products in bf16\n"); took != (out.code == 0) || !took && !strings.Contains(out.stderr, "AVX512-BF16") {
		t.Error(out)
	}
}

// TestLostInTraining: a GPU that fails in mid-training ends the command, which says that
// the next one goes on, and it does.
func TestLostInTraining(t *testing.T) {
	s := tiny.GPU(t, cudatest.Options{})
	l, small := newGPULab(t)
	s.Fail("cuGraphLaunch", 9, 719) // of the loss of step 5
	l.fails(1, []string{"step 5", "cuGraphLaunch", "goes on from its last checkpoint, with train.device cpu too"}, small("train", "--set", "train.device=gpu")...)
	l.ok(small("train", "--set", "train.device=cpu")...)
	l.ok(small("train", "--out", "whole", "--set", "train.device=cpu")...)
	if l.checkpointOf("run") != l.checkpointOf("whole") {
		t.Error("the run that went on has other bytes")
	}
}

func TestGPUInVersionAndBench(t *testing.T) {
	l := newLab(t)
	s := tiny.GPU(t, cudatest.Options{})
	if out := l.ok("version").stdout; !strings.Contains(out, "\ndevice    gpu, ") || !strings.Contains(out, "\ngpu       Stand-in GPU, compute capability 7.0, driver of CUDA 12.4\n") {
		t.Error(out)
	}
	args := []string{"bench", "--hidden", "8", "--embedding", "4", "--vocab", "7", "--batch", "2", "--length", "3", "--steps", "2", "--generate", "0"}
	r := l.result("device gpu step_milliseconds gflops peak_gflops", append(args, "--device", "gpu")...)
	if r["device"] != "gpu" || r["gpu"] != "Stand-in GPU" || r["peak_gflops"] != 0.0 || r["step_milliseconds"].(float64) <= 0 {
		t.Errorf("bench on the GPU: %v", r)
	}
	if out := l.ok(append(args, "--device", "gpu")...).stdout; !strings.Contains(out, "device      gpu: Stand-in GPU\n") || strings.Contains(out, "peak") {
		t.Error(out)
	}
	if r := l.result("device gpu", args...); r["device"] != "cpu" || r["gpu"] != "" {
		t.Errorf("bench: %v", r)
	}
	if r := l.result("device gpu", append(args, "--set", "train.device=gpu")...); r["device"] != "gpu" {
		t.Errorf("bench of a config that trains on the GPU: %v", r)
	}
	s.Fail("cuGraphLaunch", 3, 719)
	if out := l.run(append(args, "--device", "gpu")...); out.code != 1 || !strings.Contains(out.stderr, "--device gpu: cuda: the GPU failed: cuGraphLaunch: ") ||
		strings.Contains(out.stderr, "checkpoint") {
		t.Error(out)
	}
	l.fails(2, []string{`--device is "tpu"`, "auto cpu gpu"}, append(args, "--device", "tpu")...)
	tiny.GPU(t, cudatest.Options{NoDevice: true})
	l.fails(2, []string{"--device gpu: cuda: the driver shows no GPU"}, append(args, "--device", "gpu")...)
}
