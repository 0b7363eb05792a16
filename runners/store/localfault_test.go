package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// changes are the operations of a write that a full or broken disk fails.
var changes = map[string]bool{"mkdir": true, "create": true, "write": true, "sync": true, "link": true, "rename": true, "syncdir": true}

// failNth fails the nth changing operation with cause, and counts them.
func failNth(nth int, cause error, count *int) func(op, name string) error {
	return func(op, _ string) error {
		if !changes[op] {
			return nil
		}
		*count++
		if *count == nth {
			return cause
		}
		return nil
	}
}

// TestEveryOperationFails fails each operation of a write in turn. The name has no
// object, no file is left, the error is one line that names the object, and the same
// write then succeeds.
func TestEveryOperationFails(t *testing.T) {
	writes := map[string]func(s *Store, data []byte) error{
		"put": func(s *Store, data []byte) error {
			_, err := s.Put(ctx, "a/b/object", data)
			return err
		},
		"swap": func(s *Store, data []byte) error {
			_, err := s.Swap(ctx, "a/b/object", data, "")
			return err
		},
	}
	for name, put := range writes {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EDQUOT} {
			for nth, count := 1, 1; count >= nth; nth++ {
				count = 0
				s := failing(t, failNth(nth, cause, &count))
				what := fmt.Sprintf("%s, operation %d fails with %v", name, nth, cause)
				data := random(uint64(nth), 1000)
				err := put(s, data)
				if count < nth {
					if err != nil {
						t.Fatalf("%s: %v", what, err)
					}
					break
				}
				if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "store: "+s.Join("a/b/object")+": ") ||
					strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v", what, err)
				}
				if cause != syscall.EIO && !strings.Contains(err.Error(), "make room") {
					t.Errorf("%s: %v does not say what to do", what, err)
				}
				if found := files(t, s); len(found) != 0 {
					t.Errorf("%s: left %v", what, found)
				}
				if err := put(s, data); err != nil {
					t.Errorf("%s, then again: %v", what, err)
				}
				if got, _, err := s.Read(ctx, "a/b/object"); err != nil || !bytes.Equal(got, data) {
					t.Errorf("%s, then again: %d bytes, %v", what, len(got), err)
				}
			}
		}
	}
}

// files returns every file of a local store.
func files(t *testing.T, s *Store) (found []string) {
	t.Helper()
	dir, _ := s.Local()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestFailedReplacement fails each operation of a swap of an existing object, which holds
// the old bytes or, after the rename, the new ones.
func TestFailedReplacement(t *testing.T) {
	for n := 1; n <= 5; n++ {
		count := 0
		var fault func(op, name string) error
		s := failing(t, func(op, name string) error {
			if fault != nil {
				return fault(op, name)
			}
			return nil
		})
		old, err := s.Swap(ctx, "p", []byte("old"), "")
		if err != nil {
			t.Fatal(err)
		}
		fault = failNth(n, syscall.EIO, &count)
		_, err = s.Swap(ctx, "p", []byte("new"), old.Generation)
		if count < n != (err == nil) {
			t.Fatalf("operation %d of %d: %v", n, count, err)
		}
		data, _, err := s.Read(ctx, "p")
		if err != nil || string(data) != "old" && string(data) != "new" || len(files(t, s)) != 1 {
			t.Errorf("operation %d: %q, %v, files %v", n, data, err, files(t, s))
		}
		if n < 4 && string(data) != "old" {
			t.Errorf("operation %d: %q, want the old bytes", n, data)
		}
	}
}

// TestFailedSyncIsFinal holds that a file whose sync failed is not synced again.
func TestFailedSyncIsFinal(t *testing.T) {
	syncs := map[string]int{}
	s := failing(t, func(op, name string) error {
		if op != "sync" {
			return nil
		}
		if syncs[name]++; len(syncs) < 3 {
			return syscall.EIO
		}
		return nil
	})
	for range 2 {
		w, err := s.Create(ctx, "o")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := w.Commit(); err == nil {
				t.Fatal("commit succeeds after a failed sync")
			}
		}
		w.Abort()
	}
	if _, err := s.Put(ctx, "o", nil); err != nil {
		t.Fatal(err)
	}
	for name, n := range syncs {
		if n != 1 {
			t.Errorf("%s was synced %d times", name, n)
		}
	}
	if len(syncs) != 3 {
		t.Errorf("%d files were synced, want 3", len(syncs))
	}
}

// otherDisk is a folder, on another file system where this machine has one.
func otherDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "store-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// link makes a link.
func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

