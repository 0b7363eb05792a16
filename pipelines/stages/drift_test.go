package stages

import (
	"math"
	"strings"
	"testing"
)

// TestDrift compares aab with abc: with m = (1/2, 1/3, 1/6) the divergence is
// ½·(⅔·ln 4/3 + ⅓·ln 1) + ½·(⅓·ln 2/3 + ⅓·ln 1 + ⅓·ln 2) = ½·ln 4/3.
func TestDrift(t *testing.T) {
	l := newGateLab(t)
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
		before, done, err := openSet(ctx, l.prepare(c.before+"-", strings.Repeat(c.before, 100), 0))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		now, done, err := openSet(ctx, l.prepare(c.before+"-"+c.now, strings.Repeat(c.now, 200), 0))
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		d := Drift(before, now)
		if d.NewChars != c.newC || d.GoneChars != c.gone || d.CharsBefore != int64(100*len(c.before)) || d.Chars != int64(200*len(c.now)) ||
			d.UnigramNats == nil || math.Abs(*d.UnigramNats-c.nats) > 1e-15 {
			t.Errorf("from %s to %s: %+v, %v nats, want %+v", c.before, c.now, d, *d.UnigramNats, c)
		}
	}
}
