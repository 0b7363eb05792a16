package tfrecordio

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
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
	"github.com/quire-ml/quire/transforms/opaque"
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

// targets returns the shards of n ranks, which are those after the first base of a
// set.
func targets(base, n int64, shards int) []Target {
	all := make([]Target, shards)
	for k := range all {
		lo, hi := dataset.ShardRange(n, shards, k)
		all[k] = Target{Number: int64(k), Name: dataset.ShardName("train", k, shards), Lo: base + lo, Hi: base + hi, Ranks: base + n,
			IDBytes: seqIDs * 2}
	}
	return all
}

// options write into dir.
func options(dir string, way Way) Options {
	return Options{Dir: dir, Way: way, SlabBytes: 1 << 20, Temporary: ".parts/"}
}

// scatter sends n ranks, in random order and in ranges of about perRange each, to
// shards, and returns what is for Write.
func scatter(t testing.TB, st *store.Store, o Options, all []Target, perRange int) (sent []Parcel) {
	t.Helper()
	base := all[0].Lo
	r := rand.New(rand.NewPCG(uint64(all[0].Ranks), uint64(len(all))))
	ranks := r.Perm(int(all[0].Ranks - base))
	for number := 0; len(ranks) > 0; number++ {
		take := min(len(ranks), 1+r.IntN(2*perRange))
		var entries []Entry
		for _, rank := range ranks[:take] {
			entries = append(entries, Entry{Rank: base + int64(rank), IDs: packed(base + int64(rank))})
		}
		ranks = ranks[take:]
		parcels, err := o.Scatter(t.Context(), st, fmt.Sprintf("%03d", number), entries, all)
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, parcels...)
	}
	return sent
}

// scattered is scatter to part files.
func scattered(t testing.TB, st *store.Store, all []Target, perRange int) (parts []part) {
	t.Helper()
	for _, p := range scatter(t, st, options("", Files), all, perRange) {
		part, err := decodePart(p.Data)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, part)
	}
	return parts
}

// commit commits what write has written.
func commit(w *shardWriter, err error) (dataset.Shard, error) {
	if err != nil {
		return dataset.Shard{}, err
	}
	return w.commit()
}

// described returns what the manifest says of a shard that is as it should be.
func described(t Target) dataset.Shard {
	file := shardFile(t.Lo, t.Hi)
	return dataset.Shard{Name: t.Name, Bytes: int64(len(file)), Records: t.Hi - t.Lo,
		SHA256: fmt.Sprintf("%x", sha256.Sum256(file)), CRC32C: fmt.Sprintf("%08x", crc32.Checksum(file, castagnoli))}
}

