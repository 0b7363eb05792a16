package promotion

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	res, err = Rollback(t.Context(), dir)
	want("rollback to a model that a rollback brought back", 0, 2, res, err)
	if _, err := Rollback(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "the first model") {
		t.Errorf("rollback after that: %v", err)
	}

	all, err := History(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, p := range all {
		said = append(said, fmt.Sprint(p.Number, p.By, slices.Index(names, p.Checkpoint)))
	}
	if got, want := strings.Join(said, " "), "7rollback0 6hand2 5rollback0 4rollback1 3hand2 2hand1 1hand0"; got != want {
		t.Errorf("history is %s, want %s", got, want)
	}
	if _, err := Promote(t.Context(), dir, filepath.Join(dir, "nothing"), "best"); err == nil {
		t.Error("what is not there was promoted")
	}
}

// copies returns n checkpoints, copies of one, below a workdir.
func copies(t *testing.T, n int) (dir string, paths []string) {
	t.Helper()
	dir, names := models(t, 1)
	data, err := os.ReadFile(store.Locate(dir, names[0]))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("%c.safetensors", 'a'+i))
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return dir, paths
}

// TestPromoteRaces lets people promote models at the same time, each until it works.
// Every generation of promoted.json has one winner: no promotion is lost, and each
// says which model it replaced. A race is one where somebody lost.
func TestPromoteRaces(t *testing.T) {
	const people = 6
	dir, paths := copies(t, people+1)
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
			i, previous := slices.Index(paths, store.Locate(dir, p.Checkpoint)), store.Locate(dir, all[k+1].Checkpoint)
			if won[i].Promoted != paths[i] || won[i].Previous != previous {
				t.Errorf("wave %d: number %d says %+v, want %s for %s", wave, p.Number, won[i], paths[i], previous)
			}
			won[i] = &Result{} // it is in the history once
		}
		if slices.Max(lost) > 0 {
			races++
		}
	}
}

// TestPromoteElsewhere: a checkpoint outside of the workdir is promoted by its
// absolute path.
func TestPromoteElsewhere(t *testing.T) {
	_, paths := copies(t, 1)
	dir := t.TempDir()
	before := time.Now().Add(-time.Second)
	res, err := Promote(t.Context(), dir, paths[0], "best")
	if err != nil || *res != (Result{Promoted: paths[0]}) {
		t.Fatalf("%+v, %v", res, err)
	}
	p := chain(t, dir)[0]
	at, err := time.Parse(time.RFC3339, p.At)
	if p.Checkpoint != paths[0] || p.By != ByHand || p.Round != "" || err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("the record is %+v", p)
	}
}

// TestRollback restores a model with its round and its loss, and changes nothing
// where the checkpoint is gone.
func TestRollback(t *testing.T) {
	dir, paths := copies(t, 2)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	first, _, err := Swap(t.Context(), st, Promoted{Checkpoint: "a.safetensors", By: ByRound, Round: "key", Nats: 1.25})
	if err != nil {
		t.Fatal(err)
	}
	promoted(t, st, ByRound, "b.safetensors")
	if err := os.Rename(paths[0], paths[0]+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Rollback(t.Context(), dir); !errors.Is(err, store.ErrNotExist) || len(chain(t, dir)) != 2 {
		t.Errorf("the checkpoint is gone: %v", err)
	}
	if err := os.Rename(paths[0]+".away", paths[0]); err != nil {
		t.Fatal(err)
	}
	if res, err := Rollback(t.Context(), dir); err != nil || *res != (Result{paths[0], paths[1]}) {
		t.Errorf("%+v, %v", res, err)
	}
	p := chain(t, dir)[0]
	if p.By != ByRollback || p.Round != "key" || p.Nats != 1.25 || p.Restores != mustName(t, first) || p.At == "" {
		t.Errorf("the record is %+v", p)
	}
}
