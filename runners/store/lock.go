package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockPause    = time.Millisecond      // between two attempts to lock, doubled up to
	lockPauseMax = 50 * time.Millisecond // this
)

// lock excludes other swaps and deletions in a folder, of every process. The lock is an
// flock on the folder itself. Where a folder cannot be locked, as on NFS, the lock is on
// the file .lock in the folder.
func (l *local) lock(ctx context.Context, root *tree, dir string) (unlock func(), err error) {
	f, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return nil, localError(err)
	}
	for pause := lockPause; ; pause = min(2*pause, lockPauseMax) {
		err := l.do("lock", f.Name(), func() error { return flock(f, unix.LOCK_EX|unix.LOCK_NB) })
		switch {
		case err == nil:
			return func() { f.Close() }, nil
		case errors.Is(err, unix.EBADF) && path.Base(f.Name()) != lockName:
			f.Close()
			f, err = root.OpenFile(filepath.FromSlash(path.Join(dir, lockName)), os.O_RDWR|os.O_CREATE, 0o666)
			if err != nil {
				return nil, localError(err)
			}
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			f.Close()
			return nil, localError(err)
		}
		if err := Wait(ctx, pause); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// settled waits until the writer of an open file has made the file's name durable, has
// taken the name back, or is dead. The writer locks the file until then. On a file
// system without locks settled does not wait.
func (l *local) settled(ctx context.Context, f *os.File, name string) error {
	for pause := lockPause; ; pause = min(2*pause, lockPauseMax) {
		err := l.do("lock", name, func() error { return flock(f, unix.LOCK_SH|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		if err := Wait(ctx, pause); err != nil {
			return err
		}
	}
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// sweep removes the temporary files in a folder whose writers are dead: the unlocked
// ones. A store sweeps each folder once.
func (l *local) sweep(root *tree, dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.swept[dir] {
		return nil
	}
	d, err := root.Open(filepath.FromSlash(dir))
	if err != nil {
		return localError(err)
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(1024)
		for _, name := range names {
			if tempPattern.MatchString(name) {
				sweepFile(root, filepath.FromSlash(path.Join(dir, name)))
			}
		}
		if err == io.EOF {
			l.swept[dir] = true
			return nil
		}
		if err != nil {
			return localError(err)
		}
	}
}

// sweepFile removes a temporary file that no process writes. A file that cannot be
// opened or locked stays, and costs space.
func sweepFile(root *tree, name string) {
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
		root.Remove(name)
	}
}