// TestLinkedFolder: a folder directly in the store may be a link to another disk.
func TestLinkedFolder(t *testing.T) {
	s, outside := mustOpen(t, t.TempDir()), otherDisk(t)
	link(t, outside, s.Join("out"))
	if _, err := s.Put(ctx, "out/a/new", []byte("1")); err != nil {
		t.Fatal(err)
	}
	info, err := s.Swap(ctx, "out/swapped", []byte("2"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Swap(ctx, "out/swapped", []byte("3"), info.Generation); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create(ctx, "out/written")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write([]byte("4")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"", "out/", "o"} {
		infos, err := s.List(ctx, prefix)
		if err != nil || len(infos) != 3 || infos[0].Name != "out/a/new" || infos[1].Name != "out/swapped" || infos[2].Name != "out/written" {
			t.Errorf("List(%q): %v, %v", prefix, infos, err)
		}
	}
	sub, err := s.Sub("out/a")
	if err != nil {
		t.Fatal(err)
	}
	if data, _, err := sub.Read(ctx, "new"); err != nil || string(data) != "1" {
		t.Errorf("read %q, %v", data, err)
	}
	if data, err := os.ReadFile(filepath.Join(outside, "swapped")); err != nil || string(data) != "3" {
		t.Errorf("outside: %q, %v", data, err)
	}
	if err := s.Delete(ctx, "out/a/new", ""); err != nil {
		t.Error(err)
	}
	if _, err := s.Stat(ctx, "out/a/new"); !errors.Is(err, ErrNotExist) {
		t.Errorf("deleted: %v", err)
	}
	l, err := Acquire(ctx, s, "out/lease.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestLinkToNothing: a link to a disk that is not there is an error, for every operation,
// and not an empty folder.
func TestLinkToNothing(t *testing.T) {
	dir := t.TempDir()
	link(t, "/nothing/here", filepath.Join(dir, "out"))
	for _, s := range []*Store{mustOpen(t, dir), mustOpen(t, filepath.Join(dir, "out"))} {
		_, _, read := s.Read(ctx, "out/a")
		_, put := s.Put(ctx, "out/a", nil)
		_, list := s.List(ctx, "out/")
		for what, err := range map[string]error{"read": read, "put": put, "list": list, "delete": s.Delete(ctx, "out/a", "")} {
			if err == nil || errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), "out is a link to /nothing/here, and there is none") {
				t.Errorf("%s in %s: %v", what, s.URL(), err)
			}
		}
	}
}

// TestBrokenLinks: a link to nothing, at any depth, is an error with its address and not an
// absent object. It is listed, and deleting it makes room for the object.
func TestBrokenLinks(t *testing.T) {
	for _, target := range []string{"gone", "/nothing/here"} {
		for _, at := range []string{"a/b/c", "a/b"} {
			s := mustOpen(t, t.TempDir())
			if err := os.MkdirAll(filepath.Dir(s.Join(at)), 0o777); err != nil {
				t.Fatal(err)
			}
			link(t, target, s.Join(at))
			_, _, read := s.Read(ctx, "a/b/c")
			_, stat := s.Stat(ctx, "a/b/c")
			_, open := s.OpenObject(ctx, "a/b/c")
			errs := map[string]error{"read": read, "stat": stat, "open": open}
			if at == "a/b/c" {
				_, errs["swap"] = s.Swap(ctx, "a/b/c", nil, "")
				_, errs["put"] = s.Put(ctx, "a/b/c", nil)
				errs["replace"] = s.Replace(ctx, "a/b/c", nil)
				_, errs["lease"] = Acquire(ctx, s, "a/b/c", nil)
			}
			for what, err := range errs {
				if err == nil || errors.Is(err, ErrNotExist) || errors.Is(err, ErrConflict) != (what == "put") || !strings.Contains(err.Error(), s.Join("a/b/c")+": ") ||
					!strings.Contains(err.Error(), "put the file itself in its place, or delete the link") {
					t.Errorf("%s: %s → %s: %v", what, at, target, err)
				}
			}
			if infos, err := s.List(ctx, "a/"); err != nil || len(infos) != 1 || infos[0] != (Info{Name: at}) {
				t.Errorf("%s → %s: listed %v, %v", at, target, infos, err)
			}
			if err := os.Remove(s.Join(at)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Put(ctx, "a/b/c", nil); err != nil {
				t.Errorf("%s → %s: after the link is deleted: %v", at, target, err)
			}
		}
	}
}

// TestTakenMeanwhile: between the look of a swap and its link, something else takes the
// name. The error says what.
func TestTakenMeanwhile(t *testing.T) {
	for _, without := range []bool{false, true} { // hard links
		for what, c := range map[string]struct {
			take     func(path string) error
			conflict bool
			want     string
		}{
			"an object":             {func(p string) error { return os.WriteFile(p, []byte("theirs"), 0o666) }, true, "another writer has just made it"},
			"a link to nothing":     {func(p string) error { return os.Symlink("gone", p) }, true, "it is a link to nothing"},
			"a link that leads out": {func(p string) error { return os.Symlink("../../../../../../../../../dev/null", p) }, true, "a link leads out of its folder"},
			"a folder":              {func(p string) error { return os.Mkdir(p, 0o777) }, false, "a folder is in its place"},
		} {
			var s *Store
			taken := false
			s = failing(t, func(op, name string) error {
				if op != "link" {
					return nil
				}
				if !taken {
					taken = true
					if err := c.take(s.Join("a/b")); err != nil {
						t.Fatal(err)
					}
				}
				if without {
					return syscall.EPERM
				}
				return nil
			})
			if without { // the rename of a create-only write
				_, err := s.Put(ctx, "a/b", []byte("ours"))
				if c.want == "another writer has just made it" {
					c.want = "it holds other bytes and is not replaced"
				}
				if err == nil || errors.Is(err, ErrConflict) != c.conflict || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s, without links: %v, want %s", what, err, c.want)
				}
				continue
			}
			if _, err := s.Swap(ctx, "a/b", []byte("ours"), ""); err == nil || errors.Is(err, ErrConflict) != c.conflict || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", what, err, c.want)
			}
		}
	}
}

// TestLinksThatLeave holds that links further below do not lead out of a store.
func TestLinksThatLeave(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, t.TempDir())
	if err := os.Mkdir(s.Join("in"), 0o777); err != nil {
		t.Fatal(err)
	}
	link(t, outside, s.Join("in/out"))
	if data, _, err := s.Read(ctx, "in/out/secret"); err == nil || !strings.Contains(err.Error(), "only a folder directly in the store may be a link") {
		t.Errorf("read %q, %v", data, err)
	}
	if _, err := s.Put(ctx, "in/out/new", nil); err == nil {
		t.Error("a new file outside")
	}
	if err := s.Delete(ctx, "in/out/secret", ""); err == nil {
		t.Error("deleted outside")
	}
	if infos, err := s.List(ctx, ""); err != nil || len(infos) != 1 || infos[0] != (Info{Name: "in/out"}) {
		t.Errorf("listed %v, %v", infos, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// TestOpenLocal opens paths of every kind: files, folders, links, pipes.
func TestOpenLocal(t *testing.T) {
	for _, url := range []string{"", "s3://bucket/x", "file:///tmp", "gs://", "gs:///x", "gs://bucket/../x", "gs://bucket//x", "a\x00b"} {
		if _, err := Open(ctx, url); err == nil || !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("Open(%q): %v", url, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, file)
	if _, err := s.Stat(ctx, "x"); !errors.Is(err, ErrNotExist) {
		t.Errorf("below a file: %v", err)
	}
	if _, err := s.Put(ctx, "x", nil); err == nil || errors.Is(err, ErrNotExist) {
		t.Errorf("put below a file: %v", err)
	}
	dir := mustOpen(t, filepath.Dir(file)+"/")
	if err := os.Mkdir(dir.Join("folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"put":  second(dir.Put(ctx, "folder", nil)),
		"swap": second(dir.Swap(ctx, "folder", nil, "")),
	} {
		if err == nil || errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), "a folder is in its place") {
			t.Errorf("%s over a folder: %v", what, err)
		}
	}
	if _, err := dir.Stat(ctx, "folder"); !errors.Is(err, ErrNotExist) {
		t.Errorf("stat of a folder: %v", err)
	}
	if err := syscall.Mkfifo(dir.Join("pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dir.Read(ctx, "pipe"); err == nil {
		t.Error("a pipe is read")
	}
	if _, _, err := mustOpen(t, dir.Join("pipe")).Read(ctx, "x"); !errors.Is(err, ErrNotExist) {
		t.Errorf("read below a pipe: %v", err)
	}
	if list, err := dir.List(ctx, ""); err != nil || len(list) != 1 || list[0].Name != "file" {
		t.Errorf("list: %v, %v", list, err)
	}
}

// TestTakenBack: a writer whose folder cannot be synced takes its object back, but not
// once another writer of the same bytes was told that it is stored.
func TestTakenBack(t *testing.T) {
	data := []byte("the same bytes")
	waits, stored := make(chan struct{}), make(chan error, 1)
	var b *Store
	failed := false
	a := failing(t, func(op, name string) error {
		if op != "syncdir" || failed {
			return nil
		}
		failed = true
		go func() {
			_, err := b.Put(ctx, "object", data)
			stored <- err
		}()
		select {
		case <-waits: // for a
		case err := <-stored: // too early
			stored <- err
		}
		return syscall.EIO
	})
	dir, _ := a.Local()
	if err := os.MkdirAll(dir, 0o777); err != nil { // no other folder is synced
		t.Fatal(err)
	}
	var once sync.Once
	restore := InjectFaults(func(op, name string) error {
		if op == "lock" && name == "object" {
			once.Do(func() { close(waits) })
		}
		return nil
	})
	b = mustOpen(t, dir)
	restore()
	if _, err := a.Put(ctx, "object", data); !errors.Is(err, syscall.EIO) {
		t.Errorf("the writer whose folder fails: %v", err)
	}
	if err := <-stored; err != nil {
		t.Errorf("the other: %v", err)
	}
	if got, _, err := b.Read(ctx, "object"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("an acknowledged object: %q, %v", got, err)
	}
}

// TestSync: a sync is one of the system's, which a pipe does not have.
func TestSync(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := newLocal(t.TempDir()).sync("sync", "pipe", w); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("the sync of a pipe is %v, want %v", err, syscall.EINVAL)
	}
}

// second returns the error of a write.
func second(_ Info, err error) error { return err }
