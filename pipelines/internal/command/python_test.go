package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// worstDifference is how far a log-probability may be from PyTorch's.
const worstDifference = 1e-4

// TestPython has TensorFlow read the shards and PyTorch the checkpoint, in the
// Python that QUIRE_PYTHON names; a Python with one of the two will do.
func TestPython(t *testing.T) {
	python := os.Getenv("QUIRE_PYTHON")
	if python == "" {
		t.Skip("QUIRE_PYTHON names no Python with tensorflow, or torch and safetensors")
	}
	for _, c := range []struct {
		name string
		set  []string
	}{
		{"gru", []string{"prep.shards=3"}},
		{"lstm", []string{"prep.validation.fraction=0", "model.cell=lstm", "model.hidden=33"}},
		{"gru of 2 layers", []string{"model.layers=2", "model.hidden=40"}},
		{"gru, the hidden carried and the weights averaged", []string{"train.hidden=carry", "train.average=0.9"}},
		{"lstm of 3 layers", []string{"model.cell=lstm", "model.layers=3", "model.embedding=7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkPython(t, python, newLab(t), c.set...)
		})
	}
	t.Run("tutorial", func(t *testing.T) {
		checkPython(t, python, newTutorial(t), "train.max_steps=2")
	})
}

// checkPython trains with these settings and lets Python judge the outcome.
func checkPython(t *testing.T, python string, l *lab, set ...string) {
	var flags []string
	for _, s := range set {
		flags = append(flags, "--set", s)
	}
	prep := l.result(prepKeys, append([]string{"prep"}, flags...)...)
	trained := l.result(trainKeys, append([]string{"train"}, flags...)...)
	text := []rune(l.read(l.corpus))
	text = text[:min(len(text), 1000)]
	score := l.result(scoreKeys, append([]string{"score", "--checkpoint", trained["checkpoint"].(string), "--text", string(text), "--chars"}, flags...)...)
	config := l.result("prep", append([]string{"config"}, flags...)...)
	job, err := json.Marshal(map[string]any{"set": prep["set"], "corpus": l.corpus, "checkpoint": trained["checkpoint"], "text": string(text),
		"fraction": fmt.Sprint(config["prep"].(map[string]any)["validation"].(map[string]any)["fraction"]), "log_probs": score["log_probs"]})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.dir, "job.json")
	l.write(file, string(job))
	var stdout, stderr bytes.Buffer
	c := exec.Command(python, filepath.Join("testdata", "check.py"), file)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var found struct {
		Skipped    []string
		TensorFlow *struct{ Sequences float64 }
		Torch      *struct {
			Characters      int
			WorstDifference *float64 `json:"worst_difference"`
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &found); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	t.Logf("%s", strings.TrimSpace(stdout.String()))
	if f := found.TensorFlow; f != nil {
		parts := prep["sequences"].(map[string]any)
		if f.Sequences != parts["train"].(float64)+parts["validation"].(float64) {
			t.Errorf("TensorFlow reads %v sequences, prep counted %v", f.Sequences, parts)
		}
	}
	if f := found.Torch; f != nil && (f.WorstDifference == nil || !(*f.WorstDifference <= worstDifference) || f.Characters != len(text)-1) {
		t.Errorf("PyTorch's log-probabilities differ by more than %v: %s", worstDifference, stdout.String())
	}
	if len(found.Skipped) == 2 {
		t.Error("neither TensorFlow nor PyTorch was there")
	}
}
