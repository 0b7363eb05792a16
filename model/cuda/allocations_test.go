//go:build linux && !nogpu && !race

package cuda

import (
	"testing"

	"github.com/ebitengine/purego"
)

// TestAllocations: a step allocates nothing of Go's memory. The driver is a C function
// that takes whatever arguments and returns 0, because callbacks allocate. Not under
// the race detector, which empties purego's pool at random.
func TestAllocations(t *testing.T) {
	libc, err := purego.Dlopen("libc.so.6", purego.RTLD_NOW)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLibrary(func(string) (uintptr, error) { return purego.Dlsym(libc, "sched_yield") })
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSession(l)
	if err != nil {
		t.Fatal(err)
	}
	d := &Device{session: s, work: make(chan func() error), done: make(chan error)}
	go d.serve()
	defer close(d.work)
	k, b := &kernels{launcher: d}, make([]byte, 64)
	step := func() error {
		if err := d.upload(1, b); err != nil {
			return err
		}
		if err := d.fill(1, 0, 4); err != nil {
			return err
		}
		if err := d.copyOn(1, 2, 4); err != nil {
			return err
		}
		if err := k.gather(1, 2, 3, 4, 5); err != nil {
			return err
		}
		if err := d.replay(1); err != nil {
			return err
		}
		if err := d.download(b, 1); err != nil {
			return err
		}
		return d.wait()
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := d.run(step); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a step, want 0", n)
	}
}
