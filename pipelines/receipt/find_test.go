package receipt_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/receipt"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
)

func TestMain(m *testing.M) {
	engine.Init()
	os.Exit(m.Run())
}

// TestFind looks for two checkpoints of a real run: in the run, in a workdir, among the
// models in service, and in a file; not where they are not, and past damage.
func TestFind(t *testing.T) {
	c := tiny.Config(t, tiny.Line(), "train.out=runs/one")
	corpus, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	set, out := filepath.Join(c.Workdir, "set"), filepath.Join(c.Workdir, "runs", "one")
	if _, err := stages.Prep(t.Context(), c, corpus, stages.PrepOptions{Out: set, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	if _, err := stages.Train(t.Context(), c, stages.TrainOptions{Set: set, Out: out, Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "checkpoints", "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	first, second := open(t, files[0]), open(t, files[1])
	empty := t.TempDir()
	find := func(m *text.Model, want string, places ...string) {
		t.Helper()
		got, err := receipt.Find(t.Context(), m.SHA256, places, func(err error) { t.Errorf("damaged: %v", err) })
		if err != nil || got.SHA256 != m.SHA256 || got.Path != want {
			t.Errorf("in %v: %+v, %v, want %s", places, got, err, want)
		}
	}
	find(first, files[0], out)
	find(second, files[1], empty, filepath.Join(empty, "none"), c.Workdir)
	find(first, files[0], files[1], files[0])
	if _, err := promotion.Promote(t.Context(), c.Workdir, files[0], "best"); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(c.Workdir, filepath.FromSlash(promotion.Copy(first.SHA256)))
	find(first, kept, c.Workdir)

	var missing *receipt.MissingError
	if _, err := receipt.Find(t.Context(), first.SHA256, []string{empty, files[1]}, func(error) {}); !errors.As(err, &missing) ||
		!slices.Equal(missing.Looked, []string{empty, files[1]}) || !strings.Contains(err.Error(), first.SHA256) {
		t.Errorf("where it is not: %v", err)
	}
	if err := os.WriteFile(kept, []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	told := 0
	if got, err := receipt.Find(t.Context(), first.SHA256, []string{c.Workdir}, func(error) { told++ }); err != nil || got.Path != files[0] || told != 1 {
		t.Errorf("past a damaged copy: %+v, %v, told %d times", got, err, told)
	}
	if _, err := receipt.Find(t.Context(), first.SHA256, []string{kept}, func(error) {}); !errors.As(err, new(*text.ModelError)) {
		t.Errorf("a damaged file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(out, "run.json"), []byte(`{"quire-`), 0o666); err != nil {
		t.Fatal(err)
	}
	told = 0
	if _, err := receipt.Find(t.Context(), second.SHA256, []string{c.Workdir}, func(error) { told++ }); !errors.As(err, &missing) || told != 1 {
		t.Errorf("a damaged journal: %v, told %d times", err, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := receipt.Find(ctx, second.SHA256, []string{files[1]}, func(error) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
