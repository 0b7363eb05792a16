package round

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TestDrift compares aab with abc: with m = (1/2, 1/3, 1/6) the divergence is
// ½·(⅔·ln 4/3 + ⅓·ln 1) + ½·(⅓·ln 2/3 + ⅓·ln 1 + ⅓·ln 2) = ½·ln 4/3.
func TestDrift(t *testing.T) {
	set := func(corpus string) *dataset.Set {
		c := tiny.Config(t, corpus, "prep.validation.fraction=0")
		found, err := text.FindCorpus(t.Context(), c.Corpus, false)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(c.Workdir, "set")
		if _, err := stages.Prep(t.Context(), c, found, stages.PrepOptions{Out: out, Runner: "direct", Console: tiny.Console()}); err != nil {
			t.Fatal(err)
		}
		opened, done, err := text.OpenSet(t.Context(), out)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		return opened
	}
	for _, c := range []struct {
		before, now string
		newC, gone  int
		nats        float64
	}{
		{"aab", "abc", 1, 0, 0.14384103622589045},
		{"abc", "aab", 0, 1, 0.14384103622589045},
		{"aab", "aba", 0, 0, 0},
		{"ab", "cd", 2, 2, math.Ln2},
	} {
		before, now := set(strings.Repeat(c.before, 100)), set(strings.Repeat(c.now, 200))
		d := Drift(before, now)
		if d.NewChars != c.newC || d.GoneChars != c.gone || d.CharsBefore != int64(100*len(c.before)) || d.Chars != int64(200*len(c.now)) ||
			d.UnigramNats == nil || math.Abs(*d.UnigramNats-c.nats) > 1e-15 {
			t.Errorf("from %s to %s: %+v, %v nats, want %+v", c.before, c.now, d, *d.UnigramNats, c)
		}
	}
}

// TestDriftStage holds what the stage drift records of five rounds.
func TestDriftStage(t *testing.T) {
	c := tiny.Config(t, strings.Repeat("aab", 100), "prep.validation.fraction=0")
	o := quiet(Without("train", "evaluate", "gate", "promote", "sample"))
	var lines strings.Builder
	drift := func(want string) (set string) {
		t.Helper()
		o.Console = report.NewConsole(&lines, false)
		set = done(t, c, o).Set
		shown, err := Show(t.Context(), c.Workdir, "")
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := json.Compact(&b, shown.Stage("drift").Value); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != want {
			t.Errorf("drift is %s, want %s", got, want)
		}
		return set
	}
	write := func(text string) {
		if err := os.WriteFile(strings.Replace(c.Corpus.Sources[0], "*", "book", 1), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	name := func(set string) string { return strings.TrimPrefix(set, c.Workdir+"/") }
	first := drift(`{"against":"","chars":0,"chars_before":0,"new_chars":0,"gone_chars":0,"unigram_nats":null}`)
	o.ID = "same"
	drift(`{"against":"` + name(first) + `","chars":300,"chars_before":300,"new_chars":0,"gone_chars":0,"unigram_nats":0}`)
	o.ID = ""
	if strings.Contains(lines.String(), "drift: ") {
		t.Errorf("the same set is read again: %s", lines.String())
	}
	write(strings.Repeat("abc", 100))
	second := drift(`{"against":"` + name(first) + `","chars":300,"chars_before":300,"new_chars":1,"gone_chars":0,"unigram_nats":0.14384103622589045}`)
	if !strings.Contains(lines.String(), "drift: 300 characters after 300, 1 new ones, divergence 0.1438 nats") {
		t.Errorf("the console says %s", lines.String())
	}
	c.Prep.Unit = "byte"
	third := drift(`{"against":"` + name(second) + `","chars":300,"chars_before":300,"new_chars":0,"gone_chars":0,"unigram_nats":null}`)
	if err := os.RemoveAll(third); err != nil {
		t.Fatal(err)
	}
	write(strings.Repeat("ab", 100))
	drift(`{"against":"","chars":0,"chars_before":0,"new_chars":0,"gone_chars":0,"unigram_nats":null}`)
	if !strings.Contains(lines.String(), "drift: the corpus is not compared with the last round's: ") {
		t.Errorf("the console says %s", lines.String())
	}
}
