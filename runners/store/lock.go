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

// lock locks a folder against other swaps and deletions in it, of any process.
// The lock is on the folder itself and leaves no file; where that is not
// possible, as on NFS, it is on the file .lock in it.
func (l *local) lock(ctx context.Context, root *os.Root, dir string) (unlock func(), err error) {
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
		if err := wait(ctx, pause); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// settled waits until the writer of an open file, if it lives, has made the file's
// name durable or taken it back: it holds a lock on the file until then. A file system
// without locks has no answer.
func (l *local) settled(ctx context.Context, f *os.File, name string) error {
	for pause := lockPause; ; pause = min(2*pause, lockPauseMax) {
		err := l.do("lock", name, func() error { return flock(f, unix.LOCK_SH|unix.LOCK_NB) })
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		if err := wait(ctx, pause); err != nil {
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

// sweep removes the temporary files in a folder whose writers are dead: those
// that are not locked. It does so once a folder and store.
func (l *local) sweep(root *os.Root, dir string) error {
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

// sweepFile removes a temporary file that nobody writes. One that it cannot
// judge stays: the cost is space.
func sweepFile(root *os.Root, name string) {
	f, err := root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
		root.Remove(name)
	}
}
