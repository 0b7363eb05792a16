package corpus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
)

// described returns documents that nobody has made.
func described(n int) (docs []Document) {
	for i := range n {
		d := Document{Name: fmt.Sprintf("shelf/%04d.txt", i), Path: fmt.Sprintf("/home/é/shelf/%04d.txt", i), Bytes: int64(i * i % 977)}
		if i%3 > 0 {
			d.SHA256, d.CRC = fmt.Sprintf("%064x", i), int64(uint32(i)<<20|1)
		}
		if i%5 == 0 {
			d.Path, d.Records = fmt.Sprintf("gs://bucket/%d", i), int64(i)
		}
		docs = append(docs, d)
	}
	return docs
}

// contents returns the documents of a list, and the ranges of its lots as lines.
func contents(t *testing.T, l *List) (docs []Document, lots []string) {
	t.Helper()
	for d, err := range Documents(t.Context(), l.Pages()) {
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
	}
	var r Reader
	defer r.Close()
	for _, p := range l.Pages() {
		found, err := p.Lots(t.Context(), l.rangeBytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, lot := range found {
			ranges, err := r.Ranges(t.Context(), lot)
			if err != nil {
				t.Fatal(err)
			}
			var line []string
			for _, rng := range ranges {
				want := docs[rng.Doc]
				want.SHA256 = "" // ranges need none
				if rng.Document != want {
					t.Fatalf("range %+v: document %d is %+v", rng, rng.Doc, want)
				}
				line = append(line, fmt.Sprintf("%s %d+%d", rng.Document.Name, rng.Offset, rng.Length))
			}
			lots = append(lots, strings.Join(line, ", "))
		}
	}
	return docs, lots
}

// TestLots: consecutive documents share a lot up to its bytes; the ranges of a larger one
// are a lot each; a document of 0 bytes has none.
func TestLots(t *testing.T) {
	doc := func(name string, bytes int64) Document { return Document{Name: name, Bytes: bytes} }
	docs := []Document{doc("a", 4), doc("b", 0), doc("c", 6), doc("d", 1), doc("e", 25), doc("f", 10), doc("g", 3), doc("h", 7)}
	got, lots := contents(t, NewList(docs, ListOptions{RangeBytes: 10, Inline: 1 << 10}))
	want := []string{"a 0+4, c 0+6", "d 0+1", "e 0+10", "e 10+10", "e 20+5", "f 0+10", "g 0+3, h 0+7"}
	if !slices.Equal(got, docs) || !slices.Equal(lots, want) {
		t.Errorf("%v in lots\n%s\nwant\n%s", got, strings.Join(lots, "\n"), strings.Join(want, "\n"))
	}
	for _, c := range []struct{ docs, want int }{{maxLot, 1}, {maxLot + 1, 2}} {
		docs := make([]Document, c.docs)
		for i := range docs {
			docs[i] = Document{Name: fmt.Sprintf("%05d", i), Bytes: 1}
		}
		if _, lots := contents(t, NewList(docs, ListOptions{RangeBytes: 1 << 20, Inline: 1 << 20})); len(lots) != c.want {
			t.Errorf("%d documents are %d lots, want %d", c.docs, len(lots), c.want)
		}
	}
}

// TestList describes documents, in the pipeline and in objects: both lists have the same
// documents and lots. That in objects is a few elements without names.
func TestList(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	want := described(40000)
	o := ListOptions{RangeBytes: 5000, Inline: 64 << 20, Dir: dir, Prefix: ".parts/list-"}
	docs, lots := contents(t, NewList(want, o))
	if !slices.Equal(docs, want) {
		t.Fatal("the documents are others")
	}
	o.Inline = 64 << 10
	l := NewList(want, o)
	if err := l.Put(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	again, lotsAgain := contents(t, l)
	if !slices.Equal(again, want) || !slices.Equal(lotsAgain, lots) {
		t.Error("in objects, the documents or the lots are others")
	}
	elements := fmt.Sprintf("%+v", l.Pages())
	if n := len(l.pages); n < 2 || n > 3 || len(elements) > 200*n || l.pages[1].First != l.pages[0].Documents {
		t.Errorf("%d pages: %s", n, elements)
	}
	if err := l.Put(t.Context(), st); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if size := float64(len(l.pages[0].Data)) / float64(l.pages[0].Documents); size > 60 {
		t.Errorf("%.1f bytes a document", size)
	}
}

// TestDamagedList flips every byte of a page, cuts it, and removes it: the error names the
// page and a byte, for readers of the whole and of a lot.
func TestDamagedList(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	l := NewList(described(7), ListOptions{RangeBytes: 20, Dir: dir, Prefix: "list-"})
	if err := l.Put(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "list-00000000")
	page := l.Pages()[0]
	lots, err := page.Lots(t.Context(), 20)
	if err != nil || len(lots) < 3 {
		t.Fatal(lots, err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read := func(ctx context.Context) (errs []error) {
		var r Reader
		defer r.Close()
		for _, err := range Documents(ctx, []Page{page}) {
			errs = append(errs, err)
		}
		for _, lot := range lots {
			_, err := r.Ranges(ctx, lot)
			errs = append(errs, err)
		}
		return errs
	}
	if err := errors.Join(read(t.Context())...); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := slices.Clone(whole)
		damaged[i] ^= 0x10
		for what, data := range map[string][]byte{"flipped": damaged, "cut": whole[:i]} {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			err := errors.Join(read(t.Context())...)
			if err == nil || !strings.Contains(err.Error(), file) {
				t.Fatalf("byte %d %s: %v", i, what, err)
			}
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(read(t.Context())...); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the page: %v", err)
	}
}

// TestMalformedGroups: no bytes of a group with a good CRC crash its reader.
func TestMalformedGroups(t *testing.T) {
	good := appendGroup(nil, described(3))
	if docs, n, err := decodeGroup(good, true); err != nil || n != len(good) || !reflect.DeepEqual(docs, described(3)) {
		t.Fatalf("%v, %d, %v", docs, n, err)
	}
	f := listDecoder{}
	for i := range good[groupHead:] {
		f.bad, f.data = false, good[groupHead+i:]
		last := Document{}
		for len(f.data) > 0 {
			last = f.document(last, true)
		}
	}
}
