package corpus

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store/gcstest"
	"github.com/quire-ml/quire/transforms/charset"
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
	if _, err := Resolve(t.Context(), []string{filepath.Join(dir, "a")}, &ResolveOptions{Cache: cache}); err == nil ||
		!strings.Contains(err.Error(), `would both be document "plain.txt"`) {
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
		{"none.gz", "", "it has 0 bytes, and is not in the format of gzip; copy it again, or leave it out"},
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
	var lines strings.Builder
	for i := range 300_000 {
		fmt.Fprintln(&lines, i)
	}
	d := put(t, t.TempDir(), "large.gz", zipped(t, lines.String()))
	if docs, err := Resolve(t.Context(), []string{d.Path}, &ResolveOptions{Cache: t.TempDir()}); err != nil || docs[0].Bytes != 1_988_890 {
		t.Errorf("a large text: %+v, %v", docs, err)
	}
	d = put(t, t.TempDir(), "a.gz", whole)
	if _, err := Resolve(t.Context(), []string{d.Path}, nil); err == nil || !strings.Contains(err.Error(), "no folder to decompress it to") {
		t.Errorf("without a cache: %v", err)
	}
}

// TestConverted resolves documents that are not plain UTF-8. Each becomes its text, the
// same for every way that its bytes are stored; a plain one stays where it is.
func TestConverted(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	utf16 := "\xff\xfe" + "\x1f\x04" + "\x40\x04" + "\r\x00\n\x00" + "\xfd\xff" // U+041F, U+0440, CR, LF, U+FFFD
	put(t, dir, "le.txt", utf16)
	put(t, dir, "le2.txt.gz", zipped(t, utf16))
	put(t, dir, "mark.txt", "\ufeffa\rb")
	put(t, dir, "mark2.txt.gz", zipped(t, "\ufeffa\rb"))
	put(t, dir, "plain.txt", "a\r\nb")
	for _, c := range []struct {
		form charset.Form
		file string
		text string // empty: the document stays
	}{
		{charset.Form{}, "mark.txt", "a\rb"},
		{charset.Form{}, "mark2.txt.gz", "a\rb"},
		{charset.Form{}, "plain.txt", ""},
		{charset.Form{}, "le.txt", ""}, // for prepare.CheckText to refuse
		{charset.Form{Encoding: "utf-16"}, "le.txt", "Пр\r\n\uFFFD"},
		{charset.Form{Encoding: "utf-16", Newlines: "lf"}, "le.txt", "Пр\n\uFFFD"},
		{charset.Form{Encoding: "utf-16be"}, "mark.txt", "a\rb"}, // the mark decides
		{charset.Form{Encoding: "windows-1252"}, "plain.txt", "a\r\nb"},
		{charset.Form{Encoding: "utf-16be"}, "plain.txt", "\u610d\u0a62"},
		{charset.Form{Encoding: "utf-16", Newlines: "lf"}, "le2.txt.gz", "Пр\n\uFFFD"},
		{charset.Form{Newlines: "lf"}, "mark2.txt.gz", "a\nb"},
		{charset.Form{Newlines: "lf"}, "plain.txt", "a\nb"},
	} {
		source := filepath.Join(dir, c.file)
		o := &ResolveOptions{Cache: cache, Form: c.form}
		for range 2 { // the second finds it there
			docs, err := Resolve(t.Context(), []string{source}, o)
			if err != nil {
				t.Fatalf("%+v: %v", c, err)
			}
			d := docs[0]
			data, err := os.ReadFile(d.Path)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case c.text == "" && d.Path != source:
				t.Errorf("%+v: moved to %s", c, d.Path)
			case c.text != "" && (string(data) != c.text || d.Bytes != int64(len(c.text)) || d.CRC != crc(c.text) || d.SHA256 != sha(c.text) ||
				d.Name != strings.TrimSuffix(c.file, ".gz") || d.Signs.Mark || d.Signs.UTF16 != ""):
				t.Errorf("%+v: %q, %+v", c, data, d)
			}
		}
	}
	// The same bytes are a compressed text, or a text, by their name.
	put(t, dir, "x.txt", zipped(t, "To be"))
	put(t, dir, "x.txt.gz", zipped(t, "To be"))
	for _, name := range []string{"x.txt.gz", "x.txt", "x.txt.gz"} {
		docs, err := Resolve(t.Context(), []string{filepath.Join(dir, name)}, &ResolveOptions{Cache: cache, Form: charset.Form{Encoding: "IBM850"}})
		if err != nil || (docs[0].Bytes == 5) != (name == "x.txt.gz") {
			t.Errorf("%s: %+v, %v", name, docs, err)
		}
	}
	file := filepath.Join(dir, "mark.txt")
	if _, err := Resolve(t.Context(), []string{file}, nil); err == nil ||
		err.Error() != "corpus: "+file+": there is no folder to convert it to UTF-8 in; convert it, without a byte order mark" {
		t.Errorf("without a cache: %v", err)
	}
	var wrong *FieldError
	if _, err := Resolve(t.Context(), []string{file}, &ResolveOptions{Form: charset.Form{Encoding: "klingon"}}); !errors.As(err, &wrong) ||
		wrong.Field != Encoding {
		t.Errorf("an unknown encoding: %v", err)
	}
}

