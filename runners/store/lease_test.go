package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is the value of a lease in these tests.
type record struct{ N int }

func mustAcquire(t *testing.T, s *Store) *Lease {
	t.Helper()
	l, err := Acquire(ctx, s, "run.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		a := mustAcquire(t, s)
		var got record
		if err := a.Value(&got); err != nil || got.N != 0 {
			t.Fatalf("a new value is %v, %v", got, err)
		}
		var held *HeldError
		if _, err := Acquire(ctx, s, "run.json", nil); !errors.As(err, &held) || held.PID != os.Getpid() || time.Until(held.Until) > leaseTime ||
			!strings.Contains(err.Error(), s.Join("run.json")+": process ") {
			t.Fatalf("a second holder: %v", err)
		}
		if err := a.Commit(ctx, record{7}); err != nil {
			t.Fatal(err)
		}
		if !a.renew(ctx) || a.Err() != nil {
			t.Fatalf("renewal: %v", a.Err())
		}
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || !held || got.N != 7 {
			t.Fatalf("read %v, held %v, %v", got, held, err)
		}
		if err := a.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.Commit(ctx, record{8}); !errors.Is(err, ErrLost) {
			t.Errorf("commit after release: %v", err)
		}
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held || got.N != 7 {
			t.Fatalf("released: read %v, held %v, %v", got, held, err)
		}
		b := mustAcquire(t, s)
		if err := errors.Join(b.Value(&got), b.Commit(ctx, nil), b.Release(ctx)); err != nil || got.N != 7 {
			t.Fatalf("the next holder reads %v, %v", got, err)
		}
		if _, err := s.Stat(ctx, "run.json"); !errors.Is(err, ErrNotExist) {
			t.Errorf("without a value, the object stays: %v", err)
		}
	})
}

// TestWriteComesThrough: a renewal that seemed to fail, but has replaced the
// object, costs nothing.
func TestWriteComesThrough(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		l := mustAcquire(t, s)
		late := func() {
			t.Helper()
			found, generation, err := readLeased(ctx, s, "run.json")
			if err != nil {
				t.Fatal(err)
			}
			found.Holder.Until = found.Holder.Until.Add(time.Second)
			data, err := MarshalSealed(found)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Swap(ctx, "run.json", data, generation); err != nil {
				t.Fatal(err)
			}
		}
		late()
		if !l.renew(ctx) {
			t.Errorf("renewal: %v", l.Err())
		}
		late()
		if err := l.Commit(ctx, record{3}); err != nil {
			t.Error(err)
		}
		late()
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
		var got record
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held || got.N != 3 {
			t.Errorf("read %v, held %v, %v", got, held, err)
		}
		l = mustAcquire(t, s)
		late()
		if err := l.Discard(ctx); err != nil {
			t.Error(err)
		}
		if _, err := s.Stat(ctx, "run.json"); !errors.Is(err, ErrNotExist) {
			t.Errorf("after a discard: %v", err)
		}
		l = mustAcquire(t, s) // without a value
		late()
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
		if _, err := s.Stat(ctx, "run.json"); !errors.Is(err, ErrNotExist) {
			t.Errorf("after the release of nothing: %v", err)
		}
	})
}

// TestDiscardOfAnother: a discard leaves the object of a holder that has taken the lease over.
func TestDiscardOfAnother(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		l := mustAcquire(t, s)
		found, generation, err := readLeased(ctx, s, "run.json")
		if err != nil {
			t.Fatal(err)
		}
		found.Holder.ID = "another"
		data, err := MarshalSealed(found)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Swap(ctx, "run.json", data, generation); err != nil {
			t.Fatal(err)
		}
		if err := l.Discard(ctx); err != nil {
			t.Error(err)
		}
		if found, _, err := readLeased(ctx, s, "run.json"); err != nil || found.Holder.ID != "another" {
			t.Errorf("the object is %+v, %v", found, err)
		}
	})
}

// TestRacingHolders has several takers of one lease. Each holder adds one to the value
// and releases the lease: no count is lost, and no two hold the lease at a time.
func TestRacingHolders(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		var group sync.WaitGroup
		var mu sync.Mutex
		holding, counted := 0, 0
		for range 4 {
			group.Go(func() {
				for range 5 {
					l, err := Acquire(ctx, s, "run.json", nil)
					var held *HeldError
					if errors.As(err, &held) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					holding++
					if counted++; holding != 1 {
						t.Errorf("%d holders", holding)
					}
					mu.Unlock()
					var n record
					if err := l.Value(&n); err != nil {
						t.Error(err)
					}
					n.N++
					if err := l.Commit(ctx, n); err != nil {
						t.Error(err)
					}
					mu.Lock()
					holding--
					mu.Unlock()
					if err := l.Release(ctx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var got record
		if _, err := ReadLeased(ctx, s, "run.json", &got); err != nil || got.N != counted || counted == 0 {
			t.Errorf("counted %d, read %d, %v", counted, got.N, err)
		}
	})
}

// TestDamagedLease: a flipped byte, or a missing one, is an error with an address.
func TestDamagedLease(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	l := mustAcquire(t, s)
	if err := errors.Join(l.Commit(ctx, record{5}), l.Release(ctx)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.Join("run.json"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, bad []byte) {
		t.Helper()
		if err := os.WriteFile(s.Join("run.json"), bad, 0o666); err != nil {
			t.Fatal(err)
		}
		if l, err := Acquire(ctx, s, "run.json", nil); err == nil || !strings.Contains(err.Error(), s.Join("run.json")+": byte") {
			t.Fatalf("%s: %v, %v", what, l, err)
		}
	}
	for at := range whole {
		bad := append([]byte{}, whole...)
		bad[at] ^= 0x20
		check(fmt.Sprintf("byte %d", at), bad)
		check(fmt.Sprintf("cut at %d", at), whole[:at])
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Acquire(cancelled, mustOpen(t, t.TempDir()), "run.json", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestAcquireFolder: where a folder has the name, the error comes at once.
func TestAcquireFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "lease.json", "inside"), 0o777); err != nil {
		t.Fatal(err)
	}
	st, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if l, err := Acquire(t.Context(), st, "lease.json", nil); err == nil || !strings.Contains(err.Error(), "lease.json") {
		t.Errorf("a lease on a folder: %v, %v", l, err)
	}
}
