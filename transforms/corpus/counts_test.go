package corpus

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// someCounts are of two documents: "aba", and "ab" and an invalid byte.
var someCounts = Counts{Form: Form{Unit: vocab.Rune, NFC: true}, BlockBytes: 2, Documents: []string{"11", "22"}, Statistics: Statistics{
	Chars: []CharCount{{'a', 3}, {'b', 2}, {0xFFFD, 1}}, Pairs: []PairCount{{'a', 'b', 2}, {'b', 'a', 1}, {'b', 0xFFFD, 1}},
	Triples: []TripleCount{{'a', 'b', 'a', 1}, {'a', 'b', 0xFFFD, 1}}, Invalid: Invalid{Count: 1, Doc: 1, Offset: 2, Byte: 0xFF},
	Blocks: []BlockCount{{0, 0, 2, 2, 0, 5}, {0, 2, 1, 1, 0, 6}, {1, 0, 2, 2, 0, 7}, {1, 2, 1, 1, 1, 8}},
}}

func TestCounts(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := ReadCounts(ctx, st, "counts.json"); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := someCounts.Write(ctx, st, "counts.json"); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadCounts(ctx, st, "counts.json"); err != nil || !reflect.DeepEqual(got, &someCounts) {
		t.Errorf("got %+v, %v, want %+v", got, err, &someCounts)
	}
	file := filepath.Join(dir, "counts.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCounts(ctx, st, "counts.json"); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
}

func TestCountsIn(t *testing.T) {
	docs := []Document{{Name: "a", SHA256: "22"}, {Name: "b", SHA256: "33"}, {Name: "c", SHA256: "11"}, {Name: "d", SHA256: "11"}}
	s, ok := someCounts.In(docs)
	want := []BlockCount{{2, 0, 2, 2, 0, 5}, {2, 2, 1, 1, 0, 6}, {0, 0, 2, 2, 0, 7}, {0, 2, 1, 1, 1, 8}}
	if !ok || !reflect.DeepEqual(s.Blocks, want) || s.Invalid.Doc != 0 || !reflect.DeepEqual(s.Pairs, someCounts.Statistics.Pairs) {
		t.Errorf("got %+v, %v, want the blocks %v", s, ok, want)
	}
	if !docs[0].Counted || docs[1].Counted || !docs[2].Counted || docs[3].Counted {
		t.Errorf("counted are %+v, want a and c", docs)
	}
	docs = []Document{{Name: "a", SHA256: "22"}, {Name: "b", SHA256: "33"}}
	if _, ok := someCounts.In(docs); ok || docs[0].Counted {
		t.Errorf("a corpus without 11: %v, %+v", ok, docs)
	}
}
