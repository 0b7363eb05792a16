package corpus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/quire-ml/quire/runners/store"
)

// ErrNone is wrapped by the error of a source that names no file and no folder.
var ErrNone = errors.New("no such file or folder")

// meta are the characters that make a source a pattern.
const meta = `*?[{\`

// files resolves a local source.
func files(_ context.Context, source string, o *ResolveOptions) ([]Document, error) {
	abs, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(abs)
	switch {
	case err == nil && !info.IsDir():
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("it is not a regular file but %v", info.Mode().Type())
		}
		return []Document{{Name: filepath.Base(abs), Path: abs, Bytes: info.Size()}}, nil
	case err == nil:
		docs, err := matching(abs, "**", o)
		if err == nil && len(docs) == 0 {
			err = wrong(Sources, "the folder has no regular file")
		}
		return docs, err
	}
	if link, linkErr := os.Readlink(abs); linkErr == nil {
		return nil, brokenLink(abs, link)
	}
	if !strings.ContainsAny(source, meta) {
		return nil, wrong(Sources, "%w", ErrNone)
	}
	if !doublestar.ValidatePattern(source) {
		return nil, wrong(Sources, "the pattern is malformed")
	}
	root, pattern, err := splitPattern(source)
	if err != nil {
		return nil, err
	}
	docs, err := matching(root, pattern, o)
	if err == nil && len(docs) == 0 {
		err = noFile(root, pattern, o)
	}
	return docs, err
}

// noFile returns the error of a pattern that matches no file.
func noFile(root, pattern string, o *ResolveOptions) error {
	t, err := newTree(root, o)
	if err != nil {
		return err
	}
	folder := ""
	err = doublestar.GlobWalk(t, pattern, func(name string, _ fs.DirEntry) error {
		if info, err := os.Stat(t.path(name)); err == nil && info.IsDir() && name != "." {
			folder = t.path(name)
			return fs.SkipAll
		}
		return nil
	}, doublestar.WithNoHidden())
	if folder != "" {
		return onlyFolders(folder)
	}
	return cmp.Or(err, wrong(Sources, "no file matches the pattern"))
}

func onlyFolders(folder string) error {
	return wrong(Sources, "no file matches the pattern, but the folder %s does; for the files below it, write /** behind the pattern", folder)
}

// splitPattern cuts a pattern behind the folders that exist under their very names.
func splitPattern(source string) (root, pattern string, err error) {
	pattern = filepath.ToSlash(filepath.Clean(source))
	if path.IsAbs(pattern) {
		root, pattern = "/", strings.TrimPrefix(pattern, "/")
	}
	if root, err = filepath.Abs(root); err != nil {
		return "", "", err
	}
	for {
		name, rest, ok := strings.Cut(pattern, "/")
		folder := filepath.Join(root, name)
		if info, err := os.Stat(folder); !ok || err != nil || !info.IsDir() {
			return root, pattern, nil
		}
		root, pattern = folder, rest
	}
}

// matching returns the regular files below root whose paths match a pattern.
func matching(root, pattern string, o *ResolveOptions) ([]Document, error) {
	t, err := newTree(root, o)
	if err != nil {
		return nil, err
	}
	var docs []Document
	seen := map[string]bool{} // one file may match a pattern in several ways
	err = doublestar.GlobWalk(t, pattern, func(name string, _ fs.DirEntry) error {
		file := t.path(name)
		info, err := os.Stat(file)
		switch {
		case err != nil:
			if link, linkErr := os.Readlink(file); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
				return brokenLink(file, link)
			}
			return err
		case seen[name] || !info.Mode().IsRegular():
			return nil
		case madeHere(name):
			return notText(file)
		}
		seen[name] = true
		if strings.HasSuffix(file, name) {
			name = file[len(file)-len(name):] // the same memory: there may be millions
		}
		docs = append(docs, Document{Name: name, Path: file, Bytes: info.Size()})
		return nil
	}, doublestar.WithFilesOnly(), doublestar.WithNoHidden(), doublestar.WithFailOnIOErrors())
	return docs, err
}

// madeHere reports whether a name is one of a shard or a checkpoint, of whatever workdir.
func madeHere(name string) bool {
	ext := path.Ext(name)
	return ext == ".tfrecord" || ext == ".safetensors"
}

func notText(file string) error {
	return wrong(Sources, "%s is no text but a file of a set or of a training; "+
		"name the folders of the texts, or a pattern such as **/*.txt", file)
}

func brokenLink(file, target string) error {
	return wrong(Sources, "%s is a link to %s, and there is none; remove the link, or restore what it names", file, target)
}

// A tree is a folder for a walk that follows links. It hides what is left out.
type tree struct {
	root  string
	real  map[string]string // of the folders seen: their paths without links
	leave map[string]string // path without links → path as the caller named it
	left  func(path string)
}

func newTree(root string, o *ResolveOptions) (*tree, error) {
	at, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	t := &tree{root: root, real: map[string]string{".": at}, leave: map[string]string{}, left: o.Left}
	for _, name := range o.LeaveOut {
		if abs, err := filepath.Abs(name); err == nil && !store.IsURL(name) {
			if abs, err = filepath.EvalSymlinks(abs); err == nil {
				t.leave[abs] = name
			}
		}
	}
	return t, nil
}

// within reports whether a path is dir or below dir.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func (t *tree) path(name string) string { return filepath.Join(t.root, filepath.FromSlash(name)) }

// Open implements fs.FS.
func (t *tree) Open(name string) (fs.File, error) { return os.Open(t.path(name)) }

// Stat implements fs.StatFS.
func (t *tree) Stat(name string) (fs.FileInfo, error) { return os.Stat(t.path(name)) }

// ReadDir implements fs.ReadDirFS. A folder that a link in it has led back to is an error.
func (t *tree) ReadDir(name string) ([]fs.DirEntry, error) {
	at, err := t.realPath(name)
	if err != nil {
		return nil, err
	}
	for up := name; up != "."; {
		up = path.Dir(up)
		if above, err := t.realPath(up); err != nil {
			return nil, err
		} else if above == at {
			return nil, wrong(Sources, "the link %s leads back to %s, a folder above it; remove the link", t.path(name), t.path(up))
		}
	}
	entries, err := os.ReadDir(t.path(name))
	if err != nil {
		return nil, err
	}
	kept := entries[:0]
	for _, e := range entries {
		if !t.leaves(path.Join(name, e.Name()), filepath.Join(at, e.Name()), e) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// realPath returns the path of a folder without links.
func (t *tree) realPath(name string) (string, error) {
	if at, ok := t.real[name]; ok {
		return at, nil
	}
	at, err := filepath.EvalSymlinks(t.path(name))
	if err == nil {
		t.real[name] = at
	}
	return at, err
}

// leaves reports whether an entry is left out. at is its path, without links but itself.
func (t *tree) leaves(name, at string, e fs.DirEntry) bool {
	if len(t.leave) == 0 {
		return false
	}
	if e.Type()&fs.ModeSymlink != 0 {
		var err error
		if at, err = filepath.EvalSymlinks(t.path(name)); err != nil {
			return false // a broken link, which is an error where it matches
		}
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		if named, ok := t.leave[dir]; ok {
			if t.left != nil {
				t.left(named)
			}
			return true
		}
		if dir == filepath.Dir(dir) || e.Type()&fs.ModeSymlink == 0 {
			return false // the folders above have been looked at
		}
	}
}
