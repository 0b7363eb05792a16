package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store/gcstest"
)

var shipped = defaultTiming

func TestMain(m *testing.M) {
	defaultTiming = timing{attempt: 5 * time.Second, call: 20 * time.Second, first: 20 * time.Second, quiet: time.Minute, pause: time.Millisecond,
		pauseMax: 10 * time.Millisecond}
	digestBytes, chunkBytes, rangeBytes, aheadBytes = 128<<10, 256<<10, 200<<10, 32<<10
	sizes = []int{0, 1, 1000, int(digestBytes), int(digestBytes) + 1, chunkBytes, chunkBytes + 1, 2*chunkBytes + 12345}
	if os.Getenv(childVariable) != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// drivers must keep the promises of the package. Each opens a fresh store.
var drivers = []struct {
	name string
	open func(t *testing.T) *Store
}{
	{"local", func(t *testing.T) *Store { return mustOpen(t, filepath.Join(t.TempDir(), "made", "later")) }},
	{"local without links", func(t *testing.T) *Store {
		return failing(t, func(op, _ string) error {
			if op == "link" {
				return syscall.EPERM
			}
			return nil
		})
	}},
	{"local without folder locks", func(t *testing.T) *Store {
		return failing(t, func(op, name string) error {
			if op == "lock" && path.Base(name) != lockName {
				return syscall.EBADF
			}
			return nil
		})
	}},
	{"gcs", func(t *testing.T) *Store {
		gcstest.New(t).Page(3)
		return mustOpen(t, "gs://bucket")
	}},
	{"gcs with faults", func(t *testing.T) *Store {
		gcstest.New(t).Plan(1, 0.3)
		return mustOpen(t, "gs://bucket/a/prefix/")
	}},
	{"sub", func(t *testing.T) *Store {
		s, err := mustOpen(t, t.TempDir()).Sub("a/folder")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}},
}

func mustOpen(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// failing returns a local store whose operations fail as fault says.
func failing(t *testing.T, fault func(op, name string) error) *Store {
	s := mustOpen(t, t.TempDir())
	s.d.(*local).fault = fault
	return s
}

func conform(t *testing.T, test func(t *testing.T, s *Store)) {
	for _, d := range drivers {
		t.Run(d.name, func(t *testing.T) { test(t, d.open(t)) })
	}
}

// random returns n bytes drawn from seed.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b)
	return b
}

// sizes are lengths on both sides of the drivers' thresholds.
var sizes []int

var ctx = context.Background()

func TestPutReadStat(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for _, n := range sizes {
			name, data := fmt.Sprintf("x/%d", n), random(uint64(n), n)
			put, err := s.Put(ctx, name, data)
			if err != nil {
				t.Fatal(err)
			}
			again, err := s.Put(ctx, name, data)
			if err != nil || again != put {
				t.Fatalf("the same bytes again: %v, %v, want %v", again, err, put)
			}
			got, read, err := s.Read(ctx, name)
			if err != nil || !bytes.Equal(got, data) || read != put {
				t.Fatalf("read %d bytes, %v, %v, want %v", len(got), read, err, put)
			}
			if got, _, err := s.ReadUpTo(ctx, name, int64(n)); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("read up to %d: %d bytes, %v", n, len(got), err)
			}
			if _, _, err := s.ReadUpTo(ctx, name, int64(n)-1); !errors.Is(err, ErrDamaged) ||
				!strings.Contains(err.Error(), fmt.Sprintf("%s: it has %d bytes, want at most %d", s.Join(name), n, n-1)) {
				t.Fatalf("read up to %d: %v", n-1, err)
			}
			stat, err := s.Stat(ctx, name)
			if time.Since(stat.Changed).Abs() > time.Hour {
				t.Fatalf("stat says that it changed %v, want now", stat.Changed)
			}
			stat.Changed, put.Changed = time.Time{}, time.Time{}
			if err != nil || stat != put || put.Bytes != int64(n) || put.Name != name || put.Generation == "" {
				t.Fatalf("stat %v, %v, put %v", stat, err, put)
			}
			other := append([]byte("!"), data...)
			if n > 0 {
				other = slices.Clone(data)
				other[n/2] ^= 1
			}
			_, err = s.Put(ctx, name, other)
			if !errors.Is(err, ErrConflict) || strings.Count(err.Error(), " with ") != 2 || !strings.Contains(err.Error(), s.Join(name)) {
				t.Fatalf("other bytes: %v, want a conflict with both digests", err)
			}
			if got, _, err := s.Read(ctx, name); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("after a conflict: %d bytes, %v", len(got), err)
			}
		}
	})
}

func TestAbsent(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for round := range 2 {
			_, _, readErr := s.Read(ctx, "none")
			_, statErr := s.Stat(ctx, "some/where")
			_, openErr := s.OpenObject(ctx, "none")
			for _, err := range []error{readErr, statErr, openErr} {
				if !errors.Is(err, ErrNotExist) || !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "store: "+s.URL()+"/") {
					t.Errorf("round %d: %v", round, err)
				}
			}
			if list, err := s.List(ctx, "some/"); err != nil || len(list) != 0 {
				t.Errorf("list: %v, %v", list, err)
			}
			if err := errors.Join(s.Delete(ctx, "none", ""), s.Delete(ctx, "some/where", "17")); err != nil {
				t.Errorf("delete: %v", err)
			}
			if _, err := s.Put(ctx, "some.thing", nil); err != nil { // now the folder is there
				t.Error(err)
			}
		}
		if _, err := s.Stat(ctx, "some.thing/below"); !errors.Is(err, ErrNotExist) {
			t.Errorf("below an object: %v", err)
		}
	})
}

