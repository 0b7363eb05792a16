package stages

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/engine"
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
	out := text.Locate(c.Workdir, c.Prep.Out)
	if _, err := Prep(t.Context(), c, found, PrepOptions{Out: out, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSplitData visits every sequence once an epoch: in the shards' order in the
// first, in orders of their own in the others.
func TestSplitData(t *testing.T) {
	set, done, err := text.OpenSet(t.Context(), prepared(t, tiny.Config(t, tiny.Line())))
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
	shards := all(func(i int64, ids []int32) error { return split.Read(t.Context(), i, ids) })
	data := &text.SplitData{Split: split, Seed: 1}
	epoch := func(e int) []string {
		return all(func(i int64, ids []int32) error { return data.Read(t.Context(), e, i, ids) })
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
	if (*text.SplitData)(nil).Len() != 0 || (&text.SplitData{}).Len() != 0 {
		t.Error("no split has sequences")
	}
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
