package claim_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// keys returns the keys of each claim of a store, with who holds it.
func keys(t *testing.T, st *store.Store) (list []string) {
	t.Helper()
	all, err := claim.List(t.Context(), st, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		list = append(list, fmt.Sprintf("%s %v %v", c.What, c.Keys, c.Held != nil))
	}
	slices.Sort(list)
	return list
}

// TestTake: a claim has no file before its first key, and none after its release; one
// that is left has its keys and no holder.
func TestTake(t *testing.T) {
	st := open(t)
	a, b := claim.New(st, "round a", "k1"), claim.New(st, "sweep")
	if again, err := a.Take(t.Context()); again || err != nil || len(keys(t, st)) > 0 {
		t.Errorf("no key: %v, %v, claims %v", again, err, keys(t, st))
	}
	for _, k := range []string{"k2", "k1", "k2", "k3"} {
		if again, err := a.Take(t.Context(), k); again || err != nil {
			t.Fatal(again, err)
		}
	}
	if _, err := b.Take(t.Context(), "k9"); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, st); !slices.Equal(got, []string{"round a [k1 k2 k3] true", "sweep [k9] true"}) {
		t.Errorf("claims are %v", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(a.Release(ended), b.Leave(ended)); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, st); !slices.Equal(got, []string{"sweep [k9] false"}) {
		t.Errorf("at the end the claims are %v", got)
	}
	var none *claim.Claim
	if again, err := none.Take(t.Context(), "k"); again || err != nil || none.Release(t.Context()) != nil || none.Leave(t.Context()) != nil {
		t.Errorf("a nil claim: %v, %v", again, err)
	}
}

