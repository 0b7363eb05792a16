//go:build linux && !nogpu

package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/model/cuda/cudatest"
)

// library returns the stand-in's functions.
func library(t *testing.T, s *cudatest.Driver) *Library {
	t.Helper()
	l, err := NewLibrary(s.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// open opens the stand-in's GPU for a test.
func open(t *testing.T, s *cudatest.Driver) *Device {
	t.Helper()
	d, err := Open(library(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// on runs f on the device's thread.
func on(t *testing.T, d *Device, f func() error) {
	t.Helper()
	if err := d.run(f); err != nil {
		t.Fatal(err)
	}
}

// must returns a value of the device's thread.
func must[T any](t *testing.T, d *Device, f func() (T, error)) (v T) {
	t.Helper()
	on(t, d, func() (err error) { v, err = f(); return err })
	return v
}

func TestInfo(t *testing.T) {
	s := cudatest.New(t, cudatest.Options{Version: 13010, Major: 9, Minor: 2, Bytes: 1 << 30})
	want := Info{Name: "Stand-in GPU", CUDA: "13.1", Capability: "9.2", TotalBytes: 1 << 30}
	if got, err := Probe(library(t, s)); err != nil || got != want {
		t.Errorf("Probe %+v, %v, want %+v", got, err, want)
	}
	if left := s.Left(); left != "" {
		t.Errorf("Probe left %s", left)
	}
	d := open(t, s)
	p := must(t, d, func() (Ptr, error) { return d.alloc(1 << 20) })
	want.FreeBytes = 1<<30 - 1<<20
	if got, err := d.Info(); err != nil || got != want {
		t.Errorf("Info %+v, %v, want %+v", got, err, want)
	}
	on(t, d, func() error { return d.free(p) })
	want.FreeBytes = 1 << 30
	if got, err := d.Info(); err != nil || got != want {
		t.Errorf("Info %+v, %v, want %+v", got, err, want)
	}
}

// A bench is a device with one kernel's operands: y (3, 2) takes the rows ids of
// table (2, 2).
type bench struct {
	*Device
	k             *kernels
	y, table, ids Ptr
	in            []byte // pinned: the table, then ids
	out           []byte // pinned: y
}

func newBench(t *testing.T, d *Device) *bench {
	t.Helper()
	b := &bench{Device: d}
	b.k = &kernels{launcher: b.Device}
	all := must(t, b.Device, func() (Ptr, error) { return b.alloc(1024) })
	b.y, b.table, b.ids = all, all+256, all+512
	b.in = must(t, b.Device, func() ([]byte, error) { return b.pinned(28) })
	b.out = must(t, b.Device, func() ([]byte, error) { return b.pinned(24) })
	t.Cleanup(func() {
		on(t, b.Device, func() error {
			return errors.Join(b.unpin(b.in), b.unpin(b.out), b.free(all))
		})
	})
	return b
}

// set writes table and ids to the pinned memory.
func (b *bench) set(table [4]uint32, ids [3]uint32) {
	for i, v := range table {
		binary.LittleEndian.PutUint32(b.in[4*i:], v)
	}
	for i, v := range ids {
		binary.LittleEndian.PutUint32(b.in[16+4*i:], v)
	}
}

// work asks for the copies and the kernel.
func (b *bench) work() error {
	return errors.Join(b.upload(b.table, b.in[:16]), b.upload(b.ids, b.in[16:]), b.k.gather(b.y, b.table, b.ids, 3, 2), b.download(b.out, b.y))
}

// got is y.
func (b *bench) got() (y [6]uint32) {
	for i := range y {
		y[i] = binary.LittleEndian.Uint32(b.out[4*i:])
	}
	return y
}

// testWork holds copies and a kernel.
func testWork(t *testing.T, b *bench) {
	b.set([4]uint32{10, 11, 20, 21}, [3]uint32{1, 0, 1})
	on(t, b.Device, func() error { return errors.Join(b.work(), b.wait()) })
	if want := [6]uint32{20, 21, 10, 11, 20, 21}; b.got() != want {
		t.Errorf("y %d, want %d", b.got(), want)
	}
}

// testGraph: what was recorded is done by replay alone, each time with what its memory
// holds then.
func testGraph(t *testing.T, b *bench) {
	b.set([4]uint32{1, 2, 3, 4}, [3]uint32{})
	copy(b.out, "unwritten unwritten here")
	g := must(t, b.Device, func() (graph, error) { return b.capture(b.work) })
	on(t, b.Device, b.wait)
	if string(b.out) != "unwritten unwritten here" {
		t.Errorf("y %q after a recording, want it as it was", b.out)
	}
	for _, step := range []struct {
		table [4]uint32
		ids   [3]uint32
		want  [6]uint32
	}{
		{[4]uint32{10, 11, 20, 21}, [3]uint32{1, 0, 1}, [6]uint32{20, 21, 10, 11, 20, 21}},
		{[4]uint32{30, 31, 40, 41}, [3]uint32{0, 0, 1}, [6]uint32{30, 31, 30, 31, 40, 41}},
	} {
		b.set(step.table, step.ids)
		on(t, b.Device, func() error { return errors.Join(b.replay(g), b.wait()) })
		if b.got() != step.want {
			t.Errorf("y %d, want %d", b.got(), step.want)
		}
	}
	on(t, b.Device, func() error { return b.drop(g) })
}

// testFillAndCopy holds fill and copyOn, at odd bytes too.
func testFillAndCopy(t *testing.T, d *Device) {
	p := must(t, d, func() (Ptr, error) { return d.alloc(16) })
	b := must(t, d, func() ([]byte, error) { return d.pinned(16) })
	on(t, d, func() error {
		return errors.Join(d.fill(p, 7, 16), d.fill(p+3, 0x80, 2), d.copyOn(p+8, p+2, 4), d.download(b, p), d.wait())
	})
	if want := []byte{7, 7, 7, 0x80, 0x80, 7, 7, 7, 7, 0x80, 0x80, 7, 7, 7, 7, 7}; !slices.Equal(b, want) {
		t.Errorf("%d, want %d", b, want)
	}
	on(t, d, func() error { return errors.Join(d.free(p), d.unpin(b), d.free(0), d.unpin(nil), d.drop(0)) })
}

// testFailedRecording: a recording whose function fails is ended, and the stream works
// on.
func testFailedRecording(t *testing.T, b *bench) {
	why := errors.New("why")
	err := b.run(func() error {
		_, err := b.capture(func() error { return errors.Join(b.work(), why) })
		return err
	})
	if !errors.Is(err, why) {
		t.Errorf("error %v, want %v", err, why)
	}
	testWork(t, b)
}

// TestDevice: the stand-in's work is done as late as can be, and at other times.
func TestDevice(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			s := cudatest.New(t, cudatest.Options{Seed: seed})
			testWork(t, newBench(t, open(t, s)))
			testGraph(t, newBench(t, open(t, s)))
			testFillAndCopy(t, open(t, s))
			testFailedRecording(t, newBench(t, open(t, s)))
		})
	}
}

// TestCounts: what a step asks for, with its launches one by one and as a graph.
func TestCounts(t *testing.T) {
	s := cudatest.New(t, cudatest.Options{})
	b := newBench(t, open(t, s))
	b.set([4]uint32{}, [3]uint32{})
	var g graph
	for _, c := range []struct {
		name string
		f    func() error
		want cudatest.Counts
	}{
		{"work", b.work, cudatest.Counts{Launches: 1, Kernels: 1, Copies: 3, ToDevice: 28, ToHost: 24}},
		{"capture", func() (err error) { g, err = b.capture(b.work); return err }, cudatest.Counts{Launches: 1}},
		{"replay", func() error { return b.replay(g) }, cudatest.Counts{GraphLaunches: 1, Kernels: 1, Copies: 3, ToDevice: 28, ToHost: 24}},
		{"rest", func() error { return errors.Join(b.fill(b.y, 0, 3), b.copyOn(b.y, b.ids, 12), b.wait()) }, cudatest.Counts{Fills: 1, Copies: 1, Waits: 1}},
		{"memory", func() error {
			p, err := b.alloc(3)
			m, failed := b.pinned(3)
			return errors.Join(err, failed, b.free(p), b.unpin(m), b.drop(g))
		}, cudatest.Counts{Allocations: 2}},
	} {
		if counts := s.Count(func() { on(t, b.Device, c.f) }); counts != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, counts, c.want)
		}
	}
}

