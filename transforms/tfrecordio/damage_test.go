package tfrecordio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// TestDamagedPart flips every byte of a part and cuts it at every length: the
// error names the part and the entry, and no shard appears.
func TestDamagedPart(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	tg := targets(0, 6, 1)[0]
	parts := scattered(t, st, []Target{tg}, 100)
	file := filepath.Join(dir, ".parts", "000")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	entry := int(tg.entryBytes())
	where := "tfrecordio: shard " + tg.Name + ": "
	check := func(what, want string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := gatherAll(t.Context(), st, tg, parts, 2*tg.RecordBytes())
		if err == nil || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: %v, want %s", what, err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, tg.Name)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: there is a shard: %v", what, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".tmp-*")); err != nil || len(left) > 0 {
			t.Fatalf("%s: %v stays, %v", what, left, err)
		}
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		check(fmt.Sprintf("byte %d flipped", i), fmt.Sprintf(where+"part .parts/000: entry at byte %d: crc is ", i/entry*entry), damaged)
		check(fmt.Sprintf("cut at %d", i), fmt.Sprintf(where+"part .parts/000: has %d bytes, want %d: 6 entries", i, len(whole)), whole[:i])
	}
	// Entries that are whole, but in the wrong place.
	last := len(whole) - entry
	check("exchanged", "no byte range has rank 0", slices.Concat(whole[last:], whole[entry:last], whole[:entry]))
	check("doubled", fmt.Sprintf("part .parts/000: entry at byte %d: rank 0 is out of order or comes twice", entry),
		slices.Concat(whole[:entry], whole[:entry], whole[2*entry:]))

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := gatherAll(t.Context(), st, tg, parts, 1<<20); !errors.Is(err, store.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("without the part: %v", err)
	}
}

