package corpus

import (
	"io"
	"io/fs"
	"syscall"
)

// smallBytes bounds the documents that are opened as small files.
const smallBytes = 64 << 10

// A smallFile is a file that is open for one or two reads. A corpus may have millions, and
// an os.File takes twice the calls of the system.
type smallFile int

func openSmall(name string) (f smallFile, err error) {
	for {
		fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return smallFile(fd), nil
	}
}

// ReadAt implements io.ReaderAt.
func (f smallFile) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		got, err := syscall.Pread(int(f), p[n:], off+int64(n))
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return n, err
		case got == 0:
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}

// Close implements io.Closer.
func (f smallFile) Close() error { return syscall.Close(int(f)) }

// size returns the file's size.
func (f smallFile) size() (int64, error) {
	var s syscall.Stat_t
	err := syscall.Fstat(int(f), &s)
	return s.Size, err
}
