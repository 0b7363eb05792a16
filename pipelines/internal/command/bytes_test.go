package command_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/internal/command"
)

// The digests below were written down from the program of revision 596fe11. They
// hold across every change that promises not to touch what quire computes.

// TestSameBytesRun trains the embedded quickstart for two epochs.
func TestSameBytesRun(t *testing.T) {
	dir := t.TempDir()
	var r struct {
		Sample string `json:"sample"`
		Set    string `json:"set"`
		Run    string `json:"run"`
		Stages struct {
			Prep struct {
				Manifest string `json:"manifest_sha256"`
			} `json:"prep"`
		} `json:"stages"`
	}
	resultOf(t, &r, "run", "--quiet", "--json", "--set", "workdir="+dir, "--set", "train.epochs=2")
	// The keys of the stages prep and train: another one makes every round of an
	// earlier program run again.
	same(t, "key of prep", filepath.Base(r.Set), "79a0164a8b98d71abfb4")
	same(t, "key of train", filepath.Base(r.Run), "f640a4c4ab7424523cc2")
	same(t, "manifest", r.Stages.Prep.Manifest, "7ab0504282e979e1349370e54471ce610ec77f1c5c0177e89dd34e5cf6eac43c")
	same(t, "tensors", tensorDigest(t, r.Run), "04fc7008090e8fa8132a39e029972e5fcc072b5f580ea7d2ea1a46dde1a82ccf")
	same(t, "sample", digestOf([]byte(r.Sample)), "2f7736b3e1dc92bfd8d1cb9aa98703680bae4298a25d7a420aa799da86510d8b")
}

// TestSameBytesTutorial makes the set of the embedded tutorial.
func TestSameBytesTutorial(t *testing.T) {
	text, err := filepath.Abs("../../../../shared/corpus/tinyshakespeare.txt")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(text); err != nil {
		t.Skipf("the corpus of the tutorial is not here: %v", err)
	}
	var r struct {
		Manifest string `json:"manifest_sha256"`
	}
	resultOf(t, &r, "prep", "--quiet", "--json", "--config", "tutorial", "--set", "workdir="+t.TempDir(), "--set", "corpus.sources="+text)
	same(t, "manifest", r.Manifest, "9ed2958c3346adac6aa577823080cab3d5571b7e92478ce3bd080c7a3f496068")
}

// TestSameBytesTrain trains six small networks, which together use every part of
// a step.
func TestSameBytesTrain(t *testing.T) {
	dir := t.TempDir()
	//lint:ignore SA1019 tests run where Go is
	text, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "src/testdata/Isaac.Newton-Opticks.txt"))
	if err != nil {
		t.Fatal(err)
	}
	corpus := filepath.Join(dir, "opticks.txt")
	if err := os.WriteFile(corpus, text[:60_000], 0o666); err != nil {
		t.Fatal(err)
	}
	common := []string{"--quiet", "--json", "--set", "corpus.sources=" + corpus, "--set", "workdir=" + dir, "--set", "prep.seq_length=20",
		"--set", "model.embedding=12", "--set", "model.hidden=24", "--set", "train.batch=8", "--set", "train.lr=0.01", "--set", "generate.prompt="}
	var set struct {
		Manifest string `json:"manifest_sha256"`
	}
	resultOf(t, &set, append([]string{"prep"}, common...)...)
	same(t, "manifest", set.Manifest, "52b2bc0c1a4d4d1fe717fe8199798e9db1e4a549e6b34cd3e14878ae0cd6f9ea")
	tests := []struct {
		name, want string
		set        []string
	}{
		{"gru", "1d1d24c80f7e87da49f2154408d3a3f127c4c53a5aebdc9dfd3f8c3a5ef1d135", []string{"train.epochs=1"}},
		{"lstm", "276d7d1cc7fbe790de08947e63d8caaa33373b2863b1c39f6d9dcc67ded5603c", []string{"model.cell=lstm", "train.epochs=1"}},
		{"gru2dropout", "91f327eb6b968f6e63666169b79a21f005b702bfeb3694353f13eae1af25c5f8", []string{"model.layers=2", "model.dropout=0.2", "model.input_dropout=0.1", "model.weight_dropout=0.3", "train.epochs=1"}},
		{"lstm2carry", "de9d548179d8f4957cb0245171231642275a433b7d9ada59078e848b852b4675", []string{"model.cell=lstm", "model.layers=2", "train.hidden=carry", "model.dropout=0.3", "train.epochs=1", "train.clip_norm=1"}},
		{"curriculum", "4ac2c3afc7811c685807acb57f8cb0d3f419031db773bb88d90ebfedf12bae06", []string{"train.hidden=carry", "train.curriculum.seq_length=5", "train.curriculum.epochs=1", "train.curriculum.sampling=0.5", "train.epochs=2"}},
		{"average", "750c203752fde09eb34d1e8103df930a200a3bc8d625f89279dae2bce3ecbdb9", []string{"model.cell=lstm", "train.average=0.99", "train.weight_decay=0.01", "train.schedule=cosine", "train.warmup_steps=10", "train.epochs=1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"train"}, common...)
			for _, s := range append(test.set, "train.out=run-"+test.name) {
				args = append(args, "--set", s)
			}
			var r struct {
				Run string `json:"run"`
			}
			resultOf(t, &r, args...)
			same(t, "tensors", tensorDigest(t, r.Run), test.want)
		})
	}
}

// resultOf runs a command and reads its result.
func resultOf(t *testing.T, result any, args ...string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := command.Execute(t.Context(), command.Quire(), args, &stdout, &stderr); code != 0 {
		t.Fatalf("quire %v: exit code %d: %s", args, code, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		t.Fatalf("quire %v: %v: %s", args, err, stdout.String())
	}
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// tensorDigest covers the names, shapes and values of a run's latest checkpoint:
// everything but its header.
func tensorDigest(t *testing.T, path string) string {
	t.Helper()
	c, _, err := run.Open(t.Context(), path, "latest")
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, tensor := range c.Tensors {
		fmt.Fprintf(h, "%s %v\n", tensor.Name, tensor.Shape)
		for _, x := range tensor.Data {
			binary.Write(h, binary.LittleEndian, math.Float32bits(x))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
