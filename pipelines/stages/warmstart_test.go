package stages

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/runners/store"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/text"
)

// trained trains with c and opens what was saved last.
func trained(t *testing.T, c *configs.Config, console *report.Console) *text.Model {
	t.Helper()
	res, err := Train(t.Context(), c, TrainOptions{Set: prepared(t, c), Out: store.Locate(c.Workdir, c.Train.Out), Console: console})
	if err != nil {
		t.Fatal(err)
	}
	m, err := text.OpenModel(t.Context(), string(res.Run), "latest")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWarmStart starts from a model of other characters: those of both keep their
// rows, the new one has the mean, all other weights are the same.
func TestWarmStart(t *testing.T) {
	old := trained(t, tiny.Config(t, strings.Repeat("abcabcacbxa", 60), "train.epochs=1"), tiny.Console())
	c := tiny.Config(t, strings.Repeat("abcabcacbya", 60), "train.epochs=0", "train.from="+old.Path)
	var lines bytes.Buffer
	m := trained(t, c, report.NewConsole(&lines, false))
	for _, want := range []string{fmt.Sprintf("train: starts from %s, step %d\n", old.Path, old.Step), "train: 1 new character: \"y\"\n", "train: 1 unused character: \"x\"\n"} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the console has no %q: %s", want, lines.String())
		}
	}
	for i, p := range m.Weights.Shape.Parameters() {
		got, from := m.Weights.ByPos[i], old.Weights.ByPos[i]
		if p.Dims[0] != 4 { // a, b, c and x or y
			if !slices.Equal(got, from) {
				t.Errorf("%s is %v, in the other model %v", p.Name, got, from)
			}
			continue
		}
		width := p.Size() / 4
		if !slices.Equal(got[:3*width], from[:3*width]) {
			t.Errorf("%s: rows of a, b and c are %v, in the other model %v", p.Name, got[:3*width], from[:3*width])
		}
		for j := range width {
			var sum float64
			for row := range 4 {
				sum += float64(from[row*width+j])
			}
			if got[3*width+j] != float32(sum/4) {
				t.Errorf("%s: value %d of the new row is %v, want the mean %v", p.Name, j, got[3*width+j], sum/4)
			}
		}
	}
	if want := `"from":"` + old.Digest + `"`; !strings.Contains(string(m.Config), want) || len(old.Digest) != 64 {
		t.Errorf("the checkpoint's config is %s, want %s in it", m.Config, want)
	}

	c.Train.From = ""
	if _, err := Train(t.Context(), c, TrainOptions{Set: store.Locate(c.Workdir, c.Prep.Out), Out: store.Locate(c.Workdir, c.Train.Out), Console: tiny.Console()}); err == nil || !strings.Contains(err.Error(), "train.from: the run has "+`"`+old.Digest) {
		t.Errorf("going on without train.from: %v", err)
	}
}

// TestWarmStartRefuses: shapes, units and paths that do not fit.
func TestWarmStartRefuses(t *testing.T) {
	words := strings.Repeat("abcabcacbxa", 60)
	old := trained(t, tiny.Config(t, words, "train.epochs=1"), tiny.Console())
	for _, refused := range []struct{ set, want string }{
		{"model.hidden=9", "gru, 1 layer, embedding 4, hidden 8 of unit rune, this training gru, 1 layer, embedding 4, hidden 9 of unit rune"},
		{"model.cell=lstm", "this training lstm, 1 layer"},
		{"prep.unit=byte", "hidden 8 of unit byte"},
		{"train.from=nowhere", "stages: start: run: there is no checkpoint at "},
	} {
		c := tiny.Config(t, words, "train.epochs=1", "train.from="+old.Path, refused.set)
		_, err := Train(t.Context(), c, TrainOptions{Set: prepared(t, c), Out: store.Locate(c.Workdir, c.Train.Out), Console: tiny.Console()})
		if !errors.As(err, new(*StartError)) || !strings.Contains(err.Error(), refused.want) {
			t.Errorf("%s: %v", refused.set, err)
		}
	}
}
