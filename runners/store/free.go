package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Free returns the free bytes of a local store's file system. The store's folder may be
// absent. ok is false for other stores, which have no limit.
func (s *Store) Free() (bytes int64, ok bool, err error) {
	dir, ok := s.Local()
	if !ok {
		return 0, false, nil
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return 0, true, fmt.Errorf("store: %s: %w", s.URL(), err)
	}
	for {
		var f unix.Statfs_t
		err := unix.Statfs(dir, &f)
		if err == nil {
			return int64(f.Bavail) * int64(f.Bsize), true, nil
		}
		up := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) || up == dir {
			return 0, true, fmt.Errorf("store: %s: free space: %w", s.URL(), err)
		}
		dir = up
	}
}
