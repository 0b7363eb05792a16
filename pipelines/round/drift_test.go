package round

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"
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
