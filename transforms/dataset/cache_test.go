package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// remote puts the set of a sketch in a bucket, and returns its store.
func remote(t *testing.T, k sketch, bucket string) (*store.Store, *Manifest) {
	t.Helper()
	dir := t.TempDir()
	m := k.write(t, dir)
	st, err := store.Open(t.Context(), "gs://"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := st.Put(t.Context(), e.Name(), get(t, dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return st, m
}

// readCached reads a set in reverse order, compares it with its sketch, and
// returns how many requests for shards that took.
func readCached(t *testing.T, g *gcstest.Server, st *store.Store, k sketch, dir string, limit int64) int {
	t.Helper()
	before := len(g.Log())
	s, err := OpenCached(t.Context(), st, dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, n := range k.splits {
		ids := make([]int32, k.seqLength+1)
		for rank := int64(n) - 1; rank >= 0; rank-- {
			if err := s.Split(name).Read(t.Context(), rank, ids); err != nil {
				t.Fatal(err)
			}
			for i, id := range ids {
				if id != k.id(name, rank, i) {
					t.Fatalf("%s: rank %d: %v", name, rank, ids)
				}
			}
		}
	}
	n := 0
	for _, line := range g.Log()[before:] {
		if strings.HasPrefix(line, "read ") && strings.Contains(line, ".tfrecord") {
			n++
		}
	}
	return n
}

func TestCache(t *testing.T) {
	g := gcstest.New(t)
	k := sketch{seqLength: 9, vocab: 60, splits: map[string]int{"train": 90, "validation": 12}, shards: 3}
	st, m := remote(t, k, "bucket/a")
	dir := filepath.Join(t.TempDir(), "made", "later")
	all := int64(0)
	for _, s := range m.Splits {
		for _, h := range s.Shards {
			all += h.Bytes
		}
	}
	first := readCached(t, g, st, k, dir, all)
	if first > 2*6 {
		t.Errorf("%d requests for 6 shards", first)
	}
	if again := readCached(t, g, st, k, dir, all); again != 0 {
		t.Errorf("%d requests for what is there", again)
	}
	// A file that is damaged, or cut, is copied again.
	shard := m.Splits[0].Shards[1]
	for _, data := range [][]byte{[]byte("short"), append(get(t, dir, shard.SHA256)[1:], 'x')} {
		put(t, dir, shard.SHA256, data)
		if n := readCached(t, g, st, k, dir, all); n < 1 || n > 2 {
			t.Errorf("%d requests for one shard", n)
		}
	}
	// Another set needs room: the files of the first go, and the limit holds.
	other := sketch{seqLength: 8, vocab: 61, splits: map[string]int{"train": 80}, shards: 2}
	second, _ := remote(t, other, "bucket/b")
	readCached(t, g, second, other, dir, all)
	if n := size(t, dir); n > all {
		t.Errorf("%d bytes, the limit is %d", n, all)
	}
	// A set larger than the cache is read in part from where it is.
	small := t.TempDir()
	limit := m.Splits[0].Shards[0].Bytes * 2
	readCached(t, g, st, k, small, limit)
	if n := size(t, small); n > limit || n == 0 {
		t.Errorf("%d bytes, the limit is %d", n, limit)
	}
	if n := readCached(t, g, st, k, small, limit); n == 0 {
		t.Error("no requests for a shard that does not fit")
	}
}

func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && isHex(e.Name(), 32) {
			n += info.Size()
		}
	}
	return n
}

// TestCacheDamage has a shard that is not what the manifest says: nothing of it
// is cached, and the error names it.
func TestCacheDamage(t *testing.T) {
	gcstest.New(t)
	k := sketch{seqLength: 9, vocab: 60, splits: map[string]int{"train": 9}, shards: 1}
	st, m := remote(t, k, "bucket/a")
	name := m.Splits[0].Shards[0].Name
	data, info, err := st.Read(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	data = slices.Clone(data)
	data[40] ^= 1
	if _, err := st.Swap(t.Context(), name, data, info.Generation); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := OpenCached(t.Context(), st, dir, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Split("train").Read(t.Context(), 8, make([]int32, 10))
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), st.Join(name)) ||
		!strings.Contains(err.Error(), "the manifest says "+m.Splits[0].Shards[0].SHA256) {
		t.Errorf("got %v", err)
	}
	if n := size(t, dir); n != 0 {
		t.Errorf("%d bytes are cached", n)
	}
	if err := st.Delete(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCached(t.Context(), st, dir, 1<<30); !errors.Is(err, store.ErrNotExist) {
		t.Errorf("without the shard: %v", err)
	}
}

// TestOpenAgain: a cached shard that is opened again goes later than before; one that has grown is copied anew.
func TestOpenAgain(t *testing.T) {
	from, dir := t.TempDir(), t.TempDir()
	h := Shard{Name: "shard", Bytes: 4, SHA256: digest([]byte("data"))}
	put(t, from, h.Name, []byte("data"))
	far, err := store.Open(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c := &cache{st: near, dir: dir, limit: 1 << 20}
	file, old := filepath.Join(dir, h.SHA256), time.Now().Add(-time.Hour)
	for _, cached := range []string{"data", "data and more", "data"} {
		put(t, dir, h.SHA256, []byte(cached))
		if err := os.Chtimes(file, old, old); err != nil {
			t.Fatal(err)
		}
		o, err := c.open(t.Context(), far, h)
		if err != nil {
			t.Fatal(err)
		}
		if o.Size() != 4 || o.Close() != nil || string(get(t, dir, h.SHA256)) != "data" {
			t.Errorf("of %q: %d bytes", cached, o.Size())
		}
		if info, err := os.Stat(file); err != nil || time.Since(info.ModTime()) > time.Minute {
			t.Errorf("of %q: used at %v, %v", cached, info.ModTime(), err)
		}
	}
}

// TestChoose: the shards that are cached fit together, and a smaller one may follow
// one that does not fit.
func TestChoose(t *testing.T) {
	m := &Manifest{Splits: []Split{{Shards: []Shard{{Bytes: 6, SHA256: "a"}, {Bytes: 5, SHA256: "b"}}},
		{Shards: []Shard{{Bytes: 4, SHA256: "c"}, {Bytes: 1, SHA256: "d"}}}}}
	c := &cache{limit: 10, keep: map[string]bool{}}
	if c.choose(m); len(c.keep) != 2 || !c.keep["a"] || !c.keep["c"] {
		t.Errorf("cached are %v, want a and c", c.keep)
	}
}
