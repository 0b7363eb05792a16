package prepare

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
)

// written writes n rows: of documents of one range, but for every third, which has two.
func written(t *testing.T, o Options, n int) (all []row, made rows) {
	t.Helper()
	w, err := o.rows(t.Context(), "plan")
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(n) {
		r := row{Doc: 2 * i, First: i, Chars: i + 1, CRC: i << 30, Invalid: i % 2, DocChars: 3 * i, Numbers: [layout.Splits]int64{i, -i, i << 40}}
		if i%3 == 2 {
			r.Doc, r.Offset = all[i-1].Doc, 4<<20
		}
		if err := w.add(r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	made, err = w.finish()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return all, made
}

// TestRows finds every row, with the elements and in an object, and no row for a range that
// has none.
func TestRows(t *testing.T) {
	for _, n := range []int{1, pieceRows - 1, pieceRows, pieceRows + 1, 3*pieceRows + 7} {
		for _, inline := range []int64{1, 1 << 30} {
			o := Options{Dir: t.TempDir(), InlineBytes: inline}
			st, err := store.Open(t.Context(), o.Dir)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			all, made := written(t, o, n)
			if (made.Name == "") != (inline > 1) || (made.Data == nil) != (inline == 1) || made.Count != int64(n) {
				t.Fatalf("%d rows, inline %d: %d in object %q", n, inline, made.Count, made.Name)
			}
			s, err := made.open(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			var list []row
			for r, err := range s.all() {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, r)
			}
			if !slices.Equal(list, all) {
				t.Errorf("%d rows, inline %d: other rows", n, inline)
			}
			var r rowReader
			for _, i := range []int{0, n / 2, n - 1, n / 3, min(n-1, pieceRows)} {
				if got, err := r.at(s, corpus.Range{Doc: all[i].Doc, Offset: all[i].Offset}); err != nil || got != all[i] {
					t.Errorf("%d rows, inline %d: row %d is %+v, %v", n, inline, i, got, err)
				}
			}
			for _, rng := range []corpus.Range{{Doc: -1}, {Doc: 1}, {Doc: 0, Offset: 1}, {Doc: int64(2 * n)}} {
				if got, err := r.at(s, rng); err == nil {
					t.Errorf("%d rows: range %+v has %+v", n, rng, got)
				}
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDamagedRows flips and cuts bytes of the rows: the error names the object and the byte.
func TestDamagedRows(t *testing.T) {
	o := Options{Dir: t.TempDir(), InlineBytes: 1}
	st, err := store.Open(t.Context(), o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	_, made := written(t, o, 2*pieceRows+5)
	file := filepath.Join(o.Dir, ".parts", "plan")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(data []byte, want string) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := made.open(t.Context(), st)
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		for _, e := range s.all() {
			err = e
		}
		if err == nil || !strings.Contains(err.Error(), "plan: .parts/plan: byte") || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, at := range []int{0, 79, pieceRows*rowBytes - 1, pieceRows * rowBytes, len(whole) - 1} {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 4
		check(flipped, "crc is ")
		check(whole[:at], "EOF")
	}
}

// TestPutListRefuses: documents whose manifest nobody could read are refused before any work.
func TestPutListRefuses(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	docs := make([]corpus.Document, 65)
	name := strings.Repeat("n", 64<<20)
	for i := range docs {
		docs[i].Bytes, docs[i].Name = 1, name // shared: in a manifest they take 4.4 GB
	}
	err = PutList(t.Context(), st, docs, Options{Dir: "x", SeqLength: 1})
	want := "prepare: the manifest of 65 documents would have about 4.4 GB, and at most 4.3 GB are read; join the documents with pack newline"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
