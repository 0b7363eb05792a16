package dataset

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A sketch is a set to be written by the shortest code.
type sketch struct {
	seqLength int
	vocab     int            // characters, from 'A'
	splits    map[string]int // sequences
	shards    int            // of each split
	rule      map[string]func(rank, i int) int
}

// id returns an id of a sequence of a sketch, by a rule.
func (k sketch) id(split string, rank int64, i int) int32 {
	if rule := k.rule[split]; rule != nil {
		return int32(rule(int(rank), i))
	}
	return int32((int(rank)*31 + i*i*7 + len(split)) % k.vocab)
}

// write writes the set to dir.
func (k sketch) write(t testing.TB, dir string) *Manifest {
	t.Helper()
	counts := map[rune]int64{}
	for i := range k.vocab {
		counts[rune('A'+i)] = int64(i + 1)
	}
	v, err := vocab.New(vocab.Rune, counts, 1)
	if err != nil {
		t.Fatal(err)
	}
	vocabFile, err := v.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, VocabName, vocabFile)
	m := &Manifest{Format: Format, SeqLength: k.seqLength, Unit: "rune", Normalize: "none", InvalidUTF8: "error", MinCount: 1, Seed: 7}
	m.Vocab.Name, m.Vocab.Size, m.Vocab.SHA256, m.Vocab.Digest = VocabName, v.Size(), digest(vocabFile), v.Digest()
	width := tfexample.Width(k.vocab)
	for _, name := range []string{"train", "validation"} {
		n, ok := k.splits[name]
		if !ok {
			continue
		}
		s := Split{Name: name, Sequences: int64(n), RecordBytes: tfexample.Size(k.seqLength+1, width) + tfrecord.Overhead}
		for h := range k.shards {
			lo, hi := ShardRange(int64(n), k.shards, h)
			var file []byte
			for rank := lo; rank < hi; rank++ {
				var ids []int32
				for i := range k.seqLength + 1 {
					ids = append(ids, k.id(name, rank, i))
				}
				file = tfrecord.AppendFrame(file, tfexample.AppendIDs(nil, ids, width))
			}
			shard := Shard{Name: ShardName(name, h, k.shards), Bytes: int64(len(file)), Records: hi - lo, SHA256: digest(file),
				CRC32C: fmt.Sprintf("%08x", crc32.Checksum(file, crc32.MakeTable(crc32.Castagnoli)))}
			put(t, dir, shard.Name, file)
			s.Shards = append(s.Shards, shard)
		}
		m.Splits = append(m.Splits, s)
		m.Chars += s.Sequences * int64(k.seqLength+1)
	}
	m.DroppedChars = 3
	m.Chars += 3
	m.Documents = []Document{{Name: "a.txt", Bytes: m.Chars, Chars: m.Chars, SHA256: digest(nil)}}
	data, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, ManifestName, data)
	return m
}

