package pipelines_test

import (
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
