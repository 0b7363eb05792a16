package store

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/quire-ml/quire/runners/store/gcstest"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	here, ok, err := mustOpen(t, dir).Free()
	if !ok || err != nil || here <= 0 {
		t.Errorf("got %d, %v, %v", here, ok, err)
	}
	if later, ok, err := mustOpen(t, filepath.Join(dir, "made", "later")).Free(); !ok || err != nil || later <= 0 {
		t.Errorf("a folder that is not there: %d, %v, %v", later, ok, err)
	}
	gcstest.New(t)
	if _, ok, err := mustOpen(t, "gs://bucket").Free(); ok || err != nil {
		t.Errorf("a bucket: %v, %v", ok, err)
	}
}

// TestTemporary writes an object that need not be durable: it keeps the other
// promises, and nothing is synced.
func TestTemporary(t *testing.T) {
	var ops []string
	s := failing(t, func(op, name string) error {
		if op == "sync" || op == "syncdir" && name == "parts" {
			ops = append(ops, op)
		}
		return nil
	})
	put := func(data []byte) error {
		w, err := s.CreateTemporary(ctx, "parts/a")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		info, err := w.Commit()
		if err == nil && (info.Bytes != int64(len(data)) || info.Generation != "" || info.Name != "parts/a") {
			t.Errorf("got %+v", info)
		}
		return err
	}
	for _, n := range sizes {
		if err := s.Delete(ctx, "parts/a", ""); err != nil {
			t.Fatal(err)
		}
		ops = nil
		data := random(1, n)
		for range 2 {
			if err := put(data); err != nil {
				t.Fatal(err)
			}
		}
		if len(ops) > 0 {
			t.Errorf("%d bytes: %q", n, ops)
		}
		if got, _, err := s.Read(ctx, "parts/a"); err != nil || string(got) != string(data) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
		if err := put(append(data, 1)); !errors.Is(err, ErrConflict) {
			t.Errorf("%d bytes, then one more: %v", n, err)
		}
		if n > 0 {
			data[n-1] ^= 1
			if err := put(data); !errors.Is(err, ErrConflict) {
				t.Errorf("%d bytes, then others: %v", n, err)
			}
		}
	}
}