// TestSigns: what the bytes of documents tell is known with their digests, also where
// an earlier process has read them, and what an encoding does not define is counted in
// the file's bytes.
func TestSigns(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	put(t, dir, "a.txt", "caf\xe9 au lait")
	put(t, dir, "b.txt", "a\rb\r")
	put(t, dir, "c.txt", "\xff\xfea\x00")
	put(t, dir, "d.txt.gz", zipped(t, "caf\xe9 au lait"))
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"a.txt", "b.txt", "c.txt", "d.txt.gz"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	bad := charset.Signs{Likely: "windows-1252", Invalid: charset.Invalid{Count: 1, Offset: 3, Byte: 0xe9}}
	want := []charset.Signs{bad, {CR: true}, {UTF16: "utf-16", Invalid: charset.Invalid{Count: 2, Offset: 0, Byte: 0xff}}, bad}
	for range 2 {
		k, err := OpenDigestCache(t.Context(), cache, []string{dir})
		if err != nil {
			t.Fatal(err)
		}
		k.now = func() time.Time { return time.Now().Add(time.Hour) }
		docs, err := Resolve(t.Context(), []string{dir}, &ResolveOptions{Cache: filepath.Join(cache, "texts"), Digested: k})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range docs {
			if d.Signs != want[i] || d.Undefined.Count > 0 {
				t.Errorf("%s: %+v, %+v", d.Name, d.Signs, d.Undefined)
			}
		}
		if err := k.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// In windows-1255, 0xd9 means nothing.
	d := put(t, t.TempDir(), "x.txt", "ab\xd9\xe0\xd9")
	for range 2 {
		docs, err := Resolve(t.Context(), []string{d.Path}, &ResolveOptions{Cache: cache, Form: charset.Form{Encoding: "windows-1255"}})
		if err != nil || docs[0].Undefined != (charset.Invalid{Count: 2, Offset: 2, Byte: 0xd9}) || docs[0].Signs.Invalid.Count != 2 {
			t.Errorf("%+v, %v", docs, err)
		}
	}
}

func sha(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// TestConvertChanged: the text of a document is kept under the digest of bytes that it
// was made of, and of no others.
func TestConvertChanged(t *testing.T) {
	d := put(t, t.TempDir(), "a.txt", "\xef\xbb\xbfabc")
	docs, cache := []Document{d}, t.TempDir()
	if _, err := Digests(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Dir(d.Path), "a.txt", "\xef\xbb\xbfabd")
	if _, err := convert(t.Context(), docs[0], &ResolveOptions{Cache: cache}); !errors.Is(err, ErrChanged) {
		t.Errorf("converted another text: %v", err)
	}
	put(t, filepath.Dir(d.Path), "a.txt", "\xef\xbb\xbfabc, and more")
	got, err := convert(t.Context(), docs[0], &ResolveOptions{Cache: cache})
	if err != nil || got.Bytes != 3 {
		t.Errorf("the beginning: %+v, %v", got, err)
	}
}

// A canceller cancels a context at the first write.
type canceller struct {
	cancel func()
	bytes  int
}

func (c *canceller) Write(p []byte) (int, error) {
	c.cancel()
	c.bytes += len(p)
	return len(p), nil
}

// TestInterrupted: a conversion and a packing end when their context does, not at the document's end.
func TestInterrupted(t *testing.T) {
	d := put(t, t.TempDir(), "a.txt", strings.Repeat("caf\xe9 au lait\n", 1<<20))
	for name, work := range map[string]func(ctx context.Context, w io.Writer) error{
		"convert": func(ctx context.Context, w io.Writer) error {
			return writeText(ctx, w, d, charset.Form{Encoding: "windows-1252"}, &converted{})
		},
		"pack": func(ctx context.Context, w io.Writer) error {
			return (&packer{to: w, p: Packing{Records: RecordLine}}).document(ctx, d)
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		w := &canceller{cancel: cancel}
		if err := work(ctx, w); !errors.Is(err, context.Canceled) || w.bytes == 0 || int64(w.bytes) > d.Bytes/2 {
			t.Errorf("%s: %v, after %d bytes", name, err, w.bytes)
		}
	}
}

// TestConvertedElsewhere converts documents in a bucket and on the web.
func TestConvertedElsewhere(t *testing.T) {
	const utf16, want = "\xfe\xff" + "\x04\x1f" + "\x04\x40" + "\x00\r", "Пр\n"
	server := gcstest.New(t)
	server.Set("bucket", "texts/a.txt", []byte(utf16))
	server.Set("bucket", "texts/b.txt.gz", []byte(zipped(t, utf16)))
	l := newLibrary(t)
	l.text = utf16
	l.o.Form = charset.Form{Encoding: "utf-16", Newlines: charset.LF}
	for _, source := range []string{"gs://bucket/texts", l.url} {
		docs, err := Resolve(t.Context(), []string{source}, l.o)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			if data, err := os.ReadFile(d.Path); err != nil || string(data) != want || d.SHA256 != sha(want) {
				t.Errorf("%s: %+v, %q, %v", source, d, data, err)
			}
		}
	}
}

// TestDownloadedText: a text from the web is converted, and tells its signs, like a file.
func TestDownloadedText(t *testing.T) {
	for _, c := range []struct {
		name, sent, want string
		form             charset.Form
		signs            charset.Signs
	}{
		{"a.txt", "\ufeffa\rb", "a\rb", charset.Form{}, charset.Signs{CR: true}},
		{"a.txt.gz", zipped(t, "\ufeffa\nb"), "a\nb", charset.Form{}, charset.Signs{}},
		{"a.txt", "a\xe9\n", "aé\n", charset.Form{Encoding: "windows-1252"}, charset.Signs{}},
		{"a.txt", "a\xe9\n", "a\xe9\n", charset.Form{}, charset.Signs{Likely: "windows-1252", Invalid: charset.Invalid{Count: 1, Offset: 1, Byte: 0xe9}}},
		{"a.txt", "\xff\xfea\x00", "\xff\xfea\x00", charset.Form{}, charset.Signs{UTF16: "utf-16", Invalid: charset.Invalid{Count: 2, Byte: 0xff}}},
	} {
		o := &ResolveOptions{Cache: t.TempDir(), Form: c.form, Transport: page(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("If-None-Match") != "" {
				return answer(304, ""), nil
			}
			return answer(200, c.sent, "Etag", `"1"`), nil
		})}
		for round := range 2 {
			docs, err := Resolve(t.Context(), []string{"https://h.test/" + c.name}, o)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(docs[0].Path)
			if err != nil || string(text) != c.want || docs[0].Signs != c.signs {
				t.Errorf("%q, round %d: got %q, %v, with %+v", c.sent, round, text, err, docs[0].Signs)
			}
		}
	}
}
