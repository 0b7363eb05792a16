package run

import (
	"context"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

func newStore(t testing.TB) *store.Store { return openStore(t, t.TempDir()) }

func openStore(t testing.TB, url string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// acquire holds the run in st until the test ends.
func acquire(t testing.TB, st *store.Store) *Dir {
	t.Helper()
	d, err := Acquire(context.Background(), st, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Release(context.Background()) })
	return d
}

// ofStep is a checkpoint whose tensor holds its step.
func ofStep(step int64) *checkpoint.Checkpoint {
	return &checkpoint.Checkpoint{Metadata: checkpoint.Metadata{Cell: "gru", Step: step, Epoch: 1},
		Tensors: []checkpoint.Tensor{{Name: "w", Shape: []int{2}, Data: []float32{float32(step), -1}}}}
}

func withLoss(p checkpoint.Pointer, loss float64) checkpoint.Pointer {
	p.Loss = &loss
	return p
}

// commit saves and commits the checkpoint of a step, with the loss unless that is 0.
func commit(t testing.TB, d *Dir, keep Retention, step int64, loss float64) {
	t.Helper()
	p, err := d.Save(context.Background(), ofStep(step))
	if err != nil {
		t.Fatal(err)
	}
	if loss != 0 {
		p = withLoss(p, loss)
	}
	if warning, err := d.Commit(context.Background(), p, keep); err != nil || warning != nil {
		t.Fatal(warning, err)
	}
}

// committed commits checkpoints of steps, without a loss, and releases the run.
func committed(t testing.TB, st *store.Store, keep Retention, steps ...int64) {
	t.Helper()
	d := acquire(t, st)
	for _, step := range steps {
		commit(t, d, keep, step, 0)
	}
	if err := d.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// files returns the content of each file of a store, by name.
func files(t testing.TB, st *store.Store) map[string]string {
	t.Helper()
	list, err := st.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, info := range list {
		data, _, err := st.Read(context.Background(), info.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[info.Name] = string(data)
	}
	return out
}

// steps returns the steps of the checkpoints in a store, and of those listed.
func steps(t testing.TB, st *store.Store) (found, listed []int64) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files(t, st))) {
		if step, ok := checkpoint.StepOf(name); ok {
			found = append(found, step)
		}
	}
	list, err := Checkpoints(context.Background(), st)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		listed = append(listed, p.Step)
	}
	return found, listed
}

// at returns the steps that latest.json and best.json name, -1 for none.
func at(t testing.TB, st *store.Store) (latest, best int64) {
	t.Helper()
	out := [2]int64{-1, -1}
	for i, which := range []string{Latest, Best} {
		p := pointer{which: which}
		if err := p.read(context.Background(), st); err == nil {
			out[i] = p.Step
		} else if !errors.Is(err, store.ErrNotExist) {
			t.Fatal(err)
		}
	}
	return out[0], out[1]
}

