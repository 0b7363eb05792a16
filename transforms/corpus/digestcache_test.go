package corpus

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/quire-ml/quire/transforms/charset"
)

// knownLab is a folder with two documents, and another that keeps digests.
type knownLab struct {
	t            *testing.T
	docs, folder string
	later        time.Duration // what the clock is ahead of the files
}

// digests resolves and digests the documents as one process does, and returns
// the digests and how many documents it has read: a digest that was kept is
// replaced before by a false one, which shows where it is believed.
func (l *knownLab) digests() (sums []string, read int) {
	l.t.Helper()
	k, err := OpenDigestCache(context.Background(), l.folder, []string{l.docs})
	if err != nil {
		l.t.Fatal(err)
	}
	k.now = func() time.Time { return time.Now().Add(l.later) }
	lies := map[string]string{}
	for path, e := range k.entries {
		truth := hex.EncodeToString(e.sha[:])
		e.sha[0] ^= 0xff
		lies[hex.EncodeToString(e.sha[:])] = truth
		k.entries[path] = e
	}
	docs, err := Resolve(context.Background(), []string{l.docs}, &ResolveOptions{Digested: k})
	if err != nil {
		l.t.Fatal(err)
	}
	if sums, err = k.Digests(context.Background(), docs); err != nil {
		l.t.Fatal(err)
	}
	for i, s := range sums {
		if truth, ok := lies[s]; ok {
			sums[i] = truth
		} else {
			read++
		}
	}
	for path, e := range k.entries {
		if truth, ok := lies[hex.EncodeToString(e.sha[:])]; ok {
			if _, err := hex.Decode(e.sha[:], []byte(truth)); err != nil {
				l.t.Fatal(err)
			}
		}
		k.entries[path] = e
	}
	if err := k.Close(context.Background()); err != nil {
		l.t.Fatal(err)
	}
	return sums, read
}

func (l *knownLab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.docs, name), []byte(text), 0o666); err != nil {
		l.t.Fatal(err)
	}
}

func TestKnown(t *testing.T) {
	l := &knownLab{t: t, docs: t.TempDir(), folder: t.TempDir()}
	l.write("a.txt", "first")
	l.write("b.txt", "second")
	want := func(what string, read int) []string {
		t.Helper()
		sums, n := l.digests()
		if n != read {
			t.Errorf("%s: %d documents were read, want %d", what, n, read)
		}
		return sums
	}
	before := want("nothing is known", 2)
	want("the files are younger than a tick", 2)
	l.later = time.Minute
	want("they are old, but were not kept yet", 2)
	if got := want("all is known", 0); !slices.Equal(got, before) {
		t.Errorf("the digests are %v, want %v", got, before)
	}

	// Another text of the same size, with the old time of modification.
	info, err := os.Stat(filepath.Join(l.docs, "a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	l.write("a.txt", "fifth")
	if runtime.GOOS != "linux" {
		t.Skip("the time of a file's last change is known on Linux only")
	}
	if err := os.Chtimes(filepath.Join(l.docs, "a.txt"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got := want("one is another", 1); got[0] == before[0] || got[1] != before[1] {
		t.Errorf("the digests are %v after a.txt changed, and were %v", got, before)
	}
	want("the other is known too", 0)
	if err := os.Rename(filepath.Join(l.docs, "b.txt"), filepath.Join(l.docs, "c.txt")); err != nil {
		t.Fatal(err)
	}
	want("one has another name", 1)

	// What is damaged or gone is read again.
	files, err := os.ReadDir(l.folder)
	if err != nil || len(files) != 1 {
		t.Fatalf("the folder has %v, %v", files, err)
	}
	path := filepath.Join(l.folder, files[0].Name())
	if err := os.WriteFile(path, []byte("{}"), 0o666); err != nil {
		t.Fatal(err)
	}
	want("what is known is damaged", 2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(l.folder, "old.json")
	if err := os.WriteFile(old, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-keep)); err != nil {
		t.Fatal(err)
	}
	want("what is known is gone", 2)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("what was kept long ago is there: %v", err)
	}
}

// TestKnownGrowing: the digest of a file's beginning is not kept as that of the file.
func TestKnownGrowing(t *testing.T) {
	l := &knownLab{t: t, docs: t.TempDir(), folder: t.TempDir(), later: time.Hour}
	l.write("a.txt", "first")
	whole, _ := l.digests()
	docs, err := Resolve(t.Context(), []string{l.docs}, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.write("a.txt", "first, second")
	k, err := OpenDigestCache(t.Context(), l.folder, []string{l.docs})
	if err != nil {
		t.Fatal(err)
	}
	k.now = func() time.Time { return time.Now().Add(time.Hour) }
	if sums, err := k.Digests(t.Context(), docs); err != nil || !slices.Equal(sums, whole) {
		t.Errorf("the beginning has %q, %v, want %q", sums, err, whole)
	}
	if err := k.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sums, read := l.digests(); read != 1 || slices.Equal(sums, whole) {
		t.Errorf("the grown file has %q, as its beginning; %d were read", sums, read)
	}
}

// TestDigestFile: the file of a cache comes back as it was, and no flipped or missing byte
// of it is believed.
func TestDigestFile(t *testing.T) {
	entries := map[string]known{"/a/b.txt": {stamp: stamp{1, 2}, sha: [32]byte{3}, crc: 1 << 31}, "/a/bc.txt": {sha: [32]byte{4}},
		"gs://b/é": {stamp: stamp{5}, crc: 7, signs: &charset.Signs{Mark: true, Likely: "windows-1252", Invalid: charset.Invalid{Count: 3, Offset: 2, Byte: 0x80}}}}
	data, err := encodeDigests(entries)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := decodeDigests(data); !ok || !reflect.DeepEqual(got, entries) {
		t.Errorf("%+v came back as %+v, %v", entries, got, ok)
	}
	for i := range data {
		flipped := slices.Clone(data)
		flipped[i] ^= 1
		for what, data := range map[string][]byte{"flipped": flipped, "cut": data[:i]} {
			if got, ok := decodeDigests(data); ok {
				t.Errorf("byte %d %s: %+v", i, what, got)
			}
		}
	}
}
