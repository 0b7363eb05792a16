package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// IsURL reports whether path is a URL, and not a path of this machine.
func IsURL(path string) bool { return strings.Contains(path, "://") }

// Locate returns where path lies, seen from dir: path itself if it is absolute or
// a URL, else path below dir. dir may be a URL; an empty path or "." is dir.
func Locate(dir, path string) string {
	switch {
	case path == "" || path == ".":
		return dir
	case IsURL(path) || filepath.IsAbs(path):
		return path
	case IsURL(dir):
		return strings.TrimSuffix(dir, "/") + "/" + path
	}
	return filepath.Join(dir, path)
}

// A Path is the place of an object, a folder or a URL. A relative one is a name
// below the folder that its owner says, so that what holds it can move with the
// folder.
type Path string

// In returns where the path lies, seen from dir; empty for an empty path.
func (p Path) In(dir string) string {
	if p == "" {
		return ""
	}
	return Locate(dir, string(p))
}

// Below is the inverse of Locate: it returns the name below dir of what lies at
// path. Where path is not below dir, it returns path, absolute.
func Below(dir, path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/")+"/"); ok && IsURL(dir) {
		return rest, nil
	}
	path, err := Absolute(path)
	if err != nil || IsURL(path) || IsURL(dir) {
		return path, err
	}
	if dir, err = Absolute(dir); err != nil {
		return "", err
	}
	if name, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(name) {
		return filepath.ToSlash(name), nil
	}
	return path, nil
}

// Absolute returns a form of path that means the same in every working directory.
// A URL stays as it is.
func Absolute(path string) (string, error) {
	if IsURL(path) {
		return path, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("store: %s: %w", path, err)
	}
	return abs, nil
}

// Split returns the folder or URL in which the object at path lies, and its name
// there.
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	switch {
	case IsURL(path):
		return path[:i], path[i+1:]
	case i < 0:
		return ".", path
	}
	return path[:max(i, 1)], path[i+1:]
}

// OpenAt opens the store of the folder or URL in which the object at path lies. It
// returns the object's name there.
func OpenAt(ctx context.Context, path string) (s *Store, name string, err error) {
	dir, name := Split(path)
	s, err = Open(ctx, dir)
	return s, name, err
}
