package tfrecordio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/testing/passert"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

func TestMain(m *testing.M) {
	flag.Parse()
	engine.Init()
	os.Exit(m.Run())
}

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

const (
	seqIDs = 5   // ids of a sequence
	chars  = 200 // of the vocabulary: 2 bytes an id
)

// sequence returns the ids of a rank, by a rule.
func sequence(rank int64) []int32 {
	ids := make([]int32, seqIDs)
	for i := range ids {
		ids[i] = int32((rank*37 + int64(i)*11) % chars)
	}
	return ids
}

// packed is sequence as a part has it.
func packed(rank int64) (b []byte) {
	for _, id := range sequence(rank) {
		b = tfexample.AppendID(b, id, tfexample.Width(chars))
	}
	return b
}

// shardFile returns what a shard of the ranks lo ≤ rank < hi holds.
func shardFile(lo, hi int64) []byte {
	var b bytes.Buffer
	w := tfrecord.NewWriter(&b)
	for rank := lo; rank < hi; rank++ {
		if err := w.Write(tfexample.AppendIDs(nil, sequence(rank), tfexample.Width(chars))); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// target returns shard k of n ranks in the given number of shards.
func target(n int64, shards, k int) Target {
	lo, hi := dataset.ShardRange(n, shards, k)
	return Target{Name: dataset.ShardName("train", k, shards), Lo: lo, Hi: hi, RecordBytes: RecordBytes(seqIDs, chars)}
}

// scatter writes n ranks, in random order, to parts of about perPart each, and
// returns the refs of every shard.
func scatter(t testing.TB, st *store.Store, n int64, shards, perPart int) [][]Ref {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), uint64(shards)))
	refs := make([][]Ref, shards)
	order := r.Perm(int(n))
	for number := 0; len(order) > 0; number++ {
		take := min(len(order), 1+r.IntN(2*perPart))
		var entries []Entry
		for _, rank := range order[:take] {
			k := 0
			for target(n, shards, k).Hi <= int64(rank) {
				k++
			}
			entries = append(entries, Entry{Shard: int64(k), Rank: int64(rank), IDs: packed(int64(rank))})
		}
		order = order[take:]
		err := WritePart(t.Context(), st, fmt.Sprintf(".parts/%03d", number), entries, func(shard int64, r Ref) {
			refs[shard] = append(refs[shard], r)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return refs
}

func TestWriteShard(t *testing.T) {
	size := RecordBytes(seqIDs, chars)
	for _, c := range []struct {
		n       int64
		shards  int
		perPart int
	}{{1, 1, 1}, {7, 3, 2}, {50, 1, 50}, {100, 7, 3}, {300, 4, 1000}, {5, 16, 2}, {400, 2, 4}} {
		dir := t.TempDir()
		st := openStore(t, dir)
		refs := scatter(t, st, c.n, c.shards, c.perPart)
		for k := range c.shards {
			tg := target(c.n, c.shards, k)
			want := shardFile(tg.Lo, tg.Hi)
			shard := dataset.Shard{Name: tg.Name, Bytes: int64(len(want)), Records: tg.Hi - tg.Lo,
				SHA256: fmt.Sprintf("%x", sha256.Sum256(want)), CRC32C: fmt.Sprintf("%08x", crc32.Checksum(want, castagnoli))}
			for _, records := range []int64{1, 2, 7, 64, 1 << 20} { // of a window
				got, err := WriteShard(t.Context(), st, tg, refs[k], records*size+1)
				if err != nil || got != shard {
					t.Fatalf("%+v, windows of %d: got %+v, %v, want %+v", c, records, got, err, shard)
				}
				file := filepath.Join(dir, tg.Name)
				if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, want) {
					t.Fatalf("%+v, windows of %d: shard %d differs, %v", c, records, k, err)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// TestManyParts has more parts than may be open at once.
func TestManyParts(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	refs := scatter(t, st, 2*maxOpen, 1, 1)
	if len(refs[0]) <= maxOpen {
		t.Fatalf("only %d parts", len(refs[0]))
	}
	tg := target(2*maxOpen, 1, 0)
	if _, err := WriteShard(t.Context(), st, tg, refs[0], 20*tg.RecordBytes); err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(filepath.Join(dir, tg.Name)); err != nil || !bytes.Equal(file, shardFile(0, 2*maxOpen)) {
		t.Errorf("the shard differs, %v", err)
	}
}

// TestAgain repeats writes: the same bytes are fine, others are a conflict.
func TestAgain(t *testing.T) {
	st := openStore(t, t.TempDir())
	refs := scatter(t, st, 20, 1, 5)
	tg := target(20, 1, 0)
	for range 2 {
		if _, err := WriteShard(t.Context(), st, tg, refs[0], 1<<20); err != nil {
			t.Fatal(err)
		}
		scatter(t, st, 20, 1, 5)
	}
	err := WritePart(t.Context(), st, ".parts/000", []Entry{{Rank: 3, IDs: packed(4)}}, func(int64, Ref) {})
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), ".parts/000") {
		t.Errorf("other bytes: %v", err)
	}
}

// TestDamagedPart flips every byte of a part and cuts it at every length: the
// error names the part and the entry, and no shard appears.
func TestDamagedPart(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	refs := scatter(t, st, 6, 1, 100)
	tg := target(6, 1, 0)
	file := filepath.Join(dir, ".parts", "000")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	entry := int(headerBytes + tg.RecordBytes)
	where := "tfrecordio: shard " + tg.Name + ": "
	check := func(what, want string, data []byte) {
		t.Helper()
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := WriteShard(t.Context(), st, tg, refs[0], 2*tg.RecordBytes)
		if err == nil || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: %v, want %s", what, err, want)
		}
		if _, err := os.Stat(filepath.Join(dir, tg.Name)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s: there is a shard: %v", what, err)
		}
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		check(fmt.Sprintf("byte %d flipped", i), fmt.Sprintf(where+"part .parts/000: entry at byte %d: crc is ", i/entry*entry), damaged)
		check(fmt.Sprintf("cut at %d", i), where+"part .parts/000: read of ", whole[:i])
	}
	// Entries that are whole, but in the wrong place.
	last := len(whole) - entry
	check("exchanged", "no part has rank 0", slices.Concat(whole[last:], whole[entry:last], whole[:entry]))
	check("doubled", fmt.Sprintf("part .parts/000: entry at byte %d: rank 0 is out of order or comes twice", entry), slices.Concat(whole[:entry], whole[:entry], whole[2*entry:]))

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := WriteShard(t.Context(), st, tg, refs[0], 1<<20); !errors.Is(err, store.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("without the part: %v", err)
	}
}

func TestMissingRanks(t *testing.T) {
	st := openStore(t, t.TempDir())
	refs := scatter(t, st, 10, 2, 100)
	first, second := target(10, 2, 0), target(10, 2, 1)
	for _, c := range []struct {
		name string
		t    Target
		refs []Ref
		want string
	}{
		{"fewer", first, nil, "tfrecordio: shard train-00000-of-00002.tfrecord: parts have 0 records, want 5"},
		{"more", first, slices.Concat(refs[0], refs[1]), "parts have 10 records, want 5"},
		{"others", first, refs[1], "no part has rank 0"},
		{"lower", second, refs[0], "rank 0 is out of order or comes twice"},
	} {
		if _, err := WriteShard(t.Context(), st, c.t, c.refs, 1<<20); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	refs := scatter(t, st, 10, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := WriteShard(ctx, st, target(10, 1, 0), refs[0], 1<<20); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := WritePart(ctx, st, "part", []Entry{{IDs: packed(0)}}, func(int64, Ref) {}); !errors.Is(err, context.Canceled) {
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
	err := WritePart(t.Context(), st, "part", []Entry{{IDs: packed(0)}}, func(int64, Ref) { t.Error("a ref") })
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestWrite(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		dir := t.TempDir()
		const n, shards = 60, 3
		var targets []Target
		refs := scatter(t, openStore(t, dir), n, shards, 7)
		var want []any
		for k := range shards {
			tg := target(n, shards, k)
			targets = append(targets, tg)
			file := shardFile(tg.Lo, tg.Hi)
			want = append(want, dataset.Shard{Name: tg.Name, Bytes: int64(len(file)), Records: tg.Hi - tg.Lo,
				SHA256: fmt.Sprintf("%x", sha256.Sum256(file)), CRC32C: fmt.Sprintf("%08x", crc32.Checksum(file, castagnoli))})
		}
		p, s := beam.NewPipelineWithRoot()
		keyed := beam.ParDo(s, numbered, beam.CreateList(s, targets))
		var flat []keyedRef
		for k, all := range refs {
			for _, r := range all {
				flat = append(flat, keyedRef{int64(k), r})
			}
		}
		got := Write(s, dir, 4*targets[0].RecordBytes, keyed, beam.ParDo(s, split, beam.CreateList(s, flat)))
		passert.Equals(s, got, want...)
		if err := engine.Run(t.Context(), runner, p, engine.Options{}); err != nil {
			t.Errorf("%s: %v", runner, err)
		}
		for _, tg := range targets {
			if file, err := os.ReadFile(filepath.Join(dir, tg.Name)); err != nil || !bytes.Equal(file, shardFile(tg.Lo, tg.Hi)) {
				t.Errorf("%s: %s differs, %v", runner, tg.Name, err)
			}
		}
	}
}

func init() {
	beam.RegisterFunction(numbered)
	beam.RegisterFunction(split)
}

type keyedRef struct {
	Shard int64
	Ref   Ref
}

func split(k keyedRef) (int64, Refs) { return k.Shard, Refs{[]Ref{k.Ref}} }

// numbered keys a target by its shard's number.
func numbered(t Target) (int64, Target) {
	var k, of int64
	if _, err := fmt.Sscanf(t.Name, "train-%d-of-%d.tfrecord", &k, &of); err != nil {
		panic(err)
	}
	return k, t
}

func TestWritePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, s := beam.NewPipelineWithRoot()
	Write(s, "x", 0, beam.PCollection{}, beam.PCollection{})
}

func TestRecordBytes(t *testing.T) {
	for _, v := range []int{1, 128, 129, 5000, 1 << 14, 1 << 20} {
		for _, n := range []int{2, 5, 101, 1000} {
			frame := tfrecord.AppendFrame(nil, tfexample.AppendIDs(nil, make([]int32, n), tfexample.Width(v)))
			if got := RecordBytes(n, v); got != int64(len(frame)) {
				t.Errorf("%d ids of %d: %d bytes, want %d", n, v, got, len(frame))
			}
		}
	}
}