func TestMissingRanks(t *testing.T) {
	st := openStore(t, t.TempDir())
	all := targets(0, 10, 2)
	parts := scattered(t, st, all, 2)
	first, wide := all[0], all[1]
	wide.Hi, wide.Ranks = 11, 11
	for _, c := range []struct {
		name  string
		t     Target
		parts []part
		want  string
	}{
		{"none", first, nil, "tfrecordio: shard train-00000-of-00002.tfrecord: no byte range has rank 0"},
		{"fewer", wide, parts, "tfrecordio: shard train-00001-of-00002.tfrecord: no byte range has rank 10"},
		{"twice", first, slices.Concat(parts, parts), "is out of order or comes twice"},
	} {
		if _, err := gatherAll(t.Context(), st, c.t, c.parts, 1<<20); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	for _, rank := range []int64{10, 1 << 40} {
		_, err := options("", Engine).Scatter(t.Context(), st, "000", []Entry{{Rank: rank, IDs: packed(0)}}, all)
		if want := fmt.Sprintf("tfrecordio: no shard has rank %d", rank); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := decodePart(nil); err == nil {
		t.Error("no bytes name a part")
	}
}

// TestShortShard: a shard of a wrong size is an error, and leaves no file.
func TestShortShard(t *testing.T) {
	dir := t.TempDir()
	w, err := create(t.Context(), openStore(t, dir), targets(0, 2, 1)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := w.write([]byte("short")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.commit(); err == nil || !strings.Contains(err.Error(), "tfrecordio: shard train-00000-of-00001.tfrecord: has 5 bytes, want ") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	all := targets(0, 10, 1)
	parts := scattered(t, st, all, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := gatherAll(ctx, st, all[0], parts, 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := options("", Files).Scatter(ctx, st, "part", []Entry{{IDs: packed(0)}}, all); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "[a-z]*")); len(left) > 0 {
		t.Errorf("there is %q", left)
	}
}

// TestBlockedStore writes where a file is in the way.
func TestBlockedStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	st := openStore(t, file)
	_, err := options("", Files).Scatter(t.Context(), st, "part", []Entry{{IDs: packed(0)}}, targets(0, 1, 1))
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// TestDamagedParcel gives the engine's way wrong parcels: the error names the
// shard, the slab and the entry.
func TestDamagedParcel(t *testing.T) {
	dir := t.TempDir()
	all := targets(0, 8, 2)
	o := options(dir, Engine)
	o.SlabBytes = 2 * all[0].RecordBytes()
	size := int(all[0].entryBytes())
	first := scatter(t, openStore(t, dir), o, all, 100)[0].Data // of ranks 0 and 1
	flipped := bytes.Clone(first)
	flipped[size+15] ^= 1
	run := func(key int64, data ...[]byte) error {
		f := &slabFn{Options: o}
		defer f.Teardown()
		f.StartBundle(nil, nil)
		return f.ProcessElement(t.Context(), key, iterate(data), iterate(all), func(int64, slabFile) {})
	}
	if err := run(slabKey(0, 0), first); err != nil {
		t.Error(err)
	}
	where := "tfrecordio: shard train-00000-of-00002.tfrecord: slab 0: "
	for _, c := range []struct {
		name string
		key  int64
		data [][]byte
		want string
	}{
		{"flipped", 0, [][]byte{flipped}, where + fmt.Sprintf("entry at byte %d: crc is ", size)},
		{"cut", 0, [][]byte{first[:size+3]}, where + fmt.Sprintf("entry at byte %d: is cut", size)},
		{"twice", 0, [][]byte{first, first[size:]}, where + "entry at byte 0: rank 1 is out of order or comes twice"},
		{"missing", 0, [][]byte{first[:size]}, "tfrecordio: shard train-00000-of-00002.tfrecord: no byte range has rank 1"},
		{"elsewhere", slabKey(1, 0), [][]byte{first}, "shard train-00001-of-00002.tfrecord: slab 0: entry at byte 0: rank 0 is out of order"},
		{"after", slabKey(0, 0), [][]byte{first, scatter(t, openStore(t, t.TempDir()), o, all, 100)[1].Data}, where +
			"entry at byte 0: is cut, or its rank is not less than 2"},
		{"unknown", slabKey(2, 0), [][]byte{first}, "tfrecordio: shard number 2 has no target"},
	} {
		if err := run(c.key, c.data...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// TestDamagedSlab flips bits of a slab's file, cuts it, and leaves files out.
func TestDamagedSlab(t *testing.T) {
	dir := t.TempDir()
	all := targets(0, 4, 1)
	o := options(dir, Engine)
	o.SlabBytes = 2 * all[0].RecordBytes()
	var files []slabFile
	f := &slabFn{Options: o}
	f.StartBundle(nil, nil)
	for _, p := range scatter(t, openStore(t, dir), o, all, 100) {
		err := f.ProcessElement(t.Context(), p.Key, iterate([][]byte{p.Data}), iterate(all), func(_ int64, p slabFile) { files = append(files, p) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Teardown(); err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	join := func(number int64, ts []Target, files ...slabFile) error {
		f := &joinFn{Options: o}
		defer f.Teardown()
		return f.ProcessElement(t.Context(), number, iterate(ts), iterate(files), func(dataset.Shard) {})
	}
	check := func(name, want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, all[0].Name)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: there is a shard: %v", name, err)
		}
	}
	where := "tfrecordio: shard train-00000-of-00001.tfrecord: "
	check("none", where+"has 0 bytes, want", join(0, all))
	check("one", where+"slab 0 is missing, or slab 1 comes twice", join(0, all, files[1]))
	check("twice", where+"slab 1 is missing, or slab 0 comes twice", join(0, all, files[0], files[0], files[1]))
	check("no target", "shard number 0 has no target, or two", join(0, nil, files...))
	check("two targets", "shard number 0 has no target, or two", join(0, slices.Concat(all, all), files...))
	file := filepath.Join(dir, files[1].Name)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		for want, data := range map[string][]byte{": crc is ": damaged, fmt.Sprintf(": has %d bytes, want %d", i, len(whole)): whole[:i]} {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
			check(fmt.Sprintf("byte %d", i), where+"file "+files[1].Name+want, join(0, all, files...))
		}
	}
	if err := os.WriteFile(file, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := join(0, all, files[1], files[0]); err != nil {
		t.Error(err)
	}
}
