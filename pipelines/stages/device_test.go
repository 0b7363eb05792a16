//go:build linux && !nogpu

package stages

import (
	"errors"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/cuda/cudatest"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/runners/memory"
)

// TestProcessorForGPU: a training that only a GPU has the memory for is planned where there
// is one, and refused where auto has to take the processor after all.
func TestProcessorForGPU(t *testing.T) {
	s := tiny.GPU(t, cudatest.Options{Bytes: 1 << 60})
	c := &configs.Config{Model: configs.Model{Cell: "gru", Layers: 1, Embedding: 4, Hidden: 8},
		Train: configs.Train{Device: "auto", Precision: "fp32", Batch: 65536}}
	const T = 1 << 30
	if err := CheckMemory(c, 7, T); err != nil {
		t.Errorf("a GPU with the memory: %v", err)
	}
	s.Fail("cuCtxSetCurrent", 1, 46)
	o := sizeOptions(c, 7, T)
	if _, err := openDevice(c, &o, tiny.Console()); !errors.As(err, new(*memory.ShortError)) || !strings.Contains(err.Error(), "on 65536 sequences of 1073741824") {
		t.Errorf("the processor in its place: %v, want a *memory.ShortError", err)
	}
}
