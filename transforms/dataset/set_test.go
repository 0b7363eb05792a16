package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
}

// id returns an id of a sequence of a sketch, by a rule.
func (k sketch) id(split string, rank int64, i int) int32 {
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
	k := sketch{seqLength: 2, vocab: 3, splits: map[string]int{"train": 3 * maxOpen}, shards: maxOpen + 40}
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
		if len(s.open) > maxOpen || len(s.open) != len(s.opened) {
			t.Fatalf("%d and %d shards are open", len(s.open), len(s.opened))
		}
	}
}

// reading opens the set in dir, reads every record and verifies it all. It
// returns the first error of either.
func reading(t *testing.T, dir string) (read, verify error) {
	t.Helper()
	s, err := tryOpen(t, dir)
	if err != nil {
		return err, err
	}
	dst := make([]int32, s.Manifest().SeqLength+1)
	for _, split := range s.Manifest().Splits {
		r := s.Split(split.Name)
		for rank := range r.Len() {
			if err := r.Read(t.Context(), rank, dst); err != nil && read == nil {
				read = err
			}
		}
	}
	return read, s.Verify(t.Context())
}

// TestEveryByteFlipped flips every byte of every file.
func TestEveryByteFlipped(t *testing.T) {
	k := sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 5, "validation": 2}, shards: 2}
	dir := t.TempDir()
	m := k.write(t, dir)
	reasons := []string{": byte ", ": bytes ", " want ", " says ", ", but ", " is counted ", " use ", "not in order"}
	files := []string{ManifestName, VocabName, "train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "validation-00001-of-00002.tfrecord"}
	for _, name := range files {
		whole := get(t, dir, name)
		for i := range whole {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << (i % 8)
			put(t, dir, name, damaged)
			read, verify := reading(t, dir)
			if !errors.Is(read, ErrDamaged) || !errors.Is(verify, ErrDamaged) || !strings.Contains(read.Error(), filepath.Join(dir, name)) || read.Error() != verify.Error() {
				t.Fatalf("%s, byte %d: read %v, verify %v", name, i, read, verify)
			}
			if size := m.Splits[0].RecordBytes; strings.HasSuffix(name, ".tfrecord") {
				where := fmt.Sprintf("%s: record %d at byte %d: ", filepath.Join(dir, name), i/size, i/size*size)
				if !strings.Contains(read.Error(), where) || !errors.Is(read, tfrecord.ErrCorrupt) {
					t.Fatalf("%s, byte %d: %v, want %s", name, i, read, where)
				}
			} else if !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(read.Error(), r) }) {
				t.Fatalf("%s, byte %d: the error has neither a place nor what was expected: %v", name, i, read)
			}
		}
		put(t, dir, name, whole)
	}
	if read, verify := reading(t, dir); read != nil || verify != nil {
		t.Fatal(read, verify)
	}
}

// TestEveryLengthCut cuts every file at every length, and makes it longer.
func TestEveryLengthCut(t *testing.T) {
	k := sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 3}, shards: 1}
	dir := t.TempDir()
	k.write(t, dir)
	for _, name := range []string{ManifestName, VocabName, "train-00000-of-00001.tfrecord"} {
		whole := get(t, dir, name)
		for n := range len(whole) + 2 {
			data := append(bytes.Clone(whole), "\n\n"...)[:n]
			if n == len(whole) {
				data = append(data, ' ')
			}
			put(t, dir, name, data)
			_, err := tryOpen(t, dir)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
				t.Fatalf("%s with %d of %d bytes: %v", name, len(data), len(whole), err)
			}
			if want := fmt.Sprintf("has %d bytes, the manifest says %d", len(data), len(whole)); strings.HasSuffix(name, ".tfrecord") && !strings.Contains(err.Error(), want) {
				t.Fatalf("%s with %d bytes: %v, want %s", name, len(data), err, want)
			}
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(t, dir); !errors.Is(err, store.ErrNotExist) || errors.Is(err, ErrDamaged) != (name != ManifestName) || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Fatalf("without %s: %v", name, err)
		}
		put(t, dir, name, whole)
	}
}

