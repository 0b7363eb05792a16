package dataset

import (
	"slices"
	"strings"
	"testing"
)

// TestStream reads streams of a split at every place. That the order is that of
// the documents is tested where documents become sets, in pipelines/stages.
func TestStream(t *testing.T) {
	dir := t.TempDir()
	k := sketch{seqLength: 4, vocab: 300, splits: map[string]int{"train": 7, "validation": 3}, shards: 2}
	k.write(t, dir)
	s := open(t, dir)
	for name, n := range k.splits {
		order := NewPermutation(int64(n), 7, map[string]uint64{"train": 0, "validation": 1}[name])
		var want []int32
		for i := range int64(n) {
			for j := range 5 {
				want = append(want, k.id(name, order.At(i), j))
			}
		}
		r := s.Stream(name)
		if r.Len() != int64(len(want)) {
			t.Fatalf("%s: %d characters, want %d", name, r.Len(), len(want))
		}
		for at := range want {
			for length := range len(want) - at + 1 {
				got := make([]int32, length)
				if err := r.ReadAt(t.Context(), int64(at), got); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(got, want[at:at+length]) {
					t.Fatalf("%s: characters from %d are %v, want %v", name, at, got, want[at:at+length])
				}
			}
		}
		for _, c := range []struct {
			at     int64
			length int
		}{{-1, 1}, {int64(len(want)), 1}, {0, len(want) + 1}} {
			if err := r.ReadAt(t.Context(), c.at, make([]int32, c.length)); err == nil || !strings.Contains(err.Error(), name+": characters ") {
				t.Errorf("%s: %d from %d: %v", name, c.length, c.at, err)
			}
		}
	}
	if s.Stream("test") != nil {
		t.Error("a split that is not there has a stream")
	}
}
