package train

import (
	"context"
	"slices"
	"testing"
)

// numbered is a text whose ids are the numbers of its characters.
type numbered []int64

func (n numbered) Stretches() []int64 { return n }

func (n numbered) ReadAt(_ context.Context, at int64, dst []int32) error {
	for i := range dst {
		dst[i] = int32(at) + int32(i)
	}
	return nil
}

// numberedData is a numbered that is Data too, without sequences.
type numberedData struct{ numbered }

func (numberedData) Len() int64 { return 0 }

func (numberedData) Read(context.Context, int, int64, []int32) error { return nil }

// TestPassages: in every epoch no passage crosses stretches, a passage that goes on
// begins with the last character of the passage before it, and every target comes
// once. The characters that the passages leave over change from epoch to epoch.
func TestPassages(t *testing.T) {
	const T = 4
	text := numbered{3, 30, 1, 4, 5, 12} // passages: none, 7 and 1 over, none, none, 1, 2 and 3 over
	w := newPassages(text, T, 1)
	if w.n != 10 {
		t.Fatalf("%d passages, want 10", w.n)
	}
	ends := []int32{0, 3, 33, 34, 38, 43, 55}
	seen, starts := map[int32]bool{}, map[int32]bool{}
	for epoch := 1; epoch <= 50; epoch++ {
		targets, before := map[int32]bool{}, int32(-1)
		for i := range w.n {
			ids := make([]int32, T+1)
			goesOn, err := w.read(t.Context(), epoch, i, ids)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && goesOn != (ids[0] == before) {
				t.Fatalf("epoch %d: passage %d goes on: %v, from %d to %d", epoch, i, goesOn, before, ids[0])
			}
			if a, b := inside(ends, ids[0]), inside(ends, ids[T]); a != b {
				t.Fatalf("epoch %d: passage %d crosses: %v", epoch, i, ids)
			}
			for _, id := range ids[1:] {
				if targets[id] {
					t.Fatalf("epoch %d: target %d comes twice", epoch, id)
				}
				targets[id], seen[id] = true, true
			}
			if before = ids[T]; i == 0 {
				starts[ids[0]] = true
			}
		}
		if len(targets) != 10*T {
			t.Fatalf("epoch %d: %d targets", epoch, len(targets))
		}
	}
	if want := 29 + 4 + 11; len(seen) != want {
		t.Errorf("in 50 epochs %d characters were targets, want %d", len(seen), want)
	}
	if len(starts) < 15 {
		t.Errorf("50 epochs begin at %d characters", len(starts))
	}
}

// inside returns the stretch that a character is in.
func inside(ends []int32, id int32) int {
	i, found := slices.BinarySearch(ends, id)
	if !found {
		i--
	}
	return i
}

// TestPassagesPinned: the passages of two epochs, by seed.
func TestPassagesPinned(t *testing.T) {
	for seed, want := range map[int64][]int32{1: {4, 12, 16, 0, 0, 4, 9, 13}, 2: {13, 0, 4, 9, 9, 13, 0, 4}} {
		var got []int32
		w := newPassages(numbered{9, 12}, 4, seed)
		for epoch := 1; epoch <= 2; epoch++ {
			for i := range w.n {
				ids := make([]int32, 5)
				if _, err := w.read(t.Context(), epoch, i, ids); err != nil {
					t.Fatal(err)
				}
				got = append(got, ids[0])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: passages start at %v, want %v", seed, got, want)
		}
	}
}