// TestOneThread: run has one thread, and calls made beside it are on a thread that has
// no context.
func TestOneThread(t *testing.T) {
	d := open(t, cudatest.New(t, cudatest.Options{}))
	threads := map[int]bool{}
	for range 100 {
		done := make(chan struct{})
		go close(done) // takes a free thread
		on(t, d, func() error { threads[syscall.Gettid()] = true; <-done; return nil })
	}
	if len(threads) != 1 {
		t.Errorf("%d threads, want 1", len(threads))
	}
	if _, err := d.alloc(4); err == nil || !strings.Contains(err.Error(), "CUDA_ERROR_INVALID_CONTEXT (201)") {
		t.Errorf("alloc beside run: %v, want CUDA_ERROR_INVALID_CONTEXT (201)", err)
	}
}

// TestTwoDevices: two stand-ins in a process know nothing of each other, and a second
// Open of the same GPU neither.
func TestTwoDevices(t *testing.T) {
	s := cudatest.New(t, cudatest.Options{})
	first, again, other := open(t, s), open(t, s), open(t, cudatest.New(t, cudatest.Options{Bytes: 1 << 20}))
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	for d, want := range map[*Device]int64{first: 1 << 30, other: 1 << 20} {
		if info, err := d.Info(); err != nil || info.FreeBytes != want {
			t.Errorf("free %d, %v, want %d", info.FreeBytes, err, want)
		}
	}
}

func TestClosed(t *testing.T) {
	d, err := Open(library(t, cudatest.New(t, cudatest.Options{})))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Info(); err == nil || err.Error() != "cuda: the device is closed" {
		t.Errorf("Info after Close: %v", err)
	}
}
