//go:build linux && !nogpu

package cuda

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/cuda/cudatest"
)

// TestUnavailable holds the errors that say that there is no GPU to be had.
func TestUnavailable(t *testing.T) {
	for name, c := range map[string]struct {
		o       cudatest.Options
		call    string // that fails
		code    int
		visible string // CUDA_VISIBLE_DEVICES; "-" is not set
		reason  Reason
		want    string
	}{
		"no device": {call: "cuInit", code: 100, visible: "-", reason: NoDevice,
			want: "cuda: the driver shows no GPU: see whether nvidia-smi -L shows one, and in MIG mode an instance of it; a container must be started with access to it"},
		"hidden": {call: "cuInit", code: 100, visible: "7", reason: NoDevice,
			want: `cuda: the driver shows no GPU: CUDA_VISIBLE_DEVICES="7" hides all that it does not name: unset it, or name a GPU that nvidia-smi -L lists`},
		"all hidden": {o: cudatest.Options{NoDevice: true}, visible: "", reason: NoDevice,
			want: `cuda: the driver shows no GPU: CUDA_VISIBLE_DEVICES="" hides all that it does not name: unset it, or name a GPU that nvidia-smi -L lists`},
		"stub": {call: "cuInit", code: 34, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: CUDA_ERROR_STUB_LIBRARY (34): CUDA driver is a stub library: a stand-in of the CUDA toolkit was loaded in place of the driver's library: take its folder, stubs, out of LD_LIBRARY_PATH"},
		"mismatch": {call: "cuInit", code: 803, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803): system has unsupported display driver / cuda driver combination: libcuda.so.1 and the kernel's driver are of two versions: restart the machine after the driver's update"},
		"compat": {call: "cuInit", code: 804, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE (804): forward compatibility was attempted on non supported HW: a library for compatibility was loaded in place of the driver's: take its folder, compat, out of LD_LIBRARY_PATH"},
		"unknown": {call: "cuInit", code: 999, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: CUDA_ERROR_UNKNOWN (999): unknown error: see whether nvidia-smi shows the GPU, and load the kernel's module nvidia_uvm (modprobe nvidia_uvm)"},
		"no fabric": {call: "cuInit", code: 802, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: CUDA_ERROR_SYSTEM_NOT_READY (802): system not yet initialized: a machine with NVSwitch needs the service nvidia-fabricmanager, of the driver's version: start it"},
		"a code without a name": {call: "cuInit", code: 12345, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuInit: error 12345: see whether nvidia-smi shows the GPU"},
		"later": {call: "cuDeviceGetName", code: 999, visible: "-", reason: BrokenDriver,
			want: "cuda: the driver cannot be used: cuDeviceGetName: CUDA_ERROR_UNKNOWN (999): unknown error: see whether nvidia-smi shows the GPU, and load the kernel's module nvidia_uvm (modprobe nvidia_uvm)"},
		"old driver": {o: cudatest.Options{Version: 11030}, visible: "-", reason: OldDriver,
			want: "cuda: the driver is too old: it supports CUDA 11.3: install one of CUDA 11.4 (version 470) or later"},
		"old library": {o: cudatest.Options{Missing: "cuGraphInstantiateWithFlags"}, visible: "-", reason: OldDriver,
			want: "cuda: the driver is too old: its library has no cuGraphInstantiateWithFlags: install one of CUDA 11.4 (version 470) or later"},
		"old device": {o: cudatest.Options{Major: 6, Minor: 1}, visible: "-", reason: OldDevice,
			want: "cuda: Stand-in GPU has compute capability 6.1, at least 7.0 is needed (Volta, 2017): take a later GPU"},
	} {
		t.Run(name, func(t *testing.T) {
			// Setenv also for what is unset: it puts the variable back.
			t.Setenv("CUDA_VISIBLE_DEVICES", c.visible)
			if c.visible == "-" {
				if err := os.Unsetenv("CUDA_VISIBLE_DEVICES"); err != nil {
					t.Fatal(err)
				}
			}
			for ask, f := range map[string]func(*Library) error{
				"Open":  func(l *Library) error { _, err := Open(l); return err },
				"Probe": func(l *Library) error { _, err := Probe(l); return err },
			} {
				s := cudatest.New(t, c.o)
				if c.call != "" {
					s.Fail(c.call, 1, c.code)
				}
				l, err := NewLibrary(s.Lookup)
				if err == nil {
					err = f(l)
				}
				var u *Unavailable
				if !errors.As(err, &u) || u.Reason != c.reason || err.Error() != c.want {
					t.Errorf("%s:\n%v\nwant reason %d,\n%s", ask, err, c.reason, c.want)
				}
				var call *CallError
				if found := errors.As(err, &call); found != (c.call != "") || found && (call.Call != c.call || call.Code != c.code) {
					t.Errorf("%s: the call that failed is %+v, want %s, %d", ask, call, c.call, c.code)
				}
			}
		})
	}
}

// TestNoDriver: what was searched, as the loader and the variable have it.
func TestNoDriver(t *testing.T) {
	if _, err := Load(); err == nil {
		t.Skip("this machine has NVIDIA's driver")
	}
	const advice = " and the folders of the system's loader (ldconfig -p): install the driver; in a container, start it with access to the GPU and NVIDIA_DRIVER_CAPABILITIES=compute; on GKE, set LD_LIBRARY_PATH=/usr/local/nvidia/lib64"
	for path, searched := range map[string]string{
		"":              "LD_LIBRARY_PATH, which is not set,",
		"/opt/a:/opt/b": `LD_LIBRARY_PATH="/opt/a:/opt/b"`,
	} {
		t.Setenv("LD_LIBRARY_PATH", path)
		want := "cuda: libcuda.so.1 of NVIDIA's driver cannot be loaded: libcuda.so.1: cannot open shared object file: No such file or directory; searched " + searched + advice
		for name, f := range map[string]func() error{
			"Load":  func() error { _, err := Load(); return err },
			"Open":  func() error { _, err := Open(nil); return err },
			"Probe": func() error { _, err := Probe(nil); return err },
		} {
			var u *Unavailable
			if err := f(); !errors.As(err, &u) || u.Reason != NoDriver || err.Error() != want {
				t.Errorf("%s:\n%v\nwant\n%s", name, err, want)
			}
		}
	}
}

// TestLeast: the oldest driver and GPU that do.
func TestLeast(t *testing.T) {
	open(t, cudatest.New(t, cudatest.Options{Version: 11040, Major: 7}))
}

// TestOpenFails: whatever call of Open fails, the error says which, and nothing is left.
func TestOpenFails(t *testing.T) {
	for _, call := range []string{"cuDevicePrimaryCtxRetain", "cuCtxSetCurrent", "cuStreamCreate", "cuModuleGetFunction"} {
		s := cudatest.New(t, cudatest.Options{Bytes: 3 << 20})
		s.Fail(call, 1, 46)
		d, err := Open(library(t, s))
		var lost *LostError
		want := "cuda: the GPU failed: " + call + ": CUDA_ERROR_DEVICE_UNAVAILABLE (46): CUDA-capable device(s) is/are busy or unavailable: another program has the GPU for itself: end it (nvidia-smi lists them), or let more than one in (nvidia-smi -c DEFAULT)"
		if d != nil || !errors.As(err, &lost) || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		var u *Unavailable
		if errors.As(err, &u) {
			t.Errorf("%s: a GPU that fails is said to be none", call)
		}
		if left := s.Left(); left != "" {
			t.Errorf("%s: left behind: %s", call, left)
		}

		s = cudatest.New(t, cudatest.Options{Bytes: 3 << 20})
		s.Fail(call, 1, 2)
		_, err = Open(library(t, s))
		var full *MemoryError
		if !errors.As(err, &full) {
			t.Errorf("%s: %v, want a *MemoryError", call, err)
		}
		if left := s.Left(); left != "" {
			t.Errorf("%s: left behind: %s", call, left)
		}
	}
}

// TestRefusedKernels: the compiler's log is in the error.
func TestRefusedKernels(t *testing.T) {
	const advice = ": install the whole driver, with libnvidia-ptxjitcompiler.so.1 (a container needs NVIDIA_DRIVER_CAPABILITIES=compute), and leave CUDA_DISABLE_PTX_JIT unset"
	for name, c := range map[string]struct {
		refuse string
		code   int
		want   string
	}{
		"log": {"ptxas fatal:  Unsupported .version 7.0;\n\tcurrent version is '6.5'\n", 0,
			"cuda: the driver does not compile the kernels: cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed: ptxas fatal: Unsupported .version 7.0; current version is '6.5'"},
		"long log": {strings.Repeat("x", 10000), 0,
			"cuda: the driver does not compile the kernels: cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed: " + strings.Repeat("x", 8191)},
		"no log": {"", 221,
			"cuda: the driver does not compile the kernels: cuModuleLoadDataEx: CUDA_ERROR_JIT_COMPILER_NOT_FOUND (221): PTX JIT compiler library not found: its compiler wrote no log"},
	} {
		s := cudatest.New(t, cudatest.Options{Refuse: c.refuse})
		if c.code != 0 {
			s.Fail("cuModuleLoadDataEx", 1, c.code)
		}
		_, err := Open(library(t, s))
		var refused *CompileError
		if !errors.As(err, &refused) || err.Error() != c.want+advice {
			t.Errorf("%s:\n%v\nwant\n%s", name, err, c.want+advice)
		}
	}
}

// TestOutOfMemory: the error has the bytes, and the device works on.
func TestOutOfMemory(t *testing.T) {
	s := cudatest.New(t, cudatest.Options{Bytes: 3 << 20})
	d := open(t, s)
	alloc := func(n int) (p Ptr, err error) {
		err = d.run(func() (err error) { p, err = d.alloc(n); return err })
		return p, err
	}
	p, err := alloc(2 << 20)
	if err != nil {
		t.Fatal(err)
	}
	_, err = alloc(1<<20 + 1<<19)
	want := "cuda: out of memory: 1.5 MiB more are needed, the GPU has 1.0 MiB free: end other programs on the GPU (nvidia-smi lists them), or train with smaller batches, shorter sequences or a smaller model"
	var full *MemoryError
	if !errors.As(err, &full) || *full != (MemoryError{Needed: 1<<20 + 1<<19, Free: 1 << 20}) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	q, err := alloc(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	s.Fail("cuMemAllocHost_v2", 1, 2)
	err = d.run(func() error { _, err := d.pinned(5 << 20); return err })
	want = "cuda: out of memory: the machine cannot pin 5.0 MiB more for copies to the GPU: end other programs, or raise the limit on memory (of a container, or ulimit -l)"
	if !errors.As(err, &full) || *full != (MemoryError{Needed: 5 << 20, Host: true}) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	s.Fail("cuStreamSynchronize", 1, 2)
	want = "cuda: out of memory: the GPU has 0.0 MiB free, too little for the driver itself: end other programs on the GPU (nvidia-smi lists them)"
	if err := d.run(d.wait); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	on(t, d, func() error { return errors.Join(d.wait(), d.free(p), d.free(q)) })
}

// TestLost: after the first failure every call returns it, also when the later ones
// would fail with another.
func TestLost(t *testing.T) {
	const advice = ": start the program again; if it fails again, see the system's log (dmesg, lines with Xid) and nvidia-smi"
	for _, c := range []struct {
		call  string
		nth   int
		code  int
		cause string
	}{
		{"cuGraphLaunch", 3, 719, "cuGraphLaunch: CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch failure"},
		{"cuStreamSynchronize", 2, 700, "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered"},
		{"cuGraphLaunch", 1, 400, "cuGraphLaunch: CUDA_ERROR_INVALID_HANDLE (400): invalid resource handle"}, // the context is well, but quire is not
	} {
		s := cudatest.New(t, cudatest.Options{})
		b := newBench(t, open(t, s))
		b.set([4]uint32{}, [3]uint32{})
		g := must(t, b.Device, func() (graph, error) { return b.capture(b.work) })
		s.Fail(c.call, c.nth, c.code)
		step := func() error { return errors.Join(b.replay(g), b.wait()) }
		for range c.nth - 1 {
			on(t, b.Device, step)
		}
		var first *LostError
		if err := b.run(step); !errors.As(err, &first) || first.Error() != "cuda: the GPU failed: "+c.cause+advice {
			t.Errorf("%v, want %s", err, c.cause)
		}
		s.Fail("cuMemAlloc_v2", 1, 999)
		for name, f := range map[string]func() error{
			"alloc":     func() error { _, err := b.alloc(1); return err },
			"pinned":    func() error { _, err := b.pinned(1); return err },
			"upload":    func() error { return b.upload(b.ids, b.in[:4]) },
			"download":  func() error { return b.download(b.out, b.y) },
			"copyOn":    func() error { return b.copyOn(b.y, b.ids, 4) },
			"fill":      func() error { return b.fill(b.y, 0, 4) },
			"launch":    func() error { return b.k.gather(b.y, b.table, b.ids, 3, 2) },
			"capture":   func() error { _, err := b.capture(b.work); return err },
			"replay":    func() error { return b.replay(g) },
			"wait":      b.wait,
			"freeBytes": func() error { _, err := b.freeBytes(); return err },
		} {
			if err := b.run(f); err != first {
				t.Errorf("%s after %s: %v, want the first cause", name, c.cause, err)
			}
		}
		if err := b.run(func() error { return errors.Join(b.drop(g)) }); err != nil {
			t.Errorf("drop: %v", err)
		}
	}
}

// TestFault: what a kernel does wrong ends the device at the next wait.
func TestFault(t *testing.T) {
	b := newBench(t, open(t, cudatest.New(t, cudatest.Options{})))
	b.set([4]uint32{}, [3]uint32{1, 2, 0}) // table has rows 0 and 1
	on(t, b.Device, func() error { return b.fill(b.table, 0, 16) })
	err := b.run(func() error { return errors.Join(b.upload(b.ids, b.in[16:]), b.k.gather(1<<20, b.table, b.ids, 3, 2)) })
	if err != nil {
		t.Fatal(err)
	}
	var lost *LostError
	if err := b.run(b.wait); !errors.As(err, &lost) || !strings.Contains(err.Error(), "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (700)") {
		t.Errorf("%v, want CUDA_ERROR_ILLEGAL_ADDRESS (700)", err)
	}
}

// TestRecordingFails: whichever call of a recording fails, nothing of it is left.
func TestRecordingFails(t *testing.T) {
	for _, call := range []string{"cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags"} {
		s := cudatest.New(t, cudatest.Options{})
		b := newBench(t, open(t, s))
		s.Fail(call, 1, 2)
		capture := func() error { _, err := b.capture(b.work); return err }
		var full *MemoryError
		if err := b.run(capture); !errors.As(err, &full) {
			t.Errorf("%s: %v, want a *MemoryError", call, err)
		}
		testGraph(t, b) // the stream works on
	}
	// What failed may spoil the recording, which is then no failure of its own.
	s := cudatest.New(t, cudatest.Options{})
	b := newBench(t, open(t, s))
	s.Fail("cuLaunchKernel", 1, 2)
	var full *MemoryError
	err := b.run(func() error {
		_, err := b.capture(func() error { return b.k.gather(b.y, b.table, b.ids, 3, 2) })
		return err
	})
	if !errors.As(err, &full) || errors.As(err, new(*LostError)) {
		t.Errorf("a launch without memory in a recording: %v, want a *MemoryError alone", err)
	}
	testGraph(t, b)
	b = newBench(t, open(t, cudatest.New(t, cudatest.Options{})))
	err = b.run(func() error {
		_, err := b.capture(func() error { _, err := b.alloc(4); return err })
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "cuMemAlloc_v2: CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED (900)") {
		t.Errorf("alloc in a recording: %v", err)
	}
	for call, code := range map[string]int{"cuStreamEndCapture": 719, "cuGraphDestroy": 719, "cuLaunchKernel": 719} {
		s := cudatest.New(t, cudatest.Options{})
		b := newBench(t, open(t, s))
		s.Fail(call, 1, code)
		var g graph
		err := b.run(func() (err error) { g, err = b.capture(b.work); return err })
		var lost *LostError
		var failed *CallError
		if !errors.As(err, &lost) || !errors.As(err, &failed) || failed.Call != call || failed.Code != code || g != 0 {
			t.Errorf("%s: %v and graph %d, want error %d and none", call, err, g, code)
		}
	}
}

// TestCloseFails: Close returns the first error, and gives the rest back.
func TestCloseFails(t *testing.T) {
	for _, call := range []string{"cuStreamSynchronize", "cuModuleUnload", "cuStreamDestroy_v2"} {
		s := cudatest.New(t, cudatest.Options{})
		d, err := Open(library(t, s))
		if err != nil {
			t.Fatal(err)
		}
		s.Fail(call, 1, 719)
		want := "cuda: the GPU failed: " + call + ": CUDA_ERROR_LAUNCH_FAILED (719): unspecified launch failure: "
		if err := d.Close(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s…", err, want)
		}
		if left := s.Left(); left != "" {
			t.Errorf("%s: left behind: %s", call, left)
		}
	}
	s := cudatest.New(t, cudatest.Options{})
	l := library(t, s)
	d, err := Open(l)
	if err != nil {
		t.Fatal(err)
	}
	s.Fail("cuDevicePrimaryCtxRelease_v2", 1, 999)
	if err := d.Close(); err == nil || err.Error() != "cuda: cuDevicePrimaryCtxRelease_v2: CUDA_ERROR_UNKNOWN (999): unknown error" {
		t.Errorf("Close: %v", err)
	}
	if left := s.Left(); left != "a context" {
		t.Errorf("left behind: %q, want the context that was not released", left)
	}
	again, err := newSession(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.call(cuDevicePrimaryCtxRelease, uintptr(d.number)); err != nil {
		t.Error(err)
	}
}
