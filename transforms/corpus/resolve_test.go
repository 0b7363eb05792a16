package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func names(docs []Document) string {
	var all []string
	for _, d := range docs {
		all = append(all, fmt.Sprintf("%s:%d", d.Name, d.Bytes))
	}
	return strings.Join(all, " ")
}

func TestResolveFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b.txt": "22", "a.txt": "1", ".hidden": "x", "sub/c.txt": "333", "sub/.git/x": "x", "sub/deep/d.md": "4444",
		"odd [1].txt": "55555", "odd*.txt": "666666", "empty": "", "other/c.txt": "7777777",
	} {
		put(t, dir, name, text)
	}
	t.Chdir(dir)
	for _, c := range []struct{ sources, want string }{
		{"a.txt", "a.txt:1"},
		{"b.txt a.txt", "a.txt:1 b.txt:2"},
		{"sub", "c.txt:3 deep/d.md:4"},
		{"sub/", "c.txt:3 deep/d.md:4"},
		{".", "a.txt:1 b.txt:2 empty:0 odd [1].txt:5 odd*.txt:6 other/c.txt:7 sub/c.txt:3 sub/deep/d.md:4"},
		{"*.txt", "a.txt:1 b.txt:2 odd [1].txt:5 odd*.txt:6"},
		{"odd*.txt", "odd*.txt:6"}, // a file of that very name wins
		{"odd\\ [[]1].txt", "odd [1].txt:5"},
		{"[ab].txt", "a.txt:1 b.txt:2"},
		{"*/c.txt", "other/c.txt:7 sub/c.txt:3"},
		{"sub/*/d.*", "deep/d.md:4"},
		{dir + "/su?/*.txt", "sub/c.txt:3"},
	} {
		docs, err := Resolve(t.Context(), strings.Split(strings.ReplaceAll(c.sources, "\\ ", "\x00"), " "), nil)
		if strings.Contains(c.sources, "\\ ") {
			docs, err = Resolve(t.Context(), []string{strings.ReplaceAll(c.sources, "\\ ", " ")}, nil)
		}
		if err != nil || names(docs) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.sources, names(docs), err, c.want)
		}
		for _, d := range docs {
			if info, err := os.Stat(d.Path); err != nil || !filepath.IsAbs(d.Path) || info.Size() != d.Bytes {
				t.Errorf("%s: path %s: %v", d.Name, d.Path, err)
			}
		}
	}
}

func TestResolveErrors(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "one/c.txt", "1")
	put(t, dir, "two/c.txt", "2")
	put(t, dir, "none/.hidden", "3")
	put(t, dir, "empty/a", "")
	put(t, dir, "x.gz", "4")
	t.Chdir(dir)
	zeros := strings.Repeat("0", 64)
	for _, c := range []struct {
		sources []string
		sum     string
		want    []string
	}{
		{nil, "", []string{"corpus: no sources; use files"}},
		{[]string{""}, "", []string{"empty source"}},
		{[]string{"missing.txt"}, "", []string{"corpus: missing.txt: no such file or folder"}},
		{[]string{"*.doc"}, "", []string{"corpus: *.doc: no file matches"}},
		{[]string{"[a"}, "", []string{"malformed"}},
		{[]string{"none"}, "", []string{"corpus: none: the folder has no regular file"}},
		{[]string{"empty"}, "", []string{"empty: the corpus has 0 bytes"}},
		{[]string{"one", "two"}, "", []string{"one/c.txt", "two/c.txt", `would both be document "c.txt"`}},
		{[]string{"one", "one/c.txt"}, "", []string{`would both be document "c.txt"`}},
		{[]string{"x.gz"}, "", []string{"gunzip"}},
		{[]string{"ftp://h/x"}, "", []string{"unknown scheme ftp://"}},
		{[]string{"http://h/x"}, "", []string{"unknown scheme http://"}},
		{[]string{"https://h/x.txt"}, "", []string{"no folder to download to"}},
		{[]string{"one/c.txt"}, zeros, []string{zeros, "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}},
		{[]string{"*/c.txt"}, zeros, []string{"sha256 is for a corpus of one document, but the sources have 2"}},
	} {
		docs, err := Resolve(t.Context(), c.sources, &ResolveOptions{SHA256: c.sum})
		if err == nil {
			t.Errorf("%q: got %s", c.sources, names(docs))
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %v, want %s", c.sources, err, want)
			}
		}
	}
	docs, err := Resolve(t.Context(), []string{"one/c.txt"}, &ResolveOptions{SHA256: "6B86B273FF34FCE19D6B804EFF5A3F5747ADA4EAA22F1D49C01E52DDB7875B4B"})
	if err != nil || names(docs) != "c.txt:1" {
		t.Errorf("right sha256: %v %v", docs, err)
	}
}

