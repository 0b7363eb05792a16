package store

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLocate(t *testing.T) {
	for _, c := range []struct{ dir, path, want string }{
		{"work", "set", "work/set"},
		{"work", "", "work"},
		{"work", ".", "work"},
		{"work", "../set", "set"},
		{"/w/", "set", "/w/set"},
		{"work", "/abs/set", "/abs/set"},
		{"work", "gs://bucket/set", "gs://bucket/set"},
		{"gs://bucket", "set", "gs://bucket/set"},
		{"gs://bucket/a/", "runs/1", "gs://bucket/a/runs/1"},
		{"gs://bucket", "/abs/set", "/abs/set"},
	} {
		if got := Locate(c.dir, c.path); got != c.want {
			t.Errorf("Locate(%q, %q) is %q, want %q", c.dir, c.path, got, c.want)
		}
	}
}

func TestBelow(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ dir, path, want string }{
		{"work", "work/runs/1", "runs/1"},
		{"work/", filepath.Join(here, "work", "runs"), "runs"},
		{"work", "works/1", filepath.Join(here, "works/1")},
		{"work", "set", filepath.Join(here, "set")},
		{"/w", "/w/../x", "/x"},
		{"work", "gs://b/x", "gs://b/x"},
		{"gs://b/w", "gs://b/w/runs/1", "runs/1"},
		{"gs://b/w/", "gs://b/w/runs/1", "runs/1"},
		{"gs://b/w", "gs://b/works/1", "gs://b/works/1"},
		{"gs://b/w", "/abs", "/abs"},
		{"gs://b/w", "rel", filepath.Join(here, "rel")},
	} {
		if got, err := Below(c.dir, c.path); err != nil || got != c.want {
			t.Errorf("Below(%q, %q) is %q, %v, want %q", c.dir, c.path, got, err, c.want)
		}
	}
}

func TestSplit(t *testing.T) {
	for _, c := range []struct{ path, dir, name string }{
		{"x", ".", "x"},
		{"a/x", "a", "x"},
		{"/a/b/x", "/a/b", "x"},
		{"/x", "/", "x"},
		{"gs://b/x", "gs://b", "x"},
		{"gs://b/a/x", "gs://b/a", "x"},
	} {
		if dir, name := Split(c.path); dir != c.dir || name != c.name {
			t.Errorf("Split(%q) is %q, %q, want %q, %q", c.path, dir, name, c.dir, c.name)
		}
	}
}
