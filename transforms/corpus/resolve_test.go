package corpus

import (
	"fmt"
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
