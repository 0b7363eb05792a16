package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/crashtest"
)

// TestCrashImages lets the machine fail after every file operation of six commits,
// and keeps none, half or all of the data that was not synced. Committed
// checkpoints are there, and the pointers can be repaired.
func TestCrashImages(t *testing.T) {
	ctx := context.Background()
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	dir, crashes := t.TempDir(), t.TempDir()
	disk, err := crashtest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	keep := Retention{KeepLast: 2, KeepBest: true}
	losses := []float64{3, 1, 2, 4, 0.5, 6}
	var done atomic.Int64
	var mu sync.Mutex // the lease is renewed beside the commits
	images := 0
	check := func(what, image string, done int64) {
		st := openStore(t, image)
		c, _, err := Open(ctx, image, Latest)
		if err != nil && !(done == 0 && errors.Is(err, store.ErrNotExist)) || c != nil && (c.Step < done || c.Step > done+1) {
			t.Errorf("%s: %d are committed, latest is %+v, %v", what, done, c, err)
			return
		}
		expire(t, st)
		d := acquire(t, st)
		n, err := d.NewestIntact(ctx)
		if err != nil || n.Checkpoint == nil && done > 0 || n.Checkpoint != nil && (n.Step < done || len(n.Damaged) > 0) {
			t.Errorf("%s: %d are committed, the newest is %+v, %v", what, done, n, err)
			return
		}
		if n.Checkpoint == nil {
			return
		}
		if err := d.ResumeFrom(ctx, n, keep); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		want := slices.Index(losses, slices.Min(losses[:n.Step])) + 1
		if latest, best := at(t, st); latest != n.Step || best != int64(want) {
			t.Errorf("%s: resumed from step %d, latest is %d, best %d, want %d", what, n.Step, latest, best, want)
		}
		for _, which := range []string{Latest, Best} {
			if _, _, err := Open(ctx, image, which); err != nil {
				t.Errorf("%s: %s: %v", what, which, err)
			}
		}
	}
	restore := store.WatchFiles(func(op, name string, err error) {
		disk.Done(op, name, err)
		if !slices.Contains([]string{"mkdir", "create", "write", "sync", "link", "rename", "remove", "syncdir"}, op) || t.Failed() {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		acknowledged := done.Load()
		for _, kept := range []float64{0, 0.5, 1} {
			images++
			to := filepath.Join(crashes, fmt.Sprint(images))
			if err := disk.Image(to, kept, uint64(images)); err != nil {
				t.Error(err)
			}
			check(fmt.Sprintf("image %d, %s %s, %g kept", images, op, name, kept), to, acknowledged)
			os.RemoveAll(to)
		}
	})
	st := openStore(t, dir)
	restore()
	d := acquire(t, st)
	for i, loss := range losses {
		commit(t, d, keep, int64(i+1), loss)
		done.Add(1)
	}
	mu.Lock()
	defer mu.Unlock()
	if images < 200 {
		t.Errorf("only %d images", images)
	}
	t.Logf("%d images", images)
}

// expire lets the lease in a crash image expire: its holder is this process,
// which lives.
func expire(t testing.TB, st *store.Store) {
	t.Helper()
	j := json.RawMessage("null")
	_, err := store.ReadLeased(context.Background(), st, JournalName, &j)
	if errors.Is(err, store.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := store.MarshalSealed(map[string]any{"format": "quire-lease/1", "value": j})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(st.Join(JournalName), data, 0o666); err != nil {
		t.Fatal(err)
	}
}
