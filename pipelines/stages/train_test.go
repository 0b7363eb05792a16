package stages

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// TestTrainRefuses: a run that came from other inputs stays, and each difference is
// named; with Replace it starts from zero.
func TestTrainRefuses(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	o := TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console(), Config: []byte("name: first\n")}
	first, err := Train(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(string(first.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(c *configs.Config){
		"train.lr":              func(c *configs.Config) { c.Train.LR = 0.5 },
		"train.batch":           func(c *configs.Config) { c.Train.Batch = 5 },
		"train.seed":            func(c *configs.Config) { c.Train.Seed = 2 },
		"train.clip_norm":       func(c *configs.Config) { c.Train.ClipNorm = 7 },
		"train.hidden":          func(c *configs.Config) { c.Train.Hidden = "carry" },
		"train.average":         func(c *configs.Config) { c.Train.Average = 0.5 },
		"train.schedule":        func(c *configs.Config) { c.Train.Schedule = "cosine" },
		"model.hidden":          func(c *configs.Config) { c.Model.Hidden = 9 },
		"model.dropout":         func(c *configs.Config) { c.Model.Dropout = 0.5 },
		"model.cell":            func(c *configs.Config) { c.Model.Cell = "lstm" },
		"train.curriculum":      func(c *configs.Config) { c.Train.Curriculum.Sampling = 0.5 },
		"model.weight_dropout":  func(c *configs.Config) { c.Model.WeightDropout = 0.5 },
		"train.weight_decay":    func(c *configs.Config) { c.Train.WeightDecay = 0.5 },
		"train.warmup_steps":    func(c *configs.Config) { c.Train.WarmupSteps = 5 },
		"model.input_dropout":   func(c *configs.Config) { c.Model.InputDropout = 0.5 },
		"model.layers":          func(c *configs.Config) { c.Model.Layers = 2 },
		"model.embedding":       func(c *configs.Config) { c.Model.Embedding = 5 },
		"model.embedding_range": func(c *configs.Config) { c.Model.EmbeddingRange = 0.4 },
		"train.curriculum.seq_": func(c *configs.Config) { c.Train.Hidden, c.Train.Curriculum.SeqLength = "carry", 5 },
	} {
		other := *c
		change(&other)
		var identity *train.IdentityError
		if _, err := Train(t.Context(), &other, o); !errors.As(err, &identity) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), o.Out) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if data, err := os.ReadFile(string(first.Checkpoint)); err != nil || !bytes.Equal(data, before) {
		t.Errorf("a refused training has changed the checkpoint: %v", err)
	}
	if data, err := os.ReadFile(filepath.Join(o.Out, configName)); err != nil || string(data) != "name: first\n" {
		t.Errorf("the config of the run is %q, %v", data, err)
	}
	other := *c
	other.Train.LR = 0.5
	var lines bytes.Buffer
	o.Replace, o.Console = true, report.NewConsole(&lines, false)
	if res, err := Train(t.Context(), &other, o); err != nil || res.Step != first.Step || !strings.Contains(lines.String(), "train: replacing ") {
		t.Fatalf("replaced: %+v, %v: %s", res, err, lines.String())
	}
	if data, err := os.ReadFile(string(first.Checkpoint)); err != nil || bytes.Equal(data, before) {
		t.Errorf("the checkpoint is still the old one: %v", err)
	}
}

// TestTrainFresh starts a finished run from zero, to the same bytes.
func TestTrainFresh(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	var lines bytes.Buffer
	o := TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: report.NewConsole(&lines, false)}
	var before []byte
	for i := range 3 {
		o.Fresh = i == 2
		lines.Reset()
		res, err := Train(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(string(res.Checkpoint))
		if err != nil || i > 0 && !bytes.Equal(data, before) {
			t.Errorf("call %d: another checkpoint, %v", i, err)
		}
		before = data
		if got := strings.Contains(lines.String(), "epoch 1: training loss"); got != (i != 1) {
			t.Errorf("call %d trains: %v\n%s", i, got, lines.String())
		}
	}
}

// TestTrainEmbeddingRange: an untrained network has its embedding in the range that the
// config asks for, and all other weights as they are without.
func TestTrainEmbeddingRange(t *testing.T) {
	var weights []*rnn.Weights
	for _, set := range []string{"model.embedding_range=0.05", "model.embedding_range=0.4"} {
		c := tiny.Config(t, tiny.Line(), "train.epochs=0", set)
		o := TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: report.NewConsole(io.Discard, true)}
		res, err := Train(t.Context(), c, o)
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, tiny.Open(t, string(res.Checkpoint)).Weights)
	}
	n := len(weights[0].Embedding())
	for i, x := range weights[1].Flat {
		want := weights[0].Flat[i]
		if i < n {
			want *= 8
		}
		if x != want {
			t.Fatalf("weight %d is %v, want %v", i, x, want)
		}
	}
}

// TestTrainHeld: a run that another trainer holds is refused, with the holder.
func TestTrainHeld(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	o := TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console()}
	st, err := store.Open(t.Context(), o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	lease, err := store.Acquire(t.Context(), st, "run.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if _, err := Train(t.Context(), c, o); !errors.As(err, &held) {
		t.Errorf("held by another: %v", err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), c, o); err != nil {
		t.Errorf("after the other: %v", err)
	}
}

// TestTrainNoSet: a directory without a set is named, and no run is begun.
func TestTrainNoSet(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	out := filepath.Join(c.Workdir, "run")
	_, err := Train(t.Context(), c, TrainOptions{Set: t.TempDir(), Out: out, Console: tiny.Console()})
	if !errors.Is(err, text.ErrNoSet) {
		t.Errorf("no set: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a run is begun")
	}
}

// TestTrainCannotGoOn: damage of the only checkpoint is an ErrCannotGoOn that names the run.
func TestTrainCannotGoOn(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.epochs=1")
	o := TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console()}
	first, err := Train(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(string(first.Checkpoint), []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), c, o); !errors.Is(err, ErrCannotGoOn) || !strings.Contains(err.Error(), o.Out) {
		t.Errorf("with a damaged checkpoint: %v", err)
	}
}
