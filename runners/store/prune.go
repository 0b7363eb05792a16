package store

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"syscall"
)

// Prune removes what a local store keeps of the folder name when its objects are deleted:
// temporary files of writers that have died, and folders without anything in them. A
// folder that holds more stays. A bucket has no folders. No process may be writing there.
func (s *Store) Prune(ctx context.Context, name string) error {
	full, err := s.full(name)
	l, ok := s.d.(*local)
	if err != nil || !ok {
		return err
	}
	root, err := l.root()
	if err == nil {
		err = l.prune(ctx, root, full)
		root.Close()
	}
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	return s.wrap(name, err)
}

func (l *local) prune(ctx context.Context, root *tree, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if info, err := root.Lstat(filepath.FromSlash(dir)); err != nil || !info.IsDir() {
		return localError(err) // a link is a person's
	}
	d, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return localError(err)
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return localError(err)
	}
	left := 0
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case entry.IsDir():
			if err := l.prune(ctx, root, name); err != nil && !errors.Is(err, ErrNotExist) {
				return err
			}
		case tempPattern.MatchString(entry.Name()):
			sweepFile(root, filepath.FromSlash(name))
		default:
			left++
		}
	}
	if left > 0 {
		return nil
	}
	err = l.do("remove", dir, func() error { return root.Remove(filepath.FromSlash(dir)) })
	switch {
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return nil // a folder below stays, or somebody writes
	case err != nil:
		return localError(err)
	}
	return l.syncFolder(root, path.Dir(dir))
}
