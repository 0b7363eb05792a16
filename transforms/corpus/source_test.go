package corpus

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKinds adds a kind of source to the table: nothing else has to know of it. Its
// documents are found by its scheme, and are read like all others.
func TestKinds(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "wolf.txt", "wolf")
	defer func(before []kind) { kinds = before }(kinds)
	kinds = slices.Insert(slices.Clone(kinds), 0, kind{"shelf://", func(_ context.Context, source string, _ *ResolveOptions) ([]Document, error) {
		name := strings.TrimPrefix(source, "shelf://")
		return []Document{{Name: name, Path: filepath.Join(dir, name), Bytes: 4}}, nil
	}})
	docs, err := Resolve(t.Context(), []string{"shelf://wolf.txt"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sums, err := Digests(t.Context(), docs)
	if want := "f76b61b962db075bb76ad6f3fab10f7bd546f92f1b89f18c513d4122575c18ac"; err != nil || docs[0].Name != "wolf.txt" || sums[0] != want {
		t.Errorf("got %+v, %v, %v", docs, sums, err)
	}
	_, err = Resolve(t.Context(), []string{"sshelf://wolf.txt"}, nil)
	if err == nil || err.Error() != "corpus: sshelf://wolf.txt: unknown scheme sshelf://; use a path or shelf:// or https:// or gs://" {
		t.Errorf("another scheme: %v", err)
	}
}

// TestFieldError names the input to correct, for errors that another value of it
// mends, and for no others.
func TestFieldError(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.txt", "a")
	put(t, dir, "x.tar.gz", "a")
	a := filepath.Join(dir, "a.txt")
	for _, c := range []struct{ source, sum, field string }{
		{"", "", Sources},
		{a + ".gone", "", Sources},
		{filepath.Join(dir, "*.none"), "", Sources},
		{"ftp://h/x", "", Sources},
		{"https://h/x", "", Sources},
		{a, strings.Repeat("0", 64), SHA256},
		{filepath.Join(dir, "x.tar.gz"), "", ""},
	} {
		_, err := Resolve(t.Context(), []string{c.source}, &ResolveOptions{SHA256: c.sum})
		field := ""
		var wrong *FieldError
		if errors.As(err, &wrong) {
			field = wrong.Field
		}
		if err == nil || field != c.field {
			t.Errorf("%s: %v, of the field %q, want %q", c.source, err, field, c.field)
		}
	}
}
