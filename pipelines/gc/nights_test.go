package gc_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/gate"
	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/pipelines/internal/tiny"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
)

// TestNights has a round a night, on a corpus that grows each night, and a removal after
// each. With rounds rounds and promotions models that stay, the workdir has at most
// (rounds + promotions) times the bytes that the last night has added: those rounds reach
// a set and a run each, those models a copy and a set.
func TestNights(t *testing.T) {
	const rounds, promotions = 3, 2
	nights := 5
	if soak {
		nights = 30
	}
	memory(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	line := "to be or not to be, that is the question of night %d. "
	c := tiny.Config(t, strings.Repeat(fmt.Sprintf(line, 0), 40))
	c.Train.Epochs, c.Train.LR, c.GC.KeepLast, c.GC.KeepPromotions = 2, 0.02, rounds, promotions
	if err := os.MkdirAll(c.Workdir, 0o777); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), c.Workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	size := func() (bytes int64) {
		list, err := st.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list {
			bytes += info.Bytes
		}
		return bytes
	}
	o, err := gc.Of(c)
	if err != nil {
		t.Fatal(err)
	}
	o.Delete = true
	var before, most, all int64
	for night := range nights {
		f, err := os.OpenFile(strings.Replace(c.Corpus.Sources[0], "*", "book", 1), os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(strings.Repeat(fmt.Sprintf(line, night), 20))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		res, err := round.Run(t.Context(), c, round.Options{ID: fmt.Sprintf("202601%02dT030000Z", night+1), Runner: "direct", Console: tiny.Console()})
		if err != nil && !errors.Is(err, gate.ErrRefused) {
			t.Fatal(err)
		}
		added := size() - before
		freed, err := gc.Run(t.Context(), st, o)
		if err != nil {
			t.Fatal(err)
		}
		before = size()
		all, most = all+added, max(most, before)
		if bound := (rounds + promotions) * added; before > bound {
			t.Errorf("night %d: %d bytes, more than %d", night, before, bound)
		}
		if freed.StaysBytes+freed.ForeignBytes > before+1000 || freed.StaysBytes+freed.ForeignBytes < before-1000 { // gc/last.json
			t.Errorf("night %d: %d bytes stay, by the result %d", night, before, freed.StaysBytes)
		}
		if night > rounds+promotions && len(freed.Goes) == 0 {
			t.Errorf("night %d: nothing goes", night)
		}
		if _, err := os.Stat(res.Run); err != nil {
			t.Errorf("night %d: %v", night, err)
		}
	}
	t.Logf("%d nights: %d bytes at most, %d without removals", nights, most, all)
}
