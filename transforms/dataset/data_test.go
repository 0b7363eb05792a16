package dataset

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/transforms/layout"
)

// TestText reads the text of a split at every place. Package prepare tests, on
// documents that become sets, that it is theirs.
func TestText(t *testing.T) {
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
		r, err := s.Text(name, 0)
		if err != nil || r.Len() != int64(n) || !slices.Equal(r.Stretches(), slices.Repeat([]int64{5}, n)) {
			t.Fatalf("%s: %d sequences, want %d; stretches %d, %v", name, r.Len(), n, r.Stretches(), err)
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
	r, err := s.Text("test", 0)
	if err != nil || r.Len() != 0 || len(r.Stretches()) != 0 || r.ReadAt(t.Context(), 0, nil) != nil || r.ReadAt(t.Context(), 0, make([]int32, 1)) == nil {
		t.Errorf("a split that the set lacks: %d sequences, stretches %d, %v", r.Len(), r.Stretches(), err)
	}
}

// TestStretches gives the lengths of a manifest's stretches; a split whose number
// of sequences contradicts the documents' lengths is damage.
func TestStretches(t *testing.T) {
	dir := t.TempDir()
	m := sketch{seqLength: 4, vocab: 5, splits: map[string]int{"train": 9, "validation": 4}, shards: 1}.write(t, dir)
	m.Validation.By, m.Validation.Fraction = "tail", 0.3
	m.Documents[0].Chars, m.Documents[0].Bytes = 40, 40
	m.Documents = append(m.Documents, Document{Name: "b", Bytes: 7, Chars: 7, SHA256: m.Documents[0].SHA256},
		Document{Name: "c", Bytes: 21, Chars: 21, SHA256: m.Documents[0].SHA256})
	// Of 40, 7 and 21 characters 12, 3 and 7 are held out.
	for name, want := range map[string][]int64{"train": {25, 10}, "validation": {10, 5}} {
		m.split(name).Sequences = (want[0] + want[1]) / 5
		if got, err := m.stretches(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %d, %v, want %d", name, got, err, want)
		}
		m.split(name).Sequences++
		if _, err := m.stretches(name); err == nil || !strings.Contains(err.Error(), "the documents' lengths give") {
			t.Errorf("%s with one more: %v", name, err)
		}
		for _, change := range []func(){func() { m.Stride = 2 }, func() { m.Stride, m.Validation.By = 0, "block" }} {
			change()
			if got, err := m.stretches(name); err != nil || !slices.Equal(got, slices.Repeat([]int64{5}, int(m.split(name).Sequences))) {
				t.Errorf("%s, not continuous: %d, %v", name, got, err)
			}
		}
		m.Validation.By = "tail"
	}
	m.Validation.Fraction = 2
	if _, err := m.stretches("train"); err == nil || !strings.Contains(err.Error(), "is no rule") {
		t.Errorf("fraction 2: %v", err)
	}
}

// TestTextDamaged opens a set whose documents have other lengths than its
// sequences.
func TestTextDamaged(t *testing.T) {
	dir := t.TempDir()
	m := sketch{seqLength: 4, vocab: 5, splits: map[string]int{"train": 9}, shards: 1}.write(t, dir)
	m.Validation.By, m.Validation.Fraction = "tail", 0.2
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, ManifestName, data)
	if _, err := open(t, dir).Text("train", 0); !errors.Is(err, ErrDamaged) ||
		!strings.Contains(err.Error(), ManifestName+": 9 sequences for train, the documents' lengths give 7") {
		t.Errorf("got %v", err)
	}
}

func TestRule(t *testing.T) {
	m := &Manifest{SeqLength: 9}
	m.Validation.By, m.Validation.Fraction = "tail", 0.1
	if got, want := m.Rule(), (layout.Rule{SeqLength: 9, Stride: 10, By: layout.ByTail, Validation: 0.1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	m.Stride, m.Test, m.Validation.By = 4, &Test{Fraction: 0.2}, "block"
	if got, want := m.Rule(), (layout.Rule{SeqLength: 9, Stride: 4, By: layout.ByBlock, Validation: 0.1, Test: 0.2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestSplitData visits every sequence once an epoch: in the shards' order in the
// first, in other orders later, the same when an epoch comes again.
func TestSplitData(t *testing.T) {
	dir := t.TempDir()
	k := sketch{seqLength: 1, vocab: 97, splits: map[string]int{"train": 97}, shards: 3}
	k.write(t, dir)
	data := &SplitData{Split: open(t, dir).Split("train"), Seed: 1}
	epoch := func(e int) (out []int32) {
		for i := range data.Len() {
			ids := make([]int32, 2)
			if err := data.Read(t.Context(), e, i, ids); err != nil {
				t.Fatal(err)
			}
			out = append(out, ids[0])
		}
		return out
	}
	first, second, third := epoch(1), epoch(2), epoch(3)
	for i, id := range first {
		if want := k.id("train", int64(i), 0); id != want {
			t.Fatalf("position %d of the first epoch has %d, want %d", i, id, want)
		}
	}
	if slices.Equal(second, first) || slices.Equal(third, first) || slices.Equal(second, third) {
		t.Error("two epochs have the same order")
	}
	if !slices.Equal(epoch(2), second) {
		t.Error("the second epoch, visited again, has another order")
	}
	data.Seed = 2
	if epoch(3); slices.Equal(epoch(2), second) {
		t.Error("another seed has the same order")
	}
	slices.Sort(first)
	for _, order := range [][]int32{second, third} {
		if slices.Sort(order); !slices.Equal(order, first) {
			t.Error("an epoch does not visit every sequence once")
		}
	}
	if (*SplitData)(nil).Len() != 0 || (&SplitData{}).Len() != 0 {
		t.Error("no split has sequences")
	}
}
