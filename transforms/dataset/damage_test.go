package dataset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

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
			if !errors.Is(read, ErrDamaged) || !errors.Is(verify, ErrDamaged) || !strings.Contains(read.Error(), filepath.Join(dir, name)) ||
				read.Error() != verify.Error() {
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
			if want := fmt.Sprintf("has %d bytes, the manifest says %d", len(data), len(whole)); strings.HasSuffix(name, ".tfrecord") &&
				!strings.Contains(err.Error(), want) {
				t.Fatalf("%s with %d bytes: %v, want %s", name, len(data), err, want)
			}
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := tryOpen(t, dir); !errors.Is(err, store.ErrNotExist) || errors.Is(err, ErrDamaged) != (name != ManifestName) ||
			!strings.Contains(err.Error(), filepath.Join(dir, name)) {
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
		if !errors.Is(read, ErrDamaged) || !errors.Is(verify, ErrDamaged) || !strings.Contains(read.Error(), c.want) ||
			!strings.Contains(verify.Error(), c.want) {
			t.Errorf("%v: %v, %v", c.ids, read, verify)
		}
	}
	put(t, dir, name, whole)

	// A vocabulary that is whole, but another.
	otherDir := t.TempDir()
	sketch{seqLength: 3, vocab: 5, splits: map[string]int{"train": 4}, shards: 2}.write(t, otherDir)
	put(t, dir, VocabName, get(t, otherDir, VocabName))
	if _, err := tryOpen(t, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), VocabName+": sha256 is ") ||
		!strings.Contains(err.Error(), m.Vocab.SHA256) {
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
