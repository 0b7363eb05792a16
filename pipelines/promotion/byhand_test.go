package promotion

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
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
	if _, err := Open(t.Context(), dir); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("nothing promoted: %v", err)
	}
	if _, err := Rollback(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "nothing to roll back from") {
		t.Errorf("rollback of nothing: %v", err)
	}
	path := func(i int) string {
		if i < 0 {
			return ""
		}
		return copyOf(t, dir, store.Locate(dir, names[i]))
	}
	want := func(what string, now, before int, res *Result, err error) {
		t.Helper()
		if err != nil || res.Promoted != path(now) || res.Previous != path(before) {
			t.Errorf("%s: %+v, %v, want %s for %s", what, res, err, path(now), path(before))
		}
		if m, err := Open(t.Context(), dir); err != nil || m.Path != path(now) {
			t.Errorf("%s: promoted is %+v, %v", what, m, err)
		}
	}
	for i := range names {
		res, err := Promote(t.Context(), dir, store.Locate(dir, names[i]), "best")
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
	res, err = Promote(t.Context(), dir, store.Locate(dir, names[2]), "best")
	want("promote the last", 2, 0, res, err)
	res, err = Rollback(t.Context(), dir)
	want("rollback to a model that a rollback brought back", 0, 2, res, err)
	if _, err := Rollback(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "the first model") {
		t.Errorf("rollback after that: %v", err)
	}

	all, err := History(t.Context(), dir, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, p := range all {
		said = append(said, fmt.Sprint(p.Number, p.By, slices.Index(names, p.From)))
	}
	if got, want := strings.Join(said, " "), "7rollback0 6hand2 5rollback0 4rollback1 3hand2 2hand1 1hand0"; got != want {
		t.Errorf("history is %s, want %s", got, want)
	}
	if _, err := Promote(t.Context(), dir, filepath.Join(dir, "nothing"), "best"); err == nil {
		t.Error("what is not there was promoted")
	}
}

// copyOf returns the path of the copy of a checkpoint that was promoted.
func copyOf(t *testing.T, dir, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "promoted", fmt.Sprintf("%x.safetensors", sha256.Sum256(data)))
}

// variants returns n checkpoints below a workdir: one model with other metrics each.
func variants(t *testing.T, n int) (dir string, paths []string) {
	t.Helper()
	dir, names := models(t, 1)
	m, err := text.OpenModel(t.Context(), store.Locate(dir, names[0]), "best")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		st, err := store.Open(t.Context(), filepath.Join(dir, string(rune('a'+i))))
		if err != nil {
			t.Fatal(err)
		}
		m.Checkpoint.Metrics = fmt.Appendf(nil, `{"variant":%d}`, i)
		p, err := checkpoint.Save(t.Context(), st, m.Checkpoint)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, st.Join(p.Name))
	}
	return dir, paths
}

// TestPromoteRaces lets people promote models at the same time, each until it works.
// Every generation of promoted.json has one winner: no promotion is lost, and each
// says which model it replaced. A race is one where somebody lost.
func TestPromoteRaces(t *testing.T) {
	const people = 6
	dir, paths := variants(t, people+1)
	races := 0
	for wave := 1; races < 3; wave++ {
		if wave > 30 {
			t.Fatalf("in %d waves there were %d races", wave, races)
		}
		if _, err := Promote(t.Context(), dir, paths[people], "best"); err != nil { // so that nobody's model is promoted already
			t.Fatal(err)
		}
		start, won, lost := make(chan struct{}), make([]*Result, people), make([]int, people)
		var group sync.WaitGroup
		for i, path := range paths[:people] {
			group.Go(func() {
				<-start
				for won[i] == nil {
					res, err := Promote(t.Context(), dir, path, "best")
					switch {
					case err == nil:
						won[i] = res
					case !errors.Is(err, store.ErrConflict):
						t.Errorf("%s: %v", path, err)
						return
					default:
						lost[i]++
					}
				}
			})
		}
		close(start)
		group.Wait()
		all := chain(t, dir)
		if len(all) != wave*(people+1) {
			t.Fatalf("wave %d: %d promotions succeeded, the history has %d", wave, wave*(people+1), len(all))
		}
		for k, p := range all[:people] {
			i, previous := slices.Index(paths, store.Locate(dir, p.From)), store.Locate(dir, all[k+1].Checkpoint)
			if won[i].Promoted != copyOf(t, dir, paths[i]) || won[i].Previous != previous {
				t.Errorf("wave %d: number %d says %+v, want %s for %s", wave, p.Number, won[i], paths[i], previous)
			}
			won[i] = &Result{} // it is in the history once
		}
		if slices.Max(lost) > 0 {
			races++
		}
	}
}