func TestGather(t *testing.T) {
	size := RecordBytes(seqIDs, chars)
	for _, c := range []struct {
		base, n  int64
		shards   int
		perRange int
	}{{0, 1, 1, 1}, {0, 7, 3, 2}, {11, 50, 1, 50}, {0, 100, 7, 3}, {1000, 300, 4, 1000}, {0, 5, 16, 2}, {3, 400, 2, 4}, {0, 9000, 3, 4000}} {
		dir := t.TempDir()
		st := openStore(t, dir)
		all := targets(c.base, c.n, c.shards)
		parts := scattered(t, st, all, c.perRange)
		g := new(gatherer)
		for _, tg := range all {
			for _, records := range []int64{1, 2, 7, 64, 1 << 20} { // of a slab
				if records < 64 && c.n > 1000 {
					continue
				}
				got, err := commit(g.write(t.Context(), st, tg, parts, records*size+1))
				if err != nil || got != described(tg) {
					t.Fatalf("%+v, slabs of %d: got %+v, %v, want %+v", c, records, got, err, described(tg))
				}
				file := filepath.Join(dir, tg.Name)
				if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, shardFile(tg.Lo, tg.Hi)) {
					t.Fatalf("%+v, slabs of %d: %s differs, %v", c, records, tg.Name, err)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSeek finds every rank of parts whose ranks are evenly spread, and of some
// whose ranks are not at all.
func TestSeek(t *testing.T) {
	st := openStore(t, t.TempDir())
	for name, rank := range map[string]func(i int64) int64{
		"even":  func(i int64) int64 { return 3*i + i%2 },
		"start": func(i int64) int64 { return i },
		"end":   func(i int64) int64 { return 12000 - 4000 + i },
		"ends":  func(i int64) int64 { return i + i/2000*8000 },
	} {
		const n, ranks = 4000, 12000
		var entries []Entry
		for i := range int64(n) {
			entries = append(entries, Entry{Rank: rank(i), IDs: packed(rank(i))})
		}
		p, err := writePart(t.Context(), st, name, entries, order(entries))
		if err != nil {
			t.Fatal(err)
		}
		o, err := st.OpenObject(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for lo := int64(0); lo <= ranks; lo += 7 {
			g := &gatherer{target: Target{Lo: lo, Ranks: ranks, IDBytes: seqIDs * 2}}
			want, _ := slices.BinarySearchFunc(entries, lo, func(e Entry, lo int64) int { return int(e.Rank - lo) })
			if got, err := g.seek(o, p); err != nil || got != int64(want) {
				t.Fatalf("%s: rank %d is at %d, %v, want %d", name, lo, got, err, want)
			}
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSeekLong finds ranks among long sequences, of which a read has few.
func TestSeekLong(t *testing.T) {
	st := openStore(t, t.TempDir())
	const n, size = 64, 300_000
	var entries []Entry
	for i := range int64(n) {
		entries = append(entries, Entry{Rank: 3 * i, IDs: make([]byte, size)})
	}
	p, err := writePart(t.Context(), st, "long", entries, order(entries))
	if err != nil {
		t.Fatal(err)
	}
	o, err := st.OpenObject(t.Context(), "long")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for lo := range int64(3*n + 1) {
		g := &gatherer{target: Target{Lo: lo, Ranks: 3 * n, IDBytes: size}}
		if got, err := g.seek(o, p); err != nil || got != (lo+2)/3 || len(g.buf) > bufferBytes {
			t.Fatalf("rank %d is at %d, %v, want %d, by reads of %d bytes", lo, got, err, (lo+2)/3, len(g.buf))
		}
	}
}

// TestManyParts has more parts than may be open at once.
func TestManyParts(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	tg := targets(0, 2*maxOpen, 1)[0]
	parts := scattered(t, st, []Target{tg}, 1)
	if len(parts) <= maxOpen {
		t.Fatalf("only %d parts", len(parts))
	}
	if _, err := gatherAll(t.Context(), st, tg, parts, 20*tg.RecordBytes()); err != nil {
		t.Fatal(err)
	}
	if file, err := os.ReadFile(filepath.Join(dir, tg.Name)); err != nil || !bytes.Equal(file, shardFile(0, 2*maxOpen)) {
		t.Errorf("the shard differs, %v", err)
	}
}

// TestAgain repeats writes: the same bytes are fine, others are a conflict.
func TestAgain(t *testing.T) {
	st := openStore(t, t.TempDir())
	all := targets(0, 20, 1)
	parts := scattered(t, st, all, 5)
	for range 2 {
		if _, err := gatherAll(t.Context(), st, all[0], parts, 1<<20); err != nil {
			t.Fatal(err)
		}
		scattered(t, st, all, 5)
	}
	_, err := options("", Files).Scatter(t.Context(), st, "000", []Entry{{Rank: 3, IDs: packed(4)}}, all)
	if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), ".parts/000") {
		t.Errorf("other bytes: %v", err)
	}
}

// TestWrite writes shards on two engines, both ways; the last shard of five has no
// record.
func TestWrite(t *testing.T) {
	for _, runner := range []string{"direct", "prism"} {
		for _, way := range []Way{Files, Engine} {
			dir := t.TempDir()
			all := targets(0, 60, 4)
			all = append(all, Target{Number: 4, Name: dataset.ShardName("test", 0, 1), Lo: 60, Hi: 60, Ranks: 60, IDBytes: all[0].IDBytes})
			o := options(dir, way)
			o.SlabBytes = 4 * all[0].RecordBytes()
			sent := scatter(t, openStore(t, dir), o, all, 7)
			var want []any
			for _, tg := range all {
				want = append(want, described(tg))
			}
			p, s := beam.NewPipelineWithRoot()
			got := Write(s, o, beam.CreateList(s, all), beam.ParDo(s, keyed, beam.CreateList(s, sent)))
			passert.Equals(s, got, want...)
			if err := engine.Run(t.Context(), runner, p, engine.Options{}); err != nil {
				t.Errorf("%s, %s: %v", runner, way, err)
			}
			for _, tg := range all {
				if file, err := os.ReadFile(filepath.Join(dir, tg.Name)); err != nil || !bytes.Equal(file, shardFile(tg.Lo, tg.Hi)) {
					t.Errorf("%s, %s: %s differs, %v", runner, way, tg.Name, err)
				}
			}
		}
	}
}

func init() {
	beam.RegisterFunction(keyed)
	opaque.Register[Parcel]()
}

func keyed(p Parcel) (int64, []byte) { return p.Key, p.Data }

func TestWritePanics(t *testing.T) {
	for name, o := range map[string]Options{"slab": {Way: Files}, "way": {SlabBytes: 1, Way: "air"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_, s := beam.NewPipelineWithRoot()
			Write(s, o, beam.PCollection{}, beam.PCollection{})
		}()
	}
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
