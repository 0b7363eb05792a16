package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store/gcstest"
)

// link makes a link below dir.
func link(t *testing.T, dir, name, target string) {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, file); err != nil {
		t.Fatal(err)
	}
}

// resolved returns the documents of one source, or the error.
func resolved(t *testing.T, source string, o *ResolveOptions) string {
	t.Helper()
	docs, err := Resolve(t.Context(), []string{source}, o)
	if err != nil {
		return err.Error()
	}
	return names(docs)
}

// TestLinks reads folders in which a cache of downloads, git-annex or a build keeps links.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "blobs/86c4", "1")
	put(t, dir, "elsewhere/deep/d.txt", "4444")
	link(t, dir, "snapshot/a.txt", "../blobs/86c4")
	link(t, dir, "snapshot/abs.txt", filepath.Join(dir, "blobs/86c4"))
	link(t, dir, "snapshot/sub", "../elsewhere")
	link(t, dir, "snapshot/.hidden", "../nothing")
	link(t, dir, "whole", "snapshot")
	link(t, dir, "one.txt", "blobs/86c4")
	for source, want := range map[string]string{
		"snapshot":          "a.txt:1 abs.txt:1 sub/deep/d.txt:4",
		"snapshot/**":       "a.txt:1 abs.txt:1 sub/deep/d.txt:4",
		"snapshot/**/*.txt": "a.txt:1 abs.txt:1 sub/deep/d.txt:4",
		"snapshot/*":        "a.txt:1 abs.txt:1",
		"whole":             "a.txt:1 abs.txt:1 sub/deep/d.txt:4",
		"who*/sub/*/*":      "whole/sub/deep/d.txt:4",
		"one.txt":           "one.txt:1",
	} {
		t.Chdir(dir)
		if got := resolved(t, source, nil); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

// TestBadLinks: a link to nothing and a link that leads back are errors that name it,
// whether a folder or a pattern finds it.
func TestBadLinks(t *testing.T) {
	for what, c := range map[string]struct{ name, target, want string }{
		"to nothing":    {"lost.txt", "gone.txt", "/lost.txt is a link to gone.txt, and there is none"},
		"to itself":     {"loop.txt", "loop.txt", "too many levels of symbolic links"},
		"to its folder": {"sub/up", ".", "/sub/up leads back to "},
		"to a parent":   {"sub/up", "../..", "/sub/up/texts leads back to "},
	} {
		dir := filepath.Join(t.TempDir(), "texts")
		put(t, dir, "a.txt", "1")
		link(t, dir, c.name, c.target)
		for _, source := range []string{dir, dir + "/**", dir + "/**/*.txt"} {
			if got := resolved(t, source, nil); !strings.Contains(got, c.want) || !strings.Contains(got, filepath.Join(dir, c.name)) {
				t.Errorf("%s: %s: got %s, want %q", what, source, got, c.want)
			}
		}
	}
	dir := t.TempDir()
	put(t, dir, "a.md", "1")
	link(t, dir, "lost.txt", "gone.txt")
	if got := resolved(t, dir+"/*.md", nil); got != "a.md:1" {
		t.Errorf("a link that no pattern matches: %s", got)
	}
	if got := resolved(t, dir+"/lost.txt", nil); !strings.Contains(got, "is a link to gone.txt") {
		t.Errorf("a link as the source: %s", got)
	}
}

// patterns are patterns for the names of patternTexts, with the documents that they match.
var patterns = map[string]string{
	"**/*.txt":              "a.txt:1 d,e/f.txt:4 sub/b.txt:2 sub/deep/c.txt:3",
	"**":                    "a.txt:1 d,e/f.txt:4 sub/b.txt:2 sub/deep/c.txt:3 sub/deep/x.md:5 what?.md:9 x #1 [1] 100%.md:6",
	"{a,sub/b}.txt":         "a.txt:1 sub/b.txt:2",
	"sub/**/c.txt":          "deep/c.txt:3",
	"**/**/c.txt":           "sub/deep/c.txt:3",
	"*/{c,b}.txt":           "sub/b.txt:2",
	"{*,**/x}.md":           "sub/deep/x.md:5 what?.md:9 x #1 [1] 100%.md:6",
	"x #1 [1] 100%.md":      "x #1 [1] 100%.md:6",
	"what?.md":              "what?.md:9",
	`what\?.md`:             "what?.md:9",
	"x #1 [[]1] 100*":       "x #1 [1] 100%.md:6",
	"d,e/*":                 "f.txt:4",
	".hid/*.txt":            "h.txt:7",
	"[^a-c].txt":            "no file matches the pattern",
	"sub/d*":                "/sub/deep does; for the files below it, write /** behind the pattern",
	"su[b]":                 "/sub does; for the files below it, write /** behind the pattern",
	"*/*/*/**":              "no file matches the pattern",
	"*/deep/**":             "c.txt:3 sub/deep/x.md:5",
	"*.txt/**":              "no file matches the pattern",
	"{a,b":                  "the pattern is malformed",
	"sub/deep/../../[ab].*": "a.txt:1",
}

var patternTexts = map[string]string{"a.txt": "1", "sub/b.txt": "22", "sub/deep/c.txt": "333", "d,e/f.txt": "4444",
	"sub/deep/x.md": "55555", "x #1 [1] 100%.md": "666666", ".hid/h.txt": "7777777", "sub/.y.txt": "88888888", "what?.md": "999999999"}

func TestPatterns(t *testing.T) {
	dir := t.TempDir()
	for name, text := range patternTexts {
		put(t, dir, name, text)
	}
	t.Chdir(dir)
	for pattern, want := range patterns {
		if got := resolved(t, pattern, nil); got != want && !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
	if got, err := Resolve(t.Context(), []string{"d", "e/f.txt"}, nil); err == nil || !strings.Contains(err.Error(), `there is "d,e/f.txt": write a list`) {
		t.Errorf("a name cut at its comma: %v, %v", got, err)
	}
	// Folders whose names could be patterns are folders.
	put(t, dir, "odd [1]{2}/*/z.txt", "1")
	for _, source := range []string{"odd [1]{2}", "odd [1]{2}/**/*.txt", "odd [1]{2}/*/*.txt"} {
		if got := resolved(t, source, nil); !strings.HasSuffix(got, "z.txt:1") {
			t.Errorf("%s: got %s", source, got)
		}
	}
}

// TestObjectPatterns: patterns mean the same in a bucket.
func TestObjectPatterns(t *testing.T) {
	server := gcstest.New(t)
	for name, text := range patternTexts {
		server.Set("bucket", "texts/"+name, []byte(text))
	}
	server.Set("bucket", "texts/folder/", nil)
	for pattern, want := range patterns {
		switch pattern {
		case "sub/deep/../../[ab].*": // an object's name has no such elements
			continue
		case "[^a-c].txt", "*/*/*/**", "*.txt/**":
			want = "no such object"
		}
		if got := resolved(t, "gs://bucket/texts/"+pattern, nil); got != want && !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %s", pattern, got, want)
		}
	}
	out := &ResolveOptions{LeaveOut: []string{"gs://bucket/texts/sub"}}
	if got := resolved(t, "gs://bucket/texts/**/*.txt", out); got != "a.txt:1 d,e/f.txt:4" {
		t.Errorf("sub is not left out: %s", got)
	}
	if got := resolved(t, "gs://bucket/texts/sub/deep", out); got != "c.txt:3 x.md:5" {
		t.Errorf("a source inside sub: %s", got)
	}
}

// TestLeaveOut: a folder that is left out is not read, whatever leads to it; a source
// inside it is.
func TestLeaveOut(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a.txt", "1")
	put(t, dir, "work/sets/1/manifest.json", "22")
	put(t, dir, "work/notes.txt", "333")
	link(t, dir, "by link", "work/sets/1")
	link(t, dir, "last", "work/sets/1/manifest.json")
	link(t, dir, "other/work", "../work")
	t.Chdir(dir)
	var left []string
	o := &ResolveOptions{LeaveOut: []string{"work/sets", filepath.Join(dir, "work/rounds")}, Left: func(path string) { left = append(left, path) }}
	for source, want := range map[string]string{
		".":                 "a.txt:1 other/work/notes.txt:3 work/notes.txt:3",
		dir:                 "a.txt:1 other/work/notes.txt:3 work/notes.txt:3",
		"**/*":              "a.txt:1 other/work/notes.txt:3 work/notes.txt:3",
		"work":              "notes.txt:3",
		"*/*/*/*":           "no file matches the pattern",
		"other/work":        "notes.txt:3",
		"work/sets/1":       "manifest.json:2",
		"work/sets/1/*json": "manifest.json:2",
	} {
		left = nil
		if got := resolved(t, source, o); got != want && !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
		if inside := strings.HasPrefix(source, "work/sets"); slices.Contains(left, "work/sets") == inside {
			t.Errorf("%s: left out %q", source, left)
		}
	}
	put(t, dir, "other/run/checkpoints/step-1.safetensors", "1")
	if got := resolved(t, ".", o); !strings.Contains(got, "step-1.safetensors is no text but a file of a set or of a training") {
		t.Errorf("another workdir: %s", got)
	}
}