func put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// open opens the set in dir until the test ends.
func open(t testing.TB, dir string) *Set {
	t.Helper()
	s, err := tryOpen(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(t testing.TB, dir string) (*Set, error) {
	t.Helper()
	st, err := store.Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(context.Background(), st)
	t.Cleanup(func() {
		if s != nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, err
}

func TestRead(t *testing.T) {
	for _, k := range []sketch{
		{seqLength: 4, vocab: 5, splits: map[string]int{"train": 23, "validation": 3}, shards: 1},
		{seqLength: 100, vocab: 300, splits: map[string]int{"train": 50}, shards: 3},
		{seqLength: 1, vocab: 1, splits: map[string]int{"train": 7, "validation": 16}, shards: 16},
	} {
		dir := t.TempDir()
		m := k.write(t, dir)
		s := open(t, dir)
		if s.SHA256() != digest(get(t, dir, ManifestName)) || s.Vocab().Size() != k.vocab || s.Manifest().Seed != m.Seed {
			t.Errorf("%+v: sha256 %s, %d characters", k, s.SHA256(), s.Vocab().Size())
		}
		for _, name := range []string{"train", "validation"} {
			r, n := s.Split(name), int64(k.splits[name])
			if n == 0 {
				if r != nil {
					t.Errorf("%+v: there is a split %s", k, name)
				}
				continue
			}
			if r.Len() != n {
				t.Fatalf("%+v: %s has %d sequences", k, name, r.Len())
			}
			order := EpochOrder(n, 1, 2)
			dst := make([]int32, k.seqLength+1)
			for p := range n {
				rank := order.At(p)
				if err := r.Read(t.Context(), rank, dst); err != nil {
					t.Fatal(err)
				}
				for i, id := range dst {
					if want := k.id(name, rank, i); id != want {
						t.Fatalf("%+v: %s rank %d: id %d is %d, want %d", k, name, rank, i, id, want)
					}
				}
			}
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	k := sketch{seqLength: 4, vocab: 5, splits: map[string]int{"train": 9}, shards: 2}
	dir := t.TempDir()
	k.write(t, dir)
	r := open(t, dir).Split("train")
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		rank int64
		n    int
		want string
	}{
		{t.Context(), -1, 5, "dataset: train: rank -1 of 9 sequences"},
		{t.Context(), 9, 5, "dataset: train: rank 9 of 9 sequences"},
		{t.Context(), 0, 4, "dataset: train: sequences have 5 ids, not 4"},
		{stopped, 0, 5, "dataset: train: context canceled"},
	} {
		if err := r.Read(c.ctx, c.rank, make([]int32, c.n)); err == nil || err.Error() != c.want || errors.Is(err, ErrDamaged) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestShardRange(t *testing.T) {
	for n := range int64(40) {
		for shards := 1; shards <= 45; shards++ {
			at := int64(0)
			for k := range shards {
				lo, hi := ShardRange(n, shards, k)
				if lo != at || hi-lo < n/int64(shards) || hi-lo > n/int64(shards)+1 {
					t.Fatalf("shard %d of %d of %d: %d to %d, the last ended at %d", k, shards, n, lo, hi, at)
				}
				for rank := lo; rank < hi; rank++ {
					if gk, glo := shardOf(n, shards, rank); gk != k || glo != lo {
						t.Fatalf("rank %d of %d is in shard %d from %d, want %d from %d", rank, n, gk, glo, k, lo)
					}
				}
				at = hi
			}
			if at != n {
				t.Fatalf("%d shards of %d end at %d", shards, n, at)
			}
		}
	}
	if lo, hi := ShardRange(1<<62, 99999, 99998); hi != 1<<62 || lo >= hi {
		t.Errorf("%d to %d", lo, hi)
	}
	if got := ShardName("train", 3, 16); got != "train-00003-of-00016.tfrecord" {
		t.Error(got)
	}
}

// TestManyShards reads from more shards than may be open.
func TestManyShards(t *testing.T) {
	k := sketch{seqLength: 2, vocab: 3, splits: map[string]int{"train": 3 * maxOpen()}, shards: maxOpen() + 40}
	dir := t.TempDir()
	k.write(t, dir)
	s := open(t, dir)
	r, dst := s.Split("train"), make([]int32, 3)
	order := EpochOrder(r.Len(), 1, 2)
	for p := range r.Len() {
		rank := order.At(p)
		if err := r.Read(t.Context(), rank, dst); err != nil {
			t.Fatal(err)
		}
		if dst[1] != k.id("train", rank, 1) {
			t.Fatalf("rank %d: got %v", rank, dst)
		}
		if len(s.open) > maxOpen() || len(s.open) != len(s.opened) {
			t.Fatalf("%d and %d shards are open", len(s.open), len(s.opened))
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, k := range map[string]sketch{
		"shakespeare": {seqLength: 100, vocab: 65, splits: map[string]int{"train": 11043}, shards: 1},
		"chinese":     {seqLength: 100, vocab: 5000, splits: map[string]int{"train": 300_000}, shards: 16},
	} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			k.write(b, dir)
			r, dst := open(b, dir).Split("train"), make([]int32, 101)
			order, p := EpochOrder(r.Len(), 1, 2), int64(0)
			for b.Loop() {
				if err := r.Read(b.Context(), order.At(p), dst); err != nil {
					b.Fatal(err)
				}
				if p++; p == r.Len() {
					p = 0
				}
			}
			b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "chars/s")
		})
	}
}
