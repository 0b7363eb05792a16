package stages

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
)

func TestMain(m *testing.M) {
	engine.Init()
	os.Exit(m.Run())
}

// prepared makes the set of c and returns its folder.
func prepared(t *testing.T, c *configs.Config) string {
	t.Helper()
	found, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	out := store.Locate(c.Workdir, c.Prep.Out)
	if _, err := Prep(t.Context(), c, found, PrepOptions{Out: out, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTrainInterrupted cancels a training before its first step: it is saved as
// it is, and goes on as if nothing had happened.
func TestTrainInterrupted(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	set := prepared(t, c)
	run := func(ctx context.Context, out string) (*TrainResult, error) {
		return Train(ctx, c, TrainOptions{Set: set, Out: out, Console: tiny.Console()})
	}
	whole, err := run(t.Context(), filepath.Join(c.Workdir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(c.Workdir, "run")
	stopping, stop := context.WithCancel(t.Context())
	var lines bytes.Buffer
	console := report.NewConsole(writer(func(p []byte) (int, error) {
		if strings.Contains(string(p), "steps an epoch") {
			stop()
		}
		return lines.Write(p)
	}), false)
	res, err := Train(stopping, c, TrainOptions{Set: set, Out: out, Console: console})
	if !errors.Is(err, train.ErrInterrupted) && !errors.Is(err, context.Canceled) {
		t.Fatalf("the interrupted training gives %+v, %v: %s", res, err, lines.String())
	}
	res, err = run(t.Context(), out)
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(string(whole.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(string(res.Checkpoint)); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the resumed training ends with another checkpoint: %v", err)
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestGenerateWriteFails gives Generate a reader that has gone away.
func TestGenerateWriteFails(t *testing.T) {
	c := tiny.Config(t, tiny.Line())
	res, err := Train(t.Context(), c, TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := text.OpenModel(t.Context(), string(res.Run), "best")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken pipe")
	left := 3
	_, err = text.Generate(t.Context(), m, c.Generate, writer(func(p []byte) (int, error) {
		if left--; left < 0 {
			return 0, broken
		}
		return len(p), nil
	}))
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}