func TestInvisibleUntilCommit(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		absent := func(when string) {
			t.Helper()
			if _, err := s.Stat(ctx, "x/y"); !errors.Is(err, ErrNotExist) {
				t.Fatalf("%s: stat: %v", when, err)
			}
			if list, err := s.List(ctx, ""); err != nil || len(list) != 0 {
				t.Fatalf("%s: list: %v, %v", when, list, err)
			}
		}
		data := random(3, chunkBytes+chunkBytes/2)
		for _, n := range []int{10, len(data)} {
			w, err := s.Create(ctx, "x/y")
			if err != nil {
				t.Fatal(err)
			}
			write(t, w, data[:n])
			absent("written")
			w.Abort()
			w.Abort()
			absent("aborted")
			if _, err := w.Commit(); err == nil {
				t.Fatal("commit after abort succeeds")
			}
			cancelled, cancel := context.WithCancel(ctx)
			if w, err = s.Create(cancelled, "x/y"); err != nil {
				t.Fatal(err)
			}
			write(t, w, data[:n])
			cancel()
			if _, err := w.Commit(); !errors.Is(err, context.Canceled) {
				t.Fatalf("commit after cancel: %v", err)
			}
			absent("cancelled")
		}
		w, err := s.Create(ctx, "x/y")
		if err != nil {
			t.Fatal(err)
		}
		write(t, w, data)
		if _, err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		w.Abort()
		if _, err := w.Write([]byte("more")); err == nil {
			t.Fatal("write after commit succeeds")
		}
		if got, _, err := s.Read(ctx, "x/y"); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %d bytes, %v", len(got), err)
		}
	})
}

// write writes data in pieces.
func write(t *testing.T, w io.Writer, data []byte) {
	t.Helper()
	for len(data) > 0 {
		n := min(len(data), 100003)
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
}

func TestList(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		names := []string{"a.b", "a-b", "a/b", "a/c/d", "a0", "checkpoints/step-1",
			"checkpoints/step-2", "checkpoints.json", ".parts/x", "wörld/sp ace?#%+&=*[1].txt", "z"}
		for _, name := range names {
			if _, err := s.Put(ctx, name, []byte(name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, prefix := range []string{"", "a", "a/", "a/c", "a/c/d", "checkpoints", "checkpoints/", "checkpoints/step-",
			".parts/", "wörld/sp ace?", "none", "z/"} {
			var want []string
			for _, name := range names {
				if strings.HasPrefix(name, prefix) {
					want = append(want, name)
				}
			}
			slices.Sort(want)
			list, err := s.List(ctx, prefix)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, info := range list {
				got = append(got, info.Name)
				if stat, err := s.Stat(ctx, info.Name); err != nil || stat != info {
					t.Errorf("listed %v, stat %v, %v", info, stat, err)
				}
				if data, _, err := s.Read(ctx, info.Name); err != nil || string(data) != info.Name {
					t.Errorf("%s holds %q, %v", info.Name, data, err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("prefix %q: %q, want %q", prefix, got, want)
			}
		}
		sub, err := s.Sub("a")
		if err != nil {
			t.Fatal(err)
		}
		if list, err := sub.List(ctx, ""); err != nil || len(list) != 2 || list[0].Name != "b" || list[1].Name != "c/d" {
			t.Errorf("sub: %v, %v", list, err)
		}
		if err := sub.Delete(ctx, "b", ""); err != nil {
			t.Error(err)
		}
		if _, err := s.Stat(ctx, "a/b"); !errors.Is(err, ErrNotExist) {
			t.Errorf("deleted: %v", err)
		}
	})
}

func TestReadAt(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		data := random(9, 20*aheadBytes+777)
		if _, err := s.Put(ctx, "o", data); err != nil {
			t.Fatal(err)
		}
		o, err := s.OpenObject(ctx, "o")
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		if o.Size() != int64(len(data)) {
			t.Fatalf("size %d, want %d", o.Size(), len(data))
		}
		var all bytes.Buffer
		section := struct{ io.Reader }{io.NewSectionReader(o, 0, o.Size())}
		if _, err := io.CopyBuffer(struct{ io.Writer }{&all}, section, make([]byte, 5000)); err != nil || !bytes.Equal(all.Bytes(), data) {
			t.Fatalf("in order: %d bytes, %v", all.Len(), err)
		}
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 2))
				for range 20 {
					off := r.IntN(len(data) + 10)
					p := make([]byte, r.IntN(250000))
					n, err := o.ReadAt(p, int64(off))
					want := data[min(off, len(data)):min(off+len(p), len(data))]
					if !bytes.Equal(p[:n], want) || (n < len(p)) != (err == io.EOF) || err != nil && err != io.EOF {
						t.Errorf("%d bytes at %d: %d, %v, want %d", len(p), off, n, err, len(want))
					}
				}
			})
		}
		group.Wait()
		if _, err := o.ReadAt(make([]byte, 1), -1); err == nil || err == io.EOF {
			t.Errorf("read at -1: %v", err)
		}
	})
}
