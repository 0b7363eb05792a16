package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/pipelines/export"
	"github.com/quire-ml/quire/pipelines/score"
	"github.com/quire-ml/quire/pipelines/text"
)

// A log-probability of quire may be farther from the one that PyTorch computes in float64 by
// this factor than the worst of a text that PyTorch computes in float32, or by slack: both
// round to 24 bits, in another order of sums, and the layers make of it what they do. A wrong
// gate or bias is wrong by 0.1 and more.
const (
	factor = 4
	slack  = 2e-6
)

// TestPython: real PyTorch, by modeling_quire.py alone, gives the log-probabilities that quire
// gives, for each cell, unit, normalisation and number of layers.
func TestPython(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" {
		t.Skip("QUIRE_PYTHON names no Python with torch")
	}
	type job struct {
		Name   string
		Folder string
		Text   []byte
		Want   []float64
	}
	var jobs []job
	for _, k := range kinds {
		for _, cell := range rnn.Cells() {
			for layers := 1; layers <= 3; layers++ {
				path := save(t, k, rnn.Shape{Cell: cell, Layers: layers, Embedding: 7, Hidden: 24})
				m, err := text.OpenModel(t.Context(), path, "best")
				if err != nil {
					t.Fatal(err)
				}
				j := job{Name: fmt.Sprintf("%s of %d layers, unit %s, %q", cell, layers, k.unit, k.known), Folder: filepath.Join(t.TempDir(), "out"),
					Text: bytes.Repeat([]byte(k.text), 300/len(k.text))}
				if _, err := export.Folder(t.Context(), m, j.Folder, export.Options{}); err != nil {
					t.Fatal(err)
				}
				plain := configs.Corpus{Encoding: "utf-8", Newlines: "keep"}
				if _, err := score.Text(t.Context(), []*text.Model{m}, bytes.NewReader(j.Text), plain, func(c score.Char) error {
					if c.Nats != nil {
						j.Want = append(j.Want, -c.Nats[0])
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				jobs = append(jobs, j)
			}
		}
	}
	var in, out, problems bytes.Buffer
	if err := json.NewEncoder(&in).Encode(jobs); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(python, filepath.Join("testdata", "score.py"))
	c.Env = append(os.Environ(), "HF_HOME="+t.TempDir(), "HF_HUB_OFFLINE=1")
	c.Stdin, c.Stdout, c.Stderr = &in, &out, &problems
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, problems.String())
	}
	var found struct {
		Texts        []struct{ Float32, Float64 []float64 }
		Transformers *struct {
			Version    string
			Difference float64
			Written    int
		}
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || len(found.Texts) != len(jobs) {
		t.Fatalf("%v: %d texts scored of %d: %s", err, len(found.Texts), len(jobs), out.String())
	}
	if a := found.Transformers; a == nil {
		t.Log("QUIRE_PYTHON has no transformers: AutoModelForCausalLM was not tried")
	} else if !(a.Difference <= 1e-5) || a.Written != 8 {
		t.Errorf("AutoModelForCausalLM of transformers %s: %+v", a.Version, a)
	}
	for i, j := range jobs {
		f := found.Texts[i]
		if len(f.Float32) != len(j.Want) || len(f.Float64) != len(j.Want) {
			t.Fatalf("%s has %d log-probabilities, want %d", j.Folder, len(f.Float32), len(j.Want))
		}
		theirs, ours := 0.0, 0.0
		for n, exact := range f.Float64 {
			theirs, ours = max(theirs, math.Abs(f.Float32[n]-exact)), max(ours, math.Abs(j.Want[n]-exact))
		}
		t.Logf("%s: PyTorch's float32 is off by %.1e at most, quire by %.1e", j.Name, theirs, ours)
		if !(ours <= max(slack, factor*theirs)) {
			t.Errorf("%s: quire's log-probabilities are off by %g, PyTorch's by %g", j.Name, ours, theirs)
		}
	}
	if message := damaged(t, python, jobs[0].Folder); message != "is damaged" {
		t.Error(message)
	}
}

// damaged flips a bit of the weights and returns what loading them says.
func damaged(t *testing.T, python, folder string) string {
	t.Helper()
	file := filepath.Join(folder, "model.safetensors")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, filepath.Join(folder, "modeling_quire.py"), "a").CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("model.safetensors is damaged")) {
		return fmt.Sprintf("weights with another bit: %v: %s", err, out)
	}
	return "is damaged"
}