// TestPromoteBetween: a person who promotes or rolls back while another promotes, after
// the record was read and before promoted.json moves, is told so, and the other's model stays.
func TestPromoteBetween(t *testing.T) {
	dir, paths := variants(t, 4)
	promote := func(i int) error {
		_, err := Promote(t.Context(), dir, paths[i], "best")
		return err
	}
	for what, do := range map[string]func() error{
		"promote":  func() error { return promote(2) },
		"rollback": func() error { _, err := Rollback(t.Context(), dir); return err },
	} {
		// While the copy is made; and while promoted.json is written, which the store alone can notice.
		for _, at := range []string{"link promoted", "create ."} {
			if err := errors.Join(promote(0), promote(1)); err != nil { // so that the other's model is new
				t.Fatal(err)
			}
			var told atomic.Bool
			restore := store.InjectFaults(func(op, name string) error {
				if op+" "+filepath.Dir(name) == at && told.CompareAndSwap(false, true) {
					if err := promote(3); err != nil {
						t.Errorf("%s: the other: %v", what, err)
					}
				}
				return nil
			})
			err := do()
			restore()
			if m, oerr := Open(t.Context(), dir); !errors.Is(err, store.ErrConflict) || oerr != nil || m.Path != copyOf(t, dir, paths[3]) {
				t.Errorf("%s at %s: %v, and %+v is in service, %v", what, at, err, m, oerr)
			}
			chain(t, dir)
		}
	}
}

// TestPromoteElsewhere: a checkpoint outside of the workdir is recorded by its
// absolute path.
func TestPromoteElsewhere(t *testing.T) {
	_, paths := variants(t, 1)
	dir := t.TempDir()
	before := time.Now().Add(-time.Second)
	res, err := Promote(t.Context(), dir, paths[0], "best")
	if err != nil || *res != (Result{Promoted: copyOf(t, dir, paths[0])}) {
		t.Fatalf("%+v, %v", res, err)
	}
	p := chain(t, dir)[0]
	at, err := time.Parse(time.RFC3339, p.At)
	if p.From != paths[0] || p.By != ByHand || p.Round != "" || err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("the record is %+v", p)
	}
}

// TestRollback restores a model with its round, its decision and its loss, also where
// the checkpoint that was promoted is gone.
func TestRollback(t *testing.T) {
	dir, paths := variants(t, 2)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := text.OpenModel(t.Context(), paths[0], "best")
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := Install(t.Context(), st, m, Promoted{By: ByRound, Round: "key", Decision: "verdict", Nats: 1.25}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Promote(t.Context(), dir, paths[1], "best"); err != nil {
		t.Fatal(err)
	}
	kept := []string{copyOf(t, dir, paths[0]), copyOf(t, dir, paths[1])}
	for _, path := range paths {
		if err := os.RemoveAll(filepath.Dir(filepath.Dir(path))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(kept[0], kept[0]+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Rollback(t.Context(), dir); !errors.Is(err, store.ErrNotExist) || !strings.Contains(err.Error(), kept[0]) || len(chain(t, dir)) != 2 {
		t.Errorf("the copy is gone: %v", err)
	}
	if err := os.Rename(kept[0]+".away", kept[0]); err != nil {
		t.Fatal(err)
	}
	if res, err := Rollback(t.Context(), dir); err != nil || *res != (Result{kept[0], kept[1]}) {
		t.Errorf("%+v, %v", res, err)
	}
	want := *first
	p := chain(t, dir)[0]
	want.Number, want.By, want.Restores, want.At, want.Previous = 3, ByRollback, mustName(t, first), p.At, p.Previous
	if p != want || p.At == "" {
		t.Errorf("the record is %+v, want %+v", p, want)
	}
}

// TestNoCopy: a model whose copy cannot be written does not go into service.
func TestNoCopy(t *testing.T) {
	workdir, names := models(t, 1)
	st, err := store.Open(t.Context(), workdir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	m, err := text.OpenModel(t.Context(), filepath.Join(workdir, names[0]), "best")
	if err != nil {
		t.Fatal(err)
	}
	full := errors.New("no space left")
	failing := st.WithFaults(func(op, name string) error {
		if op == "commit" && strings.HasPrefix(name, "promoted/") {
			return full
		}
		return nil
	})
	if _, _, err := Install(t.Context(), failing, m, Promoted{By: ByRound}, ""); !errors.Is(err, full) {
		t.Errorf("without a copy: %v", err)
	}
	if p, _, err := Read(t.Context(), st); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("without a copy, %+v is promoted, %v", p, err)
	}
}