// TestWaits: a user waits for the removal of its key alone, and for that of a remover that
// lives.
func TestWaits(t *testing.T) {
	st := open(t)
	r, err := claim.Begin(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if _, err := claim.Begin(t.Context(), st); !errors.As(err, &held) {
		t.Errorf("a second remover: %v", err)
	}
	if err := r.Announce(t.Context(), []string{"gone"}); err != nil {
		t.Fatal(err)
	}
	user := claim.New(st, "round")
	if _, err := user.Take(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	waits, done := make(chan error, 1), make(chan error, 1)
	user.Waits = func(held error) { waits <- held }
	go func() {
		_, err := user.Take(t.Context(), "gone")
		done <- err
	}()
	if err := <-waits; !errors.As(err, &held) {
		t.Errorf("it waits for %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	if got := keys(t, st); !slices.Equal(got, []string{"round [other gone] true"}) { // before it waits
		t.Errorf("claims are %v", got)
	}
	if err := r.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}

	// One that died: its lease names a process of this machine that is gone.
	data, err := store.MarshalSealed(map[string]any{"format": "quire-lease/1", "value": map[string]any{"keys": []string{"late"}},
		"holder": map[string]any{"id": "x", "host": "h", "pid": 1 << 30, "machine": "elsewhere", "until": time.Now().Add(-time.Hour), "seconds": 0.05}})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Replace(t.Context(), claim.LeaseName, data); err != nil {
		t.Fatal(err)
	}
	if _, err := user.Take(t.Context(), "late"); err != nil {
		t.Error(err)
	}
	if _, err := st.Stat(t.Context(), claim.LeaseName); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("the lease of a dead remover stays: %v", err)
	}
}

// TestAgain: a user that slept over the end of its claim learns that the claim was removed,
// and one whose claim is there still does not.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		var down atomic.Bool
		broken := st.WithFaults(func(op, name string) error {
			if down.Load() && (op == "commit" || op == "create") {
				return errors.New("no network")
			}
			return nil
		})
		user := claim.New(broken, "round", "k")
		if _, err := user.Take(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		down.Store(true)
		time.Sleep(3 * time.Minute) // the lease cannot be renewed
		synctest.Wait()
		down.Store(false)
		if again, err := user.Take(t.Context(), "k", "k2"); again || err != nil {
			t.Errorf("nobody removed the claim: %v, %v", again, err)
		}
		down.Store(true)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		all, err := claim.List(t.Context(), st, time.Now())
		if err != nil || len(all) != 1 || !all[0].Stale && all[0].Held != nil {
			t.Fatalf("claims are %+v, %v", all, err)
		}
		if err := claim.Drop(t.Context(), st, all[0].Name); err != nil {
			t.Fatal(err)
		}
		down.Store(false)
		if again, err := user.Take(t.Context()); !again || err != nil {
			t.Errorf("the claim was removed: %v, %v", again, err)
		}
		if got := keys(t, st); !slices.Equal(got, []string{"round [k k2] true"}) {
			t.Errorf("claims are %v", got)
		}
		if again, err := user.Take(t.Context()); again || err != nil {
			t.Errorf("told twice: %v, %v", again, err)
		}
		if err := user.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestDrop: the claim of a living user is not dropped.
func TestDrop(t *testing.T) {
	st := open(t)
	user := claim.New(st, "round")
	if _, err := user.Take(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	all, err := claim.List(t.Context(), st, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var held *store.HeldError
	if err := claim.Drop(t.Context(), st, all[0].Name); !errors.As(err, &held) {
		t.Errorf("the claim of a living user is dropped: %v", err)
	}
	if err := user.Release(t.Context()); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]bool{"gc/claims/abc.json": true, "gc/claims/a/b.json": false, "gc/lease.json": false, "gc/claims/a.txt": false} {
		if claim.IsClaim(name) != want {
			t.Errorf("IsClaim(%s) is %v", name, !want)
		}
	}
}

// TestInterleaved lets a user and a remover of one key take turns at their operations on
// the store, in orders in which the user is interrupted twice at most: a user that has
// found its artifact whole has it to the end.
func TestInterleaved(t *testing.T) {
	orders := 0
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	for early := 0; early <= 14; early += 2 {
		for late := early; late <= 14; late += 2 {
			for split := 0; split <= 9; split += 3 {
				orders++
				synctest.Test(t, func(t *testing.T) { interleave(t, early, late, split) })
			}
		}
	}
	t.Logf("%d orders", orders)
}

// turns lets two parties do their operations in a fixed order.
type turns struct {
	mu                  sync.Mutex
	cond                *sync.Cond
	remover, user       int // operations done
	early, late, split  int
	removerEnded, ended bool
}

// may reports whether it is the turn of a party: the user does its first split operations
// after early of the remover's, and the others after late of them.
func (o *turns) may(user bool) bool {
	if user {
		need := o.early
		if o.user >= o.split {
			need = o.late
		}
		return o.removerEnded || o.remover >= need
	}
	if o.ended {
		return true
	}
	if o.remover == o.early && o.user < o.split || o.remover == o.late {
		return false // the user's turn, until it ends or waits
	}
	return true
}

func (o *turns) step(user bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.may(user) {
		o.cond.Wait()
	}
	if user {
		o.user++
	} else {
		o.remover++
	}
	o.cond.Broadcast()
}

func (o *turns) end(user bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if user {
		o.ended = true
	} else {
		o.removerEnded = true
	}
	o.cond.Broadcast()
}

func interleave(t *testing.T, early, late, split int) {
	t.Helper()
	st := open(t)
	put := func(name string) {
		if _, err := st.Put(t.Context(), name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
	put("outcome")
	put("artifact")
	o := &turns{early: early, late: late, split: split}
	o.cond = sync.NewCond(&o.mu)
	party := func(user bool) *store.Store {
		return st.WithFaults(func(op, name string) error {
			if op == "create" || op == "read" || op == "stat" || op == "list" || op == "delete" {
				o.step(user)
			}
			return nil
		})
	}
	has := func(st *store.Store, name string) bool {
		_, err := st.Stat(t.Context(), name)
		if err != nil && !errors.Is(err, store.ErrNotExist) {
			t.Error(err)
		}
		return err == nil
	}
	var group sync.WaitGroup
	group.Go(func() { // removes the outcome, then the artifact
		defer o.end(false)
		mine := party(false)
		r, err := claim.Begin(t.Context(), mine)
		if err != nil {
			t.Error(err)
			return
		}
		if err := r.Announce(t.Context(), []string{"key"}); err != nil {
			t.Error(err)
		}
		all, err := claim.List(t.Context(), mine, time.Now())
		if err != nil {
			t.Error(err)
		}
		if !slices.ContainsFunc(all, func(c claim.Claimed) bool { return slices.Contains(c.Keys, "key") }) {
			for _, name := range []string{"outcome", "artifact"} {
				if err := mine.Delete(t.Context(), name, ""); err != nil {
					t.Error(err)
				}
			}
		}
		if err := r.End(t.Context()); err != nil {
			t.Error(err)
		}
	})
	group.Go(func() { // uses the artifact where its outcome is there
		defer o.end(true)
		mine := party(true)
		c := claim.New(mine, "round")
		c.Waits = func(error) { o.end(true) } // the remover goes on
		if _, err := c.Take(t.Context(), "key"); err != nil {
			t.Error(err)
			return
		}
		if has(mine, "outcome") {
			for range 4 { // it is used for a while
				if !has(mine, "artifact") {
					t.Errorf("early %d, late %d, split %d: the artifact is gone while it is used", early, late, split)
				}
			}
		}
		if err := c.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
}