// damage flips a bit near the end of a file.
func damage(t testing.TB, st *store.Store, name string) {
	t.Helper()
	file, err := os.ReadFile(st.Join(name))
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-4] ^= 1
	if err := os.WriteFile(st.Join(name), file, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLeftover: a file without a commit gives way, also a damaged one. A committed
// file stays, and so does the file of another holder.
func TestLeftover(t *testing.T) {
	ctx := context.Background()
	other := ofStep(7)
	other.Tensors[0].Data[1] = 9
	st := newStore(t)
	if _, err := checkpoint.Save(ctx, st, other); err != nil {
		t.Fatal(err)
	}
	d := acquire(t, st)
	commit(t, d, Retention{KeepLast: 9}, 7, 0)
	if _, err := d.Save(ctx, ofStep(7)); err != nil {
		t.Errorf("the same again: %v", err)
	}
	before := files(t, st)
	if _, err := d.Save(ctx, other); !errors.Is(err, store.ErrConflict) {
		t.Errorf("other content for a committed step: %v, want a conflict", err)
	}
	if !reflect.DeepEqual(files(t, st), before) {
		t.Error("a refused save has changed the run")
	}
	if _, err := d.Save(ctx, ofStep(8)); err != nil {
		t.Fatal(err)
	}
	damage(t, st, checkpoint.Path(8))
	commit(t, d, Retention{KeepLast: 9}, 8, 0)
	if c, err := checkpoint.Read(ctx, st, checkpoint.Path(8)); err != nil || c.Tensors[0].Data[0] != 8 {
		t.Errorf("after a damaged leftover: %+v, %v", c, err)
	}
	// The pointers protect a checkpoint of a run that has lost its journal.
	if err := d.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := DropJournal(ctx, st); err != nil {
		t.Fatal(err)
	}
	d = acquire(t, st)
	if n, err := d.NewestIntact(ctx); err != nil || n.Step != 8 {
		t.Fatal(n, err)
	}
	other.Step = 8
	if _, err := d.Save(ctx, other); !errors.Is(err, store.ErrConflict) {
		t.Errorf("other content for the step of latest.json: %v, want a conflict", err)
	}
	// Another holder's file stays.
	other.Step = 9
	if _, err := checkpoint.Save(ctx, st, other); err != nil {
		t.Fatal(err)
	}
	takeOver(t, st)
	before = files(t, st)
	if _, err := d.Save(ctx, ofStep(9)); !errors.Is(err, store.ErrLost) {
		t.Errorf("a leftover under a lost lease: %v", err)
	}
	if !reflect.DeepEqual(files(t, st), before) {
		t.Error("a process that has lost its lease has changed the run")
	}
}

// TestDiscard leaves the lease, the pins and foreign files. The next training there
// is a run like any other.
func TestDiscard(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	d := acquire(t, st)
	commit(t, d, Retention{KeepLast: 2, KeepBest: true}, 1, 2)
	commit(t, d, Retention{KeepLast: 2, KeepBest: true}, 2, 3)
	for _, name := range []string{"pins.txt", "config.yaml", "metrics.jsonl", "events.1", "events.2"} {
		if _, err := st.Put(ctx, name, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Discard(ctx, "metrics.jsonl", "events."); err != nil {
		t.Fatal(err)
	}
	left := slices.Sorted(maps.Keys(files(t, st)))
	if !slices.Equal(left, []string{"config.yaml", "pins.txt", "run.json"}) || d.Latest().Name != "" {
		t.Errorf("left %v, latest %+v", left, d.Latest())
	}
	if n, err := d.NewestIntact(ctx); err != nil || n.Checkpoint != nil {
		t.Errorf("after a discard the newest is %+v, %v", n, err)
	}
	commit(t, d, Retention{KeepLast: 2, KeepBest: true}, 1, 4)
	if _, listed := steps(t, st); !slices.Equal(listed, []int64{1}) {
		t.Errorf("listed %v", listed)
	}
	if latest, best := at(t, st); latest != 1 || best != 1 {
		t.Errorf("latest %d, best %d", latest, best)
	}
	if err := d.Discard(ctx); err != nil {
		t.Fatal(err)
	}
	commit(t, d, Retention{KeepLast: 2}, 2, 0)
	if _, listed := steps(t, st); !slices.Equal(listed, []int64{2}) {
		t.Errorf("a commit right after a discard lists %v", listed)
	}
}

func TestFiles(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	if _, err := Files(ctx, st); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("of no run: %v", err)
	}
	d := acquire(t, st)
	names := func() (out []string) {
		list, err := Files(ctx, st)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			out = append(out, f.Name)
			if p, _ := Find(ctx, st, Latest); f.Name == p.Name && f.SHA256 != p.SHA256 || strings.HasSuffix(f.Name, ".json") != (f.SHA256 == "") {
				t.Errorf("%+v", f)
			}
		}
		return out
	}
	commit(t, d, Retention{KeepLast: 9}, 1, 0)
	if got := names(); !slices.Equal(got, []string{"latest.json", checkpoint.Path(1)}) {
		t.Errorf("without best.json: %v", got)
	}
	commit(t, d, Retention{KeepLast: 9, KeepBest: true}, 1, 2)
	if got := names(); !slices.Equal(got, []string{"latest.json", checkpoint.Path(1), "best.json"}) {
		t.Errorf("both of one step: %v", got)
	}
	commit(t, d, Retention{KeepLast: 9, KeepBest: true}, 2, 3)
	if got := names(); !slices.Equal(got, []string{"latest.json", checkpoint.Path(2), "best.json", checkpoint.Path(1)}) {
		t.Errorf("of two steps: %v", got)
	}
	damage(t, st, "best.json")
	if _, err := Files(ctx, st); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("best.json damaged: %v", err)
	}
}

// TestLease: one process holds a run and releases it with a cancelled context too.
// A damaged journal is an error until it is dropped.
func TestLease(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	st := newStore(t)
	d, err := Acquire(ctx, st, nil)
	if err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if _, err := Acquire(ctx, st, nil); !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), st.Join("run.json")) {
		t.Errorf("acquired twice: %v", err)
	}
	cancel()
	if err := d.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(ctx, st, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("acquired by a cancelled context: %v", err)
	}
	if left := files(t, st); len(left) > 0 {
		t.Errorf("a run without checkpoints leaves %v", left)
	}
	committed(t, st, Retention{}, 1)
	damage(t, st, JournalName)
	if _, err := Acquire(ctx, st, nil); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a damaged journal: %v", err)
	}
	if err := DropJournal(context.Background(), st); err != nil {
		t.Fatal(err)
	}
	n, err := acquire(t, st).NewestIntact(context.Background())
	if err != nil || n.Step != 1 {
		t.Errorf("without its journal, the run goes on from %+v, %v", n, err)
	}
}

// TestJournalRefuses: an intact journal that Commit cannot have written is an error
// with an address.
func TestJournalRefuses(t *testing.T) {
	ctx := context.Background()
	for want, change := range map[string]func(list []checkpoint.Pointer){
		"checkpoint 1 of the journal: step 1 comes after 2": func(list []checkpoint.Pointer) { list[0], list[1] = list[1], list[0] },
		"checkpoint 1 of the journal: step 1 comes after 1": func(list []checkpoint.Pointer) { list[1] = list[0] },
		`checkpoint 0 of the journal: format is ""`:         func(list []checkpoint.Pointer) { list[0].Format = "" },
		`checkpoint 1 of the journal: name is "../x"`:       func(list []checkpoint.Pointer) { list[1].Name = "../x" },
	} {
		st := newStore(t)
		committed(t, st, Retention{KeepLast: 2}, 1, 2)
		l, err := store.Acquire(ctx, st, JournalName, nil)
		if err != nil {
			t.Fatal(err)
		}
		var j journal
		if err := l.Value(&j); err != nil {
			t.Fatal(err)
		}
		change(j.Checkpoints)
		if err := errors.Join(l.Commit(ctx, j), l.Release(ctx)); err != nil {
			t.Fatal(err)
		}
		_, err1 := Checkpoints(ctx, st)
		_, err2 := acquire(t, st).NewestIntact(ctx)
		_, _, err3 := Open(ctx, st.URL(), "step:1")
		for _, err := range []error{err1, err2, err3} {
			if err == nil || !strings.Contains(err.Error(), st.Join("run.json")+": "+want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	}
}
