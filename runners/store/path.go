package store

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// IsURL reports whether path is a URL, and not a path of this machine.
func IsURL(path string) bool { return strings.Contains(path, "://") }

// Locate resolves path against dir: an absolute path or a URL stays, an empty path or
// "." is dir, and any other path is below dir. dir may be a URL.
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

// A Path is the path or URL of an object or a folder. A relative Path is below a folder
// that its owner names, so that a record that holds the Path can move with the folder.
type Path string

// In resolves the path against dir, as Locate does; an empty path stays empty.
func (p Path) In(dir string) string {
	if p == "" {
		return ""
	}
	return Locate(dir, string(p))
}

// Below is the inverse of Locate: it returns the part of path below dir, with slashes. A
// path that is not below dir is returned in its absolute form. Below fails where the
// working directory is unknown.
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

// Absolute returns a form of path that means the same in every working directory. A URL
// stays as it is. Absolute fails where the working directory is unknown.
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

// Split cuts path at its last slash: dir is the folder or URL of the object, name is its
// name there. dir is "." where path has no slash.
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

// OpenAt opens the store of the folder or URL of the object at path, and returns the
// object's name there. It fails as Open does. Close the store in the end.
func OpenAt(ctx context.Context, path string) (s *Store, name string, err error) {
	dir, name := Split(path)
	s, err = Open(ctx, dir)
	return s, name, err
}
