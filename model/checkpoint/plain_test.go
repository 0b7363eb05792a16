package checkpoint

import (
	"io"
	"testing"
)

// TestPlainRefused: what a reader would take for other tensors is not written.
func TestPlainRefused(t *testing.T) {
	for name, tensors := range map[string][]Tensor{
		"a shape of other values": {{Name: "w", Shape: []int{3}, Data: []float32{1}}},
		"a name twice":            {{Name: "w"}, {Name: "w"}},
		"the name of metadata":    {{Name: metadataKey, Shape: []int{0}}},
	} {
		if _, err := WritePlain(io.Discard, tensors); err == nil {
			t.Errorf("%s is written", name)
		}
	}
}
