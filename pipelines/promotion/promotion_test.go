package promotion

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/pipelines/internal/tiny"

	"github.com/quire-ml/quire/pipelines/stages"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// models trains a model for each seed and returns the workdir and the checkpoints,
// as promoted.json names them.
func models(t *testing.T, seeds ...int64) (workdir string, names []string) {
	t.Helper()
	c := tiny.Config(t, tiny.Line())
	found, err := text.FindCorpus(t.Context(), c.Corpus, false)
	if err != nil {
		t.Fatal(err)
	}
	set := filepath.Join(c.Workdir, "set")
	if _, err := stages.Prep(t.Context(), c, found, stages.PrepOptions{Out: set, Runner: "direct", Console: tiny.Console()}); err != nil {
		t.Fatal(err)
	}
	for _, seed := range seeds {
		c.Train.Seed = seed
		res, err := stages.Train(t.Context(), c, stages.TrainOptions{Set: set, Out: filepath.Join(c.Workdir, "runs", fmt.Sprint(seed)), Console: tiny.Console()})
		if err != nil {
			t.Fatal(err)
		}
		name, err := store.Below(c.Workdir, string(res.Best))
		if err != nil || filepath.IsAbs(name) {
			t.Fatalf("%s is %s below the workdir, %v", res.Best, name, err)
		}
		names = append(names, name)
	}
	return c.Workdir, names
}

// TestPromote goes to and fro: a rollback goes back by one model each time.
func TestPromote(t *testing.T) {
	dir, names := models(t, 1, 2, 3)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := Path(t.Context(), dir); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("nothing promoted: %v", err)
	}
	if _, err := Rollback(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "nothing to roll back from") {
		t.Errorf("rollback of nothing: %v", err)
	}
	path := func(i int) string {
		if i < 0 {
			return ""
		}
		return store.Locate(dir, names[i])
	}
	want := func(what string, now, before int, res *Result, err error) {
		t.Helper()
		if err != nil || res.Promoted != path(now) || res.Previous != path(before) {
			t.Errorf("%s: %+v, %v, want %s for %s", what, res, err, path(now), path(before))
		}
		if p, err := Path(t.Context(), dir); err != nil || p != path(now) {
			t.Errorf("%s: promoted is %s, %v", what, p, err)
		}
	}
	for i := range names {
		res, err := Promote(t.Context(), dir, path(i), "best")
		want(fmt.Sprint("promote ", i), i, i-1, res, err)
	}
	res, err := Promote(t.Context(), dir, filepath.Join(dir, "runs", "3"), "best")
	want("promote again", 2, 2, res, err)
	res, err = Rollback(t.Context(), dir)
	want("rollback", 1, 2, res, err)
	res, err = Rollback(t.Context(), dir)
	want("second rollback", 0, 1, res, err)
	if _, err := Rollback(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "the first model") {
		t.Errorf("third rollback: %v", err)
	}
	res, err = Promote(t.Context(), dir, path(2), "best")
	want("promote the last", 2, 0, res, err)

	all, err := History(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, p := range all {
		said = append(said, fmt.Sprint(p.Number, p.By, slices.Index(names, p.Checkpoint)))
	}
	if got, want := strings.Join(said, " "), "6hand2 5rollback0 4rollback1 3hand2 2hand1 1hand0"; got != want {
		t.Errorf("history is %s, want %s", got, want)
	}
	if _, err := Promote(t.Context(), dir, filepath.Join(dir, "nothing"), "best"); err == nil {
		t.Error("what is not there was promoted")
	}
}

// TestPromoteRaces promotes as if another had not just done so, and once more what
// was killed before the pointer moved.
func TestPromoteRaces(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	a, _, err := Swap(t.Context(), st, Promoted{Checkpoint: "a", By: ByRound, Round: "1", Nats: 1.5})
	if err != nil || a.Number != 1 || a.Previous != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	data, name, err := (&Promoted{Format: promotedFormat, Number: 2, Checkpoint: "b", By: ByRound, Previous: mustName(t, a)}).record()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(t.Context(), name, data); err != nil { // as far as a killed round came
		t.Fatal(err)
	}
	b, before, err := Swap(t.Context(), st, Promoted{Checkpoint: "b", By: ByRound})
	if err != nil || *before != *a || mustName(t, b) != name {
		t.Errorf("%+v after %+v, %v", b, before, err)
	}
	again, before, err := Swap(t.Context(), st, Promoted{Checkpoint: "b", By: ByRound, Round: "other"})
	if err != nil || *again != *b || *before != *b {
		t.Errorf("again %+v after %+v, %v", again, before, err)
	}
	list, err := st.List(t.Context(), "promotions/")
	if err != nil || len(list) != 2 {
		t.Errorf("records are %v, %v, want 2", list, err)
	}
	_, generation, err := Read(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Swap(t.Context(), st, Promoted{Checkpoint: "c", By: ByRound}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Swap(t.Context(), promotedName, data, generation); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old generation: %v, want a conflict", err)
	}
}

func mustName(t *testing.T, p *Promoted) string {
	t.Helper()
	_, name, err := p.record()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBaseline says what a candidate is compared with: the same before and after
// its promotion.
func TestBaseline(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	want := func(candidate, checkpoint, withdrawn string) {
		t.Helper()
		b, err := FindIncumbent(t.Context(), st, candidate)
		if err != nil || b.Checkpoint != checkpoint || !strings.Contains(b.Withdrawn, withdrawn) || (withdrawn == "") != (b.Withdrawn == "") {
			t.Errorf("baseline of %s is %+v, %v, want %q, %q", candidate, b, err, checkpoint, withdrawn)
		}
	}
	var first *Promoted
	put := func(checkpoint, by string) {
		t.Helper()
		p := Promoted{Checkpoint: checkpoint, By: by, At: "now"}
		if by == ByRollback {
			p.Restores = mustName(t, first)
		}
		now, _, err := Swap(t.Context(), st, p)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = now
		}
	}
	want("a", "", "")
	put("a", ByRound)
	want("a", "", "")
	want("b", "a", "")
	put("b", ByRound)
	want("b", "a", "")
	want("a", "b", "")
	put("a", ByRollback)
	want("b", "a", "withdrawn by rollback, promotion 3, at now")
	want("a", "", "")
	put("c", ByHand)
	want("a", "c", "withdrawn by hand, promotion 4")
	want("b", "c", "withdrawn by rollback")
	put("b", ByHand)
	want("b", "c", "")
	want("a", "b", "withdrawn by hand")
}
