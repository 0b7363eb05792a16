//go:build linux && !nogpu

package cuda

import (
	"errors"
	"os"
	"testing"
)

// gpu opens the machine's GPU. Without one it skips the test, or with QUIRE_GPU=1 fails
// it.
func gpu(t *testing.T) *Device {
	t.Helper()
	d, err := Open(nil)
	var none *Unavailable
	if errors.As(err, &none) && os.Getenv("QUIRE_GPU") != "1" {
		t.Skipf("needs a GPU (QUIRE_GPU=1 makes this a failure): %v", err)
	}
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

// TestGPU: the tests of the stand-in's Device, on the machine's GPU.
func TestGPU(t *testing.T) {
	info, err := gpu(t).Info()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", info)
	testWork(t, newBench(t, gpu(t)))
	testGraph(t, newBench(t, gpu(t)))
	testFillAndCopy(t, gpu(t))
	testFailedRecording(t, newBench(t, gpu(t)))
}
