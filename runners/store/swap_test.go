package store

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSwap(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for _, n := range []int{3, int(digestBytes), int(digestBytes) + 5, chunkBytes + 5} {
			name := fmt.Sprintf("p/%d", n)
			a, b := random(1, n), random(2, n)
			first, err := s.Swap(ctx, name, a, "")
			if err != nil {
				t.Fatal(err)
			}
			conflict := func(what string, data []byte, generation string) {
				t.Helper()
				if _, err := s.Swap(ctx, name, data, generation); !errors.Is(err, ErrConflict) {
					t.Fatalf("%s: %v, want a conflict", what, err)
				}
			}
			conflict("no generation, but it exists", b, "")
			second, err := s.Swap(ctx, name, b, first.Generation)
			if err != nil || second.Generation == first.Generation {
				t.Fatalf("second %v, %v after %v", second, err, first)
			}
			conflict("old generation", a, first.Generation)
			conflict("old generation, the same bytes", b, first.Generation)
			conflict("no such generation", a, "12345")
			data, info, err := s.Read(ctx, name)
			if err != nil || !bytes.Equal(data, b) || info != second {
				t.Fatalf("read %v, %v, want %v", info, err, second)
			}
			list, err := s.List(ctx, name)
			if err != nil || len(list) != 1 || time.Since(list[0].Changed).Abs() > time.Hour {
				t.Fatalf("list %v, %v, want %v, changed just now", list, err, second)
			}
			list[0].Changed, second.Changed = time.Time{}, time.Time{}
			if list[0] != second {
				t.Fatalf("list %v, want %v", list, second)
			}
			if err := s.Delete(ctx, name, first.Generation); !errors.Is(err, ErrConflict) {
				t.Fatalf("delete of an old generation: %v", err)
			}
			if err := s.Delete(ctx, name, second.Generation); err != nil {
				t.Fatal(err)
			}
			conflict("it does not exist", a, second.Generation)
			if _, err := s.Swap(ctx, name, a, ""); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRacingSwaps counts with several goroutines: no step may be lost. A step counts
// twice if its reply was lost and another writer replaced the object before the step's
// writer looked: without a history that is a conflict.
func TestRacingSwaps(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		const workers, steps = 4, 8
		var group sync.WaitGroup
		for range workers {
			group.Go(func() {
				if err := count(s, "counter", steps); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if data, _, err := s.Read(ctx, "counter"); err != nil {
			t.Fatal(err)
		} else if n, _ := strconv.Atoi(string(data)); n < workers*steps || n > workers*steps && !strings.Contains(t.Name(), "faults") {
			t.Fatalf("counted to %s, want %d", data, workers*steps)
		}
	})
}

// count adds 1 to the number in an object, steps times.
func count(s *Store, name string, steps int) error {
	for steps > 0 {
		n := 0
		data, info, err := s.Read(ctx, name)
		if err == nil {
			n, err = strconv.Atoi(string(data))
		} else if errors.Is(err, ErrNotExist) {
			err = nil
		}
		if err != nil {
			return err
		}
		_, err = s.Swap(ctx, name, []byte(strconv.Itoa(n+1)), info.Generation)
		switch {
		case err == nil:
			steps--
		case !errors.Is(err, ErrConflict):
			return err
		}
	}
	return nil
}

func TestRacingPuts(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for round := range 5 {
			name := fmt.Sprintf("r/%d", round)
			var mu sync.Mutex
			var winners []string
			var group sync.WaitGroup
			for i := range 6 {
				group.Go(func() {
					data := fmt.Sprintf("writer %d", i/2) // two write each
					_, err := s.Put(ctx, name, []byte(data))
					if err != nil && !errors.Is(err, ErrConflict) {
						t.Error(err)
					}
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						winners = append(winners, data)
					}
				})
			}
			group.Wait()
			data, _, err := s.Read(ctx, name)
			if err != nil || len(winners) != 2 || winners[0] != string(data) || winners[1] != string(data) {
				t.Fatalf("winners %q, but read %q, %v", winners, data, err)
			}
		}
	})
}

func TestDelete(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		info, err := s.Put(ctx, "d/e", []byte("bytes"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, "d/e", info.Generation+"0"); !errors.Is(err, ErrConflict) {
			t.Fatalf("another generation: %v", err)
		}
		for _, generation := range []string{info.Generation, info.Generation, ""} {
			if err := s.Delete(ctx, "d/e", generation); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Put(ctx, "d/e", []byte("other bytes")); err != nil {
			t.Fatal(err)
		}
		if err := s.Delete(ctx, "d/e", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Stat(ctx, "d/e"); !errors.Is(err, ErrNotExist) {
			t.Fatal(err)
		}
	})
}
