package store

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		bad := []string{"", "/", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "./x", ".", "a//b", "a/", "a\\b", "..\\x", "a\x00b",
			"a\nb", "\xff", ".tmp-x", "a/.tmp-1", ".lock", strings.Repeat("a", 256), strings.Repeat("a/", 600) + "b"}
		for _, name := range bad {
			_, createErr := s.Create(ctx, name)
			_, putErr := s.Put(ctx, name, nil)
			_, swapErr := s.Swap(ctx, name, nil, "")
			_, _, readErr := s.Read(ctx, name)
			_, statErr := s.Stat(ctx, name)
			_, openErr := s.OpenObject(ctx, name)
			_, subErr := s.Sub(name)
			for i, err := range []error{createErr, putErr, swapErr, readErr, statErr, openErr, subErr, s.Delete(ctx, name, "")} {
				if err == nil || errors.Is(err, ErrNotExist) || !strings.HasPrefix(err.Error(), "store: ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("name %q, call %d: %v", name, i, err)
				}
			}
		}
		for _, prefix := range []string{"/", "../", "a/../", "a//", "a\\", "a\x00"} {
			if _, err := s.List(ctx, prefix); err == nil {
				t.Errorf("prefix %q is listed", prefix)
			}
		}
	})
}

// TestEncodedNames holds that a percent-encoded name is not decoded: its decoded form
// would lead out of the store.
func TestEncodedNames(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		names := []string{"%2e%2e/x", "%2e%2e%2f%2e%2e%2fx", "a%00b", "a%2fb", "..%2fx", "x?alt=media", "x#y"}
		for _, name := range names {
			if _, err := s.Put(ctx, name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range names {
			if data, _, err := s.Read(ctx, name); err != nil || string(data) != name {
				t.Errorf("%s holds %q, %v", name, data, err)
			}
		}
		if list, err := s.List(ctx, ""); err != nil || len(list) != len(names) {
			t.Errorf("listed %v, %v", list, err)
		}
		if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, ErrNotExist) {
			t.Errorf("a%%2fb is a/b too: %v", err)
		}
	})
}

// FuzzNames holds that a name that checkName accepts stays in the store and is the only
// name of its object.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"a/b", "..", "a/../b", "/a", "a//b", ".tmp-", "a\x00", "\xff", "é/#?"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) != nil {
			return
		}
		if path.Clean(name) != name || !filepath.IsLocal(name) || path.IsAbs(name) || strings.ContainsAny(name, "\\\x00") {
			t.Errorf("%q passes", name)
		}
	})
}