// TestExchanged makes damage that no checksum of a record shows.
func TestExchanged(t *testing.T) {
	k := sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 4}, shards: 2}
	dir := t.TempDir()
	m := k.write(t, dir)
	size, name := m.Splits[0].RecordBytes, m.Splits[0].Shards[0].Name
	whole := get(t, dir, name)
	put(t, dir, name, slices.Concat(whole[size:], whole[:size]))
	read, verify := reading(t, dir)
	if want := name + ": crc32c is "; read != nil || !errors.Is(verify, ErrDamaged) || !strings.Contains(verify.Error(), want) {
		t.Errorf("exchanged records: %v, %v", read, verify)
	}
	// A record of as many bytes that is valid elsewhere.
	for _, c := range []struct {
		ids  []int32
		want string
	}{
		{[]int32{1, 2, 3, 4}, "record 1 at byte " + fmt.Sprint(size) + ": id 4 at position 3, the vocabulary has 4"},
	} {
		other := tfrecord.AppendFrame(bytes.Clone(whole[:size]), tfexample.AppendIDs(nil, c.ids, 1))
		put(t, dir, name, other)
		read, verify := reading(t, dir)
		if !errors.Is(read, ErrDamaged) || !errors.Is(verify, ErrDamaged) || !strings.Contains(read.Error(), c.want) || !strings.Contains(verify.Error(), c.want) {
			t.Errorf("%v: %v, %v", c.ids, read, verify)
		}
	}
	put(t, dir, name, whole)

	// A vocabulary that is whole, but another.
	otherDir := t.TempDir()
	sketch{seqLength: 3, vocab: 5, splits: map[string]int{"train": 4}, shards: 2}.write(t, otherDir)
	put(t, dir, VocabName, get(t, otherDir, VocabName))
	if _, err := tryOpen(t, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), VocabName+": sha256 is ") || !strings.Contains(err.Error(), m.Vocab.SHA256) {
		t.Errorf("another vocabulary: %v", err)
	}
}

// TestShrinks cuts a shard while it is open.
func TestShrinks(t *testing.T) {
	k := sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 4}, shards: 1}
	dir := t.TempDir()
	m := k.write(t, dir)
	s := open(t, dir)
	h := m.Splits[0].Shards[0]
	if err := os.Truncate(filepath.Join(dir, h.Name), h.Bytes-1); err != nil {
		t.Fatal(err)
	}
	dst := make([]int32, 4)
	if err := s.Split("train").Read(t.Context(), 2, dst); err != nil {
		t.Error(err)
	}
	want := fmt.Sprintf("%s: record 3 at byte %d: ", h.Name, 3*m.Splits[0].RecordBytes)
	if err := s.Split("train").Read(t.Context(), 3, dst); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := s.Verify(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestFailed: a file that is gone, short or wrong is damage; a failure to read it is
// not.
func TestFailed(t *testing.T) {
	for _, c := range []struct {
		cause error
		want  bool
	}{
		{io.EOF, true}, {io.ErrUnexpectedEOF, true}, {store.ErrNotExist, true}, {store.ErrDamaged, true}, {tfrecord.ErrTruncated, true},
		{tfrecord.ErrCorrupt, true}, {damage{os.ErrInvalid}, true}, {os.ErrPermission, false}, {store.ErrTransient, false},
	} {
		err := failed(fmt.Errorf("a.tfrecord: %w", c.cause))
		if errors.Is(err, ErrDamaged) != c.want || !errors.Is(err, c.cause) || err.Error() != "dataset: a.tfrecord: "+c.cause.Error() {
			t.Errorf("%v: %v", c.cause, err)
		}
	}
}

func TestVerifyStops(t *testing.T) {
	dir := t.TempDir()
	sketch{seqLength: 3, vocab: 4, splits: map[string]int{"train": 4}, shards: 1}.write(t, dir)
	s := open(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Verify(ctx); !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
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