// A library serves one text over https.
type library struct {
	*httptest.Server
	text   string
	served int
	cut    bool // stop in the middle
}

func newLibrary(t *testing.T) *library {
	l := &library{text: "To be, or not to be"}
	l.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.served++
		if r.URL.Path != "/books/hamlet.txt" {
			http.NotFound(w, r)
			return
		}
		if l.cut {
			w.Header().Set("Content-Length", fmt.Sprint(len(l.text)))
			io.WriteString(w, l.text[:5])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, l.text)
	}))
	t.Cleanup(l.Close)
	return l
}

func TestDownload(t *testing.T) {
	l := newLibrary(t)
	cache := t.TempDir()
	url := l.URL + "/books/hamlet.txt?raw=1"
	sum := sha256.Sum256([]byte(l.text))
	o := &ResolveOptions{Cache: cache, Client: l.Client()}
	get := func(url string) ([]Document, error) { return Resolve(t.Context(), []string{url}, o) }

	l.cut = true
	if _, err := get(url); err == nil || !strings.Contains(err.Error(), "stopped after 5 bytes") {
		t.Errorf("cut download: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*", "*")); len(left) > 0 {
		t.Errorf("a cut download left %q", left)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "*", ".*")); len(left) > 0 {
		t.Errorf("a cut download left %q", left)
	}
	l.cut, l.served = false, 0
	for range 2 {
		docs, err := get(url)
		if err != nil || names(docs) != "hamlet.txt:19" {
			t.Fatalf("got %s, %v", names(docs), err)
		}
		if got, err := os.ReadFile(docs[0].Path); err != nil || string(got) != l.text {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if l.served != 1 {
		t.Errorf("served %d times", l.served)
	}
	// A cached file that was damaged is downloaded again, if sha256 is given.
	o.SHA256 = hex.EncodeToString(sum[:])
	docs, _ := get(url)
	if err := os.WriteFile(docs[0].Path, []byte("To bee, or not to b"), 0o644); err != nil {
		t.Fatal(err)
	}
	docs, err := get(url)
	if err != nil || l.served != 2 {
		t.Fatalf("served %d times, %v", l.served, err)
	}
	if got, _ := os.ReadFile(docs[0].Path); string(got) != l.text {
		t.Errorf("got %q", got)
	}
	o.SHA256 = strings.Repeat("0", 64)
	if _, err := get(url); err == nil || !strings.Contains(err.Error(), hex.EncodeToString(sum[:])) || !strings.Contains(err.Error(), o.SHA256) {
		t.Errorf("other sha256: %v", err)
	}
	o.SHA256 = ""
	if _, err := get(l.URL + "/lost.txt"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("lost: %v", err)
	}
	l.Close()
	if _, err := get(l.URL + "/new.txt"); err == nil || !strings.Contains(err.Error(), "without network, use a local file") {
		t.Errorf("no network: %v", err)
	}
	if docs, err := get(url); err != nil || len(docs) != 1 {
		t.Errorf("cached, no network: %v", err)
	}
}
