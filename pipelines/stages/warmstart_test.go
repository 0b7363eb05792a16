package stages

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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
	for _, want := range []string{fmt.Sprintf("train: starts from %s, step %d\n", old.Path, old.Step), "train: 1 new character: \"y\"\n",
		"train: 1 unused character: \"x\"\n"} {
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
	if _, err := Train(t.Context(), c, TrainOptions{Set: store.Locate(c.Workdir, c.Prep.Out), Out: store.Locate(c.Workdir, c.Train.Out),
		Console: tiny.Console()}); err == nil || !strings.Contains(err.Error(), "train.from: the run has "+`"`+old.Digest) {
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

// TestAncestry trains a chain of three, each on a set of its own, and looks for the
// sets where a set may be: at prep.out, in the folder sets of the workdir, where the
// config of the checkpoint's run says, and above the checkpoint.
func TestAncestry(t *testing.T) {
	ancestry := func(m *text.Model) text.Ancestry {
		t.Helper()
		a, err := m.Ancestry()
		if err != nil || a == nil {
			t.Fatalf("%s: %+v, %v", m.Path, a, err)
		}
		return *a
	}
	first := tiny.Config(t, strings.Repeat("abcabcacbxa", 60), "train.epochs=1")
	a := trained(t, first, tiny.Console())
	if none, err := a.Ancestry(); none != nil || err != nil || len(a.Ancestors) > 0 {
		t.Errorf("a model that started from none has the ancestors %s, %v", a.Ancestors, err)
	}
	var lines bytes.Buffer
	second := tiny.Config(t, strings.Repeat("acbbacbaabx", 60), "train.epochs=1", "train.from="+a.Path)
	b := trained(t, second, report.NewConsole(&lines, true))
	if got := ancestry(b); !slices.Equal(got.Sets, []string{a.Set}) || len(got.Passages) != 11 || got.Unread != nil || got.Unknown != nil ||
		strings.Contains(lines.String(), "is not found") {
		t.Errorf("the second: %+v %s", got, lines.String())
	}
	third := tiny.Config(t, strings.Repeat("bxaccabxacb", 60), "train.epochs=1", "train.from="+b.Path, "train.max_steps=3")
	c := trained(t, third, tiny.Console())
	both := ancestry(c)
	if !slices.Equal(both.Sets, []string{a.Set, b.Set}) || len(both.Passages) != 22 || both.Unread != nil {
		t.Errorf("the third: %+v", both)
	}

	fourth := *third
	fourth.Train.From, fourth.Train.Out = c.Path, "fourth"
	own := trained(t, &fourth, tiny.Console())
	fourth.Train.From, fourth.Train.Out = own.Path, "fifth"
	if got := ancestry(trained(t, &fourth, tiny.Console())); !slices.Equal(got.Sets, []string{a.Set, b.Set, c.Set}) || len(got.Passages) != 33 {
		t.Errorf("the fifth, on the set of the third and the fourth: %+v", got)
	}

	// The second set is gone: a run that goes on keeps what its checkpoints say, another one says what it lacks.
	set := store.Locate(second.Workdir, second.Prep.Out)
	move := func(from, to string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o777), os.Rename(from, to)); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "set")
	move(set, elsewhere)
	third.Train.MaxSteps, lines = 0, bytes.Buffer{}
	again := trained(t, third, report.NewConsole(&lines, true))
	if again.Step <= 3 || string(again.Ancestors) != string(c.Ancestors) || strings.Contains(lines.String(), "is not found") {
		t.Errorf("step %d of the third: %s, at step 3 it was %s; %s", again.Step, again.Ancestors, c.Ancestors, lines.String())
	}
	third.Train.MaxSteps = 3
	for _, test := range []struct {
		place, at string
		found     bool
	}{
		{"nowhere", elsewhere, false},
		{"in the folder sets of the workdir", filepath.Join(third.Workdir, "sets/some"), true},
		{"at prep.out of its own workdir", set, true},
		{"where the config of its run says", filepath.Join(second.Workdir, "set2"), true},
	} {
		if test.at != elsewhere {
			move(elsewhere, test.at)
		}
		if strings.HasPrefix(test.place, "where") {
			if err := os.WriteFile(filepath.Join(second.Workdir, second.Train.Out, configName), []byte("workdir: "+second.Workdir+"\nprep: {out: set2}\n"),
				0o666); err != nil {
				t.Fatal(err)
			}
		}
		third.Train.Out, lines = "run-"+strings.ReplaceAll(test.place, " ", "-"), bytes.Buffer{}
		got := ancestry(trained(t, third, report.NewConsole(&lines, true)))
		if test.found && !reflect.DeepEqual(got, both) || !test.found && (!slices.Equal(got.Unread, []string{b.Set}) ||
			!slices.Equal(got.Sets, both.Sets) || len(got.Passages) != 11) {
			t.Errorf("the second set is %s: %+v", test.place, got)
		}
		if warned := strings.Contains(lines.String(), fmt.Sprintf("WARNING: train: the set %.12s", b.Set)); warned == test.found {
			t.Errorf("the second set is %s: %s", test.place, lines.String())
		}
		if test.at != elsewhere {
			move(test.at, elsewhere)
		}
	}
}
