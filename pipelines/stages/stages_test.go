package stages

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/engine"
)

func TestMain(m *testing.M) {
	engine.Init()
	os.Exit(m.Run())
}

var ctx = context.Background()

func quiet() *report.Console { return report.NewConsole(io.Discard, true) }

// tiny is a config whose corpus and workdir are in a temporary folder.
func tiny(t *testing.T) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	book := filepath.Join(dir, "book.txt")
	if err := os.WriteFile(book, []byte(strings.Repeat("to be or not to be, that is the question. ", 40)), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := configs.Load(configs.Options{Config: "quickstart", Set: []string{"workdir=" + filepath.Join(dir, "work"), "corpus.sources=" + book,
		"prep.seq_length=10", "model.hidden=8", "model.embedding=4", "train.batch=4", "train.epochs=2", "generate.prompt=to", "generate.length=20"}})
	if err != nil {
		t.Fatal(err)
	}
	return &r.Config
}

// prepared makes the set of c and returns its folder.
func prepared(t *testing.T, c *configs.Config) string {
	t.Helper()
	found, err := FindCorpus(ctx, c.Corpus)
	if err != nil {
		t.Fatal(err)
	}
	out := Locate(c.Workdir, c.Prep.Out)
	if _, err := Prep(ctx, c, found, PrepOptions{Out: out, Runner: "direct", Console: quiet()}); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLocate(t *testing.T) {
	for _, c := range []struct{ workdir, path, want string }{
		{"work", "set", "work/set"},
		{"work", "", "work"},
		{"work", ".", "work"},
		{"work", "../set", "set"},
		{"/w/", "set", "/w/set"},
		{"work", "/abs/set", "/abs/set"},
		{"work", "gs://bucket/set", "gs://bucket/set"},
		{"gs://bucket", "set", "gs://bucket/set"},
		{"gs://bucket/a/", "runs/1", "gs://bucket/a/runs/1"},
		{"gs://bucket", "/abs/set", "/abs/set"},
	} {
		if got := Locate(c.workdir, c.path); got != c.want {
			t.Errorf("Locate(%q, %q) is %q, want %q", c.workdir, c.path, got, c.want)
		}
	}
}

// TestSplitData visits every sequence once an epoch: in the shards' order in the
// first, in orders of their own in the others.
func TestSplitData(t *testing.T) {
	set, done, err := openSet(ctx, prepared(t, tiny(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	split := set.Split("train")
	n := split.Len()
	all := func(read func(i int64, ids []int32) error) (out []string) {
		for i := range n {
			ids := make([]int32, 11)
			if err := read(i, ids); err != nil {
				t.Fatal(err)
			}
			var text []byte
			for _, id := range ids {
				text = set.Vocab().AppendText(text, id)
			}
			out = append(out, string(text))
		}
		return out
	}
	shards := all(func(i int64, ids []int32) error { return split.Read(ctx, i, ids) })
	data := &SplitData{Split: split, Seed: 1}
	epoch := func(e int) []string {
		return all(func(i int64, ids []int32) error { return data.Read(ctx, e, i, ids) })
	}
	first, second, third := epoch(1), epoch(2), epoch(3)
	if !slices.Equal(first, shards) {
		t.Error("the first epoch is not in the order of the shards")
	}
	if slices.Equal(second, first) || slices.Equal(third, first) || slices.Equal(second, third) {
		t.Error("two epochs have the same order")
	}
	if again := epoch(2); !slices.Equal(again, second) {
		t.Error("the second epoch, visited again, has another order")
	}
	slices.Sort(first)
	for i, order := range [][]string{second, third} {
		slices.Sort(order)
		if !slices.Equal(order, first) {
			t.Errorf("epoch %d does not visit every sequence once", i+2)
		}
	}
	if (*SplitData)(nil).Len() != 0 || (&SplitData{}).Len() != 0 {
		t.Error("no split has sequences")
	}
}

// TestTrainInterrupted cancels a training before its first step: it is saved as
// it is, and goes on as if nothing had happened.
func TestTrainInterrupted(t *testing.T) {
	c := tiny(t)
	set := prepared(t, c)
	run := func(ctx context.Context, out string) (*TrainResult, error) {
		return Train(ctx, c, TrainOptions{Set: set, Out: out, Console: quiet()})
	}
	whole, err := run(ctx, filepath.Join(c.Workdir, "whole"))
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(c.Workdir, "run")
	stopping, stop := context.WithCancel(ctx)
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
	res, err = run(ctx, out)
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(whole.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(res.Checkpoint); err != nil || !bytes.Equal(a, b) {
		t.Errorf("the resumed training ends with another checkpoint: %v", err)
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// TestGenerateWriteFails gives Generate a reader that has gone away.
func TestGenerateWriteFails(t *testing.T) {
	c := tiny(t)
	res, err := Train(ctx, c, TrainOptions{Set: prepared(t, c), Out: filepath.Join(c.Workdir, "run"), Console: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := OpenModel(ctx, res.Run, "best")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken pipe")
	left := 3
	_, err = Generate(ctx, m, c.Generate, writer(func(p []byte) (int, error) {
		if left--; left < 0 {
			return 0, broken
		}
		return len(p), nil
	}))
	if !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}
