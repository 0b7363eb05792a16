//go:build linux && !nogpu

package tiny

import (
	"testing"

	"github.com/quire-ml/quire/model/cuda"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/pipelines/device"
)

// GPU makes a stand-in the driver of GPUs until the test ends.
func GPU(t *testing.T, o cudatest.Options) *cudatest.Driver {
	t.Helper()
	s := cudatest.New(t, o)
	l, err := cuda.NewLibrary(s.Lookup)
	if err != nil {
		t.Fatal(err)
	}
	device.Driver = l
	t.Cleanup(func() { device.Driver = nil })
	return s
}
