package checkpoint

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"testing"
)

const pythonReader = `
import json, sys, safetensors, numpy
out = {}
with safetensors.safe_open(sys.argv[1], framework="numpy") as f:
    out["metadata"] = f.metadata()
    out["tensors"] = {k: [list(f.get_tensor(k).shape), str(f.get_tensor(k).dtype), f.get_tensor(k).tobytes().hex()] for k in f.keys()}
print(json.dumps(out))
`

// TestPython reads a checkpoint with the safetensors package of Python.
func TestPython(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" {
		t.Skip("QUIRE_PYTHON names no Python with safetensors and numpy")
	}
	st, p := save(t, tiny())
	cmd := exec.Command(python, "-c", pythonReader, st.Join(p.Name))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Metadata map[string]string
		Tensors  map[string][3]any
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"cell": "gru", "config": `{"model":{"hidden":2}}`, "vocab": `["a","<é>"]`, "unit": "rune", "normalize": "none",
		"step": "172", "epoch": "1", "set": "5e7", "metrics": `{"epochs":[]}`, "format": Format}
	for key, value := range want {
		if got.Metadata[key] != value {
			t.Errorf("%s is %q, want %q", key, got.Metadata[key], value)
		}
	}
	if len(got.Metadata) != len(want)+2 || len(got.Metadata["digest"]) != hexBytes {
		t.Errorf("metadata %v", got.Metadata)
	}
	tensors := map[string][3]any{
		"w":        {[]any{2., 3.}, "float32", "0000803f000000c00000003f0000807f0100000000000080"},
		"adam.m.w": {[]any{3.}, "float32", "0000803f0000004000004040"},
		"scalar":   {[]any{}, "float32", "0000e040"},
		"none":     {[]any{0., 4.}, "float32", ""},
	}
	if !reflect.DeepEqual(got.Tensors, tensors) {
		t.Errorf("tensors %v, want %v", got.Tensors, tensors)
	}
}
