package run

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// takeOver takes the lease of a run as another process would whose clock says
// that it has expired.
func takeOver(t testing.TB, st *store.Store) {
	t.Helper()
	var j json.RawMessage
	if held, err := store.ReadLeased(context.Background(), st, JournalName, &j); err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	data, err := store.MarshalSealed(map[string]any{"format": "quire-lease/1", "value": j,
		"holder": map[string]any{"id": "other", "host": "elsewhere", "pid": 1, "machine": "", "process": "", "until": time.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(st.Join(JournalName), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestLostLease: once another process has the lease, a commit and a discard change
// nothing, and the error says so.
func TestLostLease(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	d := acquire(t, st)
	commit(t, d, Retention{KeepBest: true}, 1, 2)
	p, err := d.Save(ctx, ofStep(2))
	if err != nil || d.Err() != nil {
		t.Fatal(err, d.Err())
	}
	takeOver(t, st)
	before := files(t, st)
	if _, err := d.Commit(ctx, withLoss(p, 1), Retention{KeepBest: true}); !errors.Is(err, store.ErrLost) || !strings.Contains(err.Error(), st.Join("run.json")) {
		t.Errorf("commit: %v", err)
	}
	if err := d.Discard(ctx); !errors.Is(err, store.ErrLost) {
		t.Errorf("discard: %v", err)
	}
	if !errors.Is(d.Err(), store.ErrLost) {
		t.Errorf("Err: %v", d.Err())
	}
	if !reflect.DeepEqual(files(t, st), before) {
		t.Error("a process that has lost its lease has changed the run")
	}
}

// TestSuccessor: files that appear after the listing of a commit, and those of
// newer steps, are not deleted.
func TestSuccessor(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	appear := map[string]bool{}
	watched := st.WithFaults(func(op, name string) error {
		if op == "create" && strings.HasSuffix(name, JournalName) && len(appear) == 0 {
			appear[name] = true // before the journal is written, after the listing
			if _, err := checkpoint.Save(ctx, st, ofStep(2)); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	d, err := Acquire(ctx, watched, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release(ctx)
	os.Remove(st.Join(checkpoint.Path(2)))
	clear(appear)
	if _, err := checkpoint.Save(ctx, st, ofStep(9)); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Save(ctx, st, ofStep(1)); err != nil {
		t.Fatal(err)
	}
	appear["done"] = true
	p, err := d.Save(ctx, ofStep(5))
	if err != nil {
		t.Fatal(err)
	}
	clear(appear)
	if _, err := d.Commit(ctx, p, Retention{}); err != nil {
		t.Fatal(err)
	}
	if found, _ := steps(t, st); !slices.Equal(found, []int64{2, 5, 9}) {
		t.Errorf("files of steps %v, want 2 (newer than the listing), 5, and 9 (a newer step)", found)
	}
}

// TestReplaced: a file that another process has replaced since the listing stays.
func TestReplaced(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	armed := false
	watched := st.WithFaults(func(op, name string) error {
		if armed && op == "create" && strings.HasSuffix(name, JournalName) {
			armed = false // before the journal is written, after the listing
			if err := os.WriteFile(st.Join(checkpoint.Path(1)), []byte("another's"), 0o644); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	d := acquire(t, watched)
	commit(t, d, Retention{}, 1, 0)
	p, err := d.Save(ctx, ofStep(2))
	if err != nil {
		t.Fatal(err)
	}
	armed = true
	d.Commit(ctx, p, Retention{}) // may end with a conflict
	if text, err := os.ReadFile(st.Join(checkpoint.Path(1))); err != nil || string(text) != "another's" {
		t.Errorf("the other's file is %q, %v", text, err)
	}
}
