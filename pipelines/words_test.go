package pipelines_test

import (
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
	"github.com/quire-ml/quire/model/train"
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
// transforms, model and runners: they carry fields, and command names keys and flags.
func TestNoKeys(t *testing.T) {
	var keys []string
	for _, section := range []string{"corpus", "prep", "model", "train", "generate", "gate", "schedule", "round", "notify", "sweep"} {
		for _, name := range configs.KeysOf(section) {
			keys = append(keys, regexp.QuoteMeta(section+"."+name))
		}
	}
	speaks := regexp.MustCompile(`\b(` + strings.Join(keys, "|") + `)\b|(^|[^-\w])--[a-z]`)
	for _, file := range goFiles(t) {
		folder, _, _ := strings.Cut(file, "/")
		// The flags of runners/engine are Beam's, the interface of the runners.
		if !slices.Contains([]string{"transforms", "model", "runners"}, folder) || strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "runners/engine/") {
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
