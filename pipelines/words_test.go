package pipelines_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

// TestWords compares the words that the config takes with the tables of model,
// which configs does not import.
func TestWords(t *testing.T) {
	r, err := configs.Load(configs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{
		"model.cell":     words(rnn.Cells()),
		"train.schedule": words(train.Schedules()),
	} {
		text, err := r.Explain(key)
		if err != nil {
			t.Fatal(err)
		}
		_, line, _ := strings.Cut(text, "range ")
		line, _, _ = strings.Cut(line, "\n")
		got := strings.Split(strings.ReplaceAll(strings.TrimSpace(line), " or ", ", "), ", ")
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s may be %v in a config, and %v in model", key, got, want)
		}
	}
}

// TestFollowers compares the schedules that follow the number of epochs, by the
// config's table, with the learning rates of trainings of 2 and of 4 epochs.
func TestFollowers(t *testing.T) {
	for _, schedule := range train.Schedules() {
		r, err := configs.Load(configs.Options{Set: []string{"train.schedule=" + string(schedule)}})
		if err != nil {
			t.Fatal(err)
		}
		short, long := rates(t, schedule, 2), rates(t, schedule, 4)
		if len(short) != 4 || len(long) != 8 {
			t.Fatalf("%s: %d and %d steps, want 4 and 8", schedule, len(short), len(long))
		}
		want := !slices.Equal(short, long[:len(short)])
		if got := slices.Contains(r.Config.Followers("train.epochs"), "train.schedule"); got != want {
			t.Errorf("train.schedule %s follows train.epochs in a config: %v, in model/train: %v", schedule, got, want)
		}
	}
}

// rates returns the learning rate of each step of a tiny training, of 2 steps an
// epoch.
func rates(t *testing.T, schedule train.Schedule, epochs int) (list []float64) {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	dir, err := run.Acquire(ctx, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Release(ctx)
	o := train.Options{Shape: rnn.Shape{Cell: rnn.GRU, Layers: 1, Vocabulary: 2, Embedding: 1, Hidden: 1}, SeqLength: 1, Batch: 1,
		LR: 0.5, Schedule: schedule, Epochs: epochs, LogEvery: 1}
	_, err = train.Run(ctx, dir, pairs{}, nil, o, func(p train.Report) error {
		if p.LR > 0 {
			list = append(list, p.LR)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// pairs is data of 2 sequences of 2 zeros.
type pairs struct{}

func (pairs) Len() int64 { return 2 }

func (pairs) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	clear(dst)
	return ctx.Err()
}

// words returns names in alphabetical order.
func words[T ~string](names []T) (list []string) {
	for _, n := range names {
		list = append(list, string(n))
	}
	slices.Sort(list)
	return list
}

// TestPlural looks for a text such as "2 layer(s)": report.Count writes the noun.
func TestPlural(t *testing.T) {
	for _, file := range goFiles(t) {
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if regexp.MustCompile(`%d [a-z]+\(s\)`).MatchString(line) {
				t.Errorf("%s:%d: write 1 layer, 2 layers", file, i+1)
			}
		}
	}
}

// TestNoKeys looks for keys of the config and flags of the command line in the texts of
// transforms, model, runners and some packages of pipelines: they carry fields, and
// command names keys and flags.
func TestNoKeys(t *testing.T) {
	var keys []string
	for _, section := range []string{"corpus", "prep", "model", "train", "generate", "gate", "schedule", "round", "notify", "sweep"} {
		for _, name := range configs.KeysOf(section) {
			keys = append(keys, regexp.QuoteMeta(name))
		}
	}
	speaks := regexp.MustCompile(`\b(` + strings.Join(keys, "|") + `)\b|(^|[^-\w])--[a-z]`)
	for text, want := range map[string]bool{"use a smaller train.lr": true, "--replace it": true, "train the model": false, "a--b": false} {
		if speaks.MatchString(text) != want {
			t.Fatalf("%q names a key or a flag: %v, want %v", text, !want, want)
		}
	}
	silent := regexp.MustCompile(`^(transforms|model|runners|pipelines/(stages|inspect|bench|report))/`)
	for _, file := range goFiles(t) {
		// The flags of runners/engine are Beam's, the interface of the runners; those of a cluster's node are kubectl's.
		if !silent.MatchString(file) || strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "runners/engine/") ||
			slices.Contains([]string{"runners/node/kubernetes.go", "runners/node/pods.go", "runners/node/kubectl.go", "runners/node/kubetest/kubectl.go"}, file) {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, filepath.Join("..", file), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && speaks.MatchString(text.Value) {
				t.Errorf("%s: %s", set.Position(text.Pos()), text.Value)
			}
			return true
		})
	}
}
