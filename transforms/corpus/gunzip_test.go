package corpus

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGzip resolves compressed documents: a file, one in a folder, one of two
// members and one of none. The second time nothing is written.
func TestGzip(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	text := strings.Repeat("one line\r\n", 300_000)
	put(t, dir, "a/one.txt.gz", zipped(t, text))
	put(t, dir, "a/two.gz", zipped(t, "first ")+zipped(t, "second"))
	put(t, dir, "a/empty.gz", zipped(t, ""))
	put(t, dir, "a/plain.txt", "plain")
	want := map[string]string{"one.txt": text, "two": "first second", "empty": "", "plain.txt": "plain"}
	resolve := func() []Document {
		t.Helper()
		docs, err := Resolve(t.Context(), []string{filepath.Join(dir, "a")}, &ResolveOptions{Cache: cache})
		if err != nil || len(docs) != 4 {
			t.Fatalf("%v, %v", docs, err)
		}
		sums, err := Digests(t.Context(), docs)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range docs {
			data, err := os.ReadFile(d.Path)
			if err != nil || string(data) != want[d.Name] || d.Bytes != int64(len(data)) || d.CRC != crc(want[d.Name]) || d.SHA256 != sums[i] {
				t.Errorf("%+v: %d bytes, %v", d, len(data), err)
			}
		}
		return docs
	}
	first := resolve()
	stat := func(d Document) os.FileInfo {
		info, err := os.Stat(d.Path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	one := stat(first[1])
	if again := resolve(); !os.SameFile(one, stat(again[1])) {
		t.Error("decompressed again")
	}
	// What is damaged there is made again, in its length or not.
	for _, bad := range []string{"x" + text[1:], "short"} {
		if err := os.WriteFile(first[1].Path, []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		resolve()
	}
	// The digest of a source is that of the file.
	file := filepath.Join(dir, "a", "two.gz")
	sums, err := Digests(t.Context(), []Document{{Path: file, Bytes: int64(len(zipped(t, "first ") + zipped(t, "second")))}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Resolve(t.Context(), []string{file}, &ResolveOptions{Cache: cache, SHA256: sums[0]}); err != nil {
		t.Error(err)
	}
	put(t, dir, "a/plain.txt.gz", zipped(t, "other"))
	if _, err := Resolve(t.Context(), []string{filepath.Join(dir, "a")}, &ResolveOptions{Cache: cache}); err == nil || !strings.Contains(err.Error(), `would both be document "plain.txt"`) {
		t.Errorf("two of one name: %v", err)
	}
}

func TestBadGzip(t *testing.T) {
	defer func(n int64) { bombFloor = n }(bombFloor)
	bombFloor = 1 << 20
	whole := zipped(t, strings.Repeat("some text, ", 9999))
	for _, c := range []struct{ name, data, want string }{
		{"bomb.gz", zipped(t, strings.Repeat("\x00", 3<<20)), "it may be a bomb; if it is a text, decompress it (gunzip)"},
		{"text.gz", "some text", "it is not in the format of gzip"},
		{"none.gz", "", "it is not in the format of gzip"},
		{"cut.gz", whole[:len(whole)-20], "damaged or cut off, after "},
		{"trailer.gz", whole[:len(whole)-3], "damaged or cut off, after 109989 bytes"},
		{"flipped.gz", whole[:100] + "?" + whole[101:], "damaged or cut off, after "},
		{"more.gz", whole + "more", "damaged or cut off, after "},
		{"all.tar.gz", whole, "it is an archive; unpack it"},
	} {
		dir, cache := t.TempDir(), t.TempDir()
		d := put(t, dir, c.name, c.data)
		_, err := Resolve(t.Context(), []string{d.Path}, &ResolveOptions{Cache: cache})
		if err == nil || !strings.Contains(err.Error(), "corpus: "+d.Path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
		left, err := filepath.Glob(filepath.Join(cache, "*", "*"))
		if err != nil || len(left) > 0 {
			t.Errorf("%s: left %q, %v", c.name, left, err)
		}
	}
	d := put(t, t.TempDir(), "a.gz", whole)
	if _, err := Resolve(t.Context(), []string{d.Path}, nil); err == nil || !strings.Contains(err.Error(), "no folder to decompress it to") {
		t.Errorf("without a cache: %v", err)
	}
}
