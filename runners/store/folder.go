package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// makeFolder makes the folder dir of the store and those above it, durably. It returns
// the root of the store.
func (l *local) makeFolder(dir string) (*tree, error) {
	root, err := l.root()
	if errors.Is(err, ErrNotExist) {
		if err = l.makePath(l.dir); err == nil {
			root, err = l.root()
		}
	}
	if err != nil {
		return nil, err
	}
	if err := l.makeBelow(root, dir); err != nil {
		root.Close()
		return nil, err
	}
	return root, nil
}

// makePath makes the folder name, inside or outside the store, and those above it.
func (l *local) makePath(name string) error {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is a file or below one, want a folder", name)
	case !errors.Is(err, fs.ErrNotExist):
		return localError(err)
	}
	parent := filepath.Dir(name)
	if err := l.makePath(parent); err != nil {
		return err
	}
	err = l.do("mkdir", name, func() error { return os.Mkdir(name, 0o777) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return localError(err)
	}
	d, err := os.Open(parent)
	if err != nil {
		return localError(err)
	}
	defer d.Close()
	return l.syncOpen(d, parent)
}

// makeBelow makes the folder dir below root, and those above it.
func (l *local) makeBelow(root *tree, dir string) error {
	info, err := root.Stat(filepath.FromSlash(dir))
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil || errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is a file or below one, want a folder", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return localError(err)
	}
	parent := path.Dir(dir)
	if err := l.makeBelow(root, parent); err != nil {
		return err
	}
	err = l.do("mkdir", dir, func() error { return root.Mkdir(filepath.FromSlash(dir), 0o777) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return localError(err)
	}
	return l.syncFolder(root, parent)
}

// syncFolder makes the names in a folder durable.
func (l *local) syncFolder(root *tree, dir string) error {
	d, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return localError(err)
	}
	defer d.Close()
	return l.syncOpen(d, dir)
}

// sync makes a file or folder durable. No other function calls Sync.
func (l *local) sync(op, name string, f *os.File) error { return l.do(op, name, f.Sync) }

func (l *local) syncOpen(d *os.File, dir string) error {
	err := l.sync("syncdir", dir, d)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // some network file systems cannot sync a folder
	}
	return localError(err)
}
