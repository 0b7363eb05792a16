package stages

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/text"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
)

// library is a config with three documents: one of 400 characters, one too short
// for a sequence, one of 97.
func library(t *testing.T, set ...string) *configs.Config {
	t.Helper()
	texts := map[string]string{}
	for name, n := range map[string]int{"a.txt": 400, "b.txt": 9, "c.txt": 97} {
		var text []byte
		for i := range n {
			text = append(text, byte('a'+i*i%23))
		}
		texts[name] = string(text)
	}
	return tiny.Documents(t, texts, set...)
}

// TestNotContinuous: a set whose sequences do not follow one another is no text
// to train on; to evaluate, each of them is one by itself.
func TestNotContinuous(t *testing.T) {
	for what, set := range map[string]string{"stride 5": "prep.stride=5", "validation by block": "prep.validation.by=block"} {
		c := library(t, set, "prep.validation.fraction=0.7")
		out := prepared(t, c)
		c.Train.Hidden, c.Prep.Stride, c.Prep.Validation.By = "carry", 0, "tail"
		_, err := Train(t.Context(), c, TrainOptions{Set: out, Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console()})
		if !errors.Is(err, text.ErrNotContinuous) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		opened, done, err := text.OpenSet(t.Context(), out)
		if err != nil {
			t.Fatal(err)
		}
		d, err := opened.Text("validation", 0)
		if n := d.Split.Len(); err != nil || n == 0 || !slices.Equal(d.Stretches(), slices.Repeat([]int64{11}, int(n))) {
			t.Errorf("%s: %d sequences, stretches %v, %v", what, n, d.Stretches(), err)
		}
		done()
	}
}

// TestTrainCarry trains with the hidden carried, and evaluates what was saved.
func TestTrainCarry(t *testing.T) {
	c := library(t, "train.hidden=carry")
	set := prepared(t, c)
	res, err := Train(t.Context(), c, TrainOptions{Set: set, Out: filepath.Join(c.Workdir, "run"), Console: tiny.Console()})
	if err != nil {
		t.Fatal(err)
	}
	// Windows of 10 targets: 35 in the first document's 352 characters, 7 in the other's 77.
	if res.StepsPerEpoch != 42/4 || res.Step != 2*(42/4) {
		t.Errorf("%d steps an epoch, %d in all", res.StepsPerEpoch, res.Step)
	}
	m, err := text.OpenModel(t.Context(), string(res.Run), "latest")
	if err != nil {
		t.Fatal(err)
	}
	e, err := text.Evaluate(t.Context(), m, set, "")
	if err != nil || e.NatsPerChar != *res.ValidationNats || e.Chars != 32 || !strings.Contains(string(m.Config), `"hidden":"carry"`) {
		t.Errorf("evaluated %+v, %v; in training %v; config %s", e, err, *res.ValidationNats, m.Config)
	}
}

// TestObserver reads the lines that a training shows: losses between n-grams, a sample,
// and nothing of that where the console is quiet; metrics.jsonl has it all.
func TestObserver(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		c := library(t, "generate.prompt=Z\u00fcrich") // no character of the texts
		var console bytes.Buffer
		out := filepath.Join(c.Workdir, "run")
		if _, err := Train(t.Context(), c, TrainOptions{Set: prepared(t, c), Out: out, Console: report.NewConsole(&console, quiet)}); err != nil {
			t.Fatal(err)
		}
		metrics, err := os.ReadFile(filepath.Join(out, report.MetricsName))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{`"learning_rate":0.002`, `"gradient_norm":`, `"sample":"`} {
			if !strings.Contains(string(metrics), key) {
				t.Errorf("metrics.jsonl has no %s: %s", key, metrics)
			}
		}
		for _, line := range []string{"train: epoch 2: training loss ", " uniform 2.4849 ", "train: epoch 2 writes:\n  "} {
			if strings.Contains(console.String(), line) == quiet {
				t.Errorf("quiet %v: %q in the console's %s", quiet, line, console.String())
			}
		}
	}
}
