package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// digestBytes is the largest size of a file whose generation is its digest. To write a
// larger file takes longer than a tick of the file system's clock, so time, inode and
// size tell its generations apart. (Tests lower it.)
var digestBytes int64 = 4 << 20

// A local keeps objects as files of a folder. Each operation opens the folder
// again, so the folder may be made, removed or replaced between two of them.
type local struct {
	dir   string
	fault func(op, name string) error      // set by tests: fails an operation
	done  func(op, name string, err error) // set by tests: sees how it ended

	mu    sync.Mutex
	swept map[string]bool // folders without temporary files of killed processes
}

func newLocal(dir string) *local {
	l := &local{dir: dir, swept: map[string]bool{}}
	if f := faults.Load(); f != nil {
		l.fault = *f
	}
	if f := watcher.Load(); f != nil {
		l.done = *f
	}
	return l
}

func (l *local) join(name string) string { return filepath.Join(l.dir, filepath.FromSlash(name)) }

// do calls f, the file operation op on name, unless a test fails it.
func (l *local) do(op, name string, f func() error) error {
	if l.fault != nil {
		if err := l.fault(op, name); err != nil {
			return err
		}
	}
	err := f()
	if l.done != nil {
		l.done(op, name, err)
	}
	return err
}

// root opens the folder of the store.
func (l *local) root() (*tree, error) {
	if info, err := os.Stat(l.dir); err == nil && !info.IsDir() {
		return nil, ErrNotExist // there is nothing below a file; the opening of a named pipe would wait for its writer
	}
	root, err := openTree(l.dir)
	return root, localError(err)
}

// openFile opens the file of an object.
func (l *local) openFile(name string) (*os.File, fs.FileInfo, error) {
	root, err := l.root()
	if err != nil {
		return nil, nil, err
	}
	defer root.Close()
	return l.openIn(root, name)
}

func (l *local) openIn(root *tree, name string) (f *os.File, info fs.FileInfo, err error) {
	err = l.do("open", name, func() error {
		// Without O_NONBLOCK, opening a named pipe would wait for its writer.
		f, err = root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		return err
	})
	if err = localError(err); errors.Is(err, ErrNotExist) && brokenLink(root, name) {
		err = errToNothing
	}
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = notRegular(info)
	}
	if err != nil {
		f.Close()
		return nil, nil, localError(err)
	}
	return f, info, nil
}

// brokenLink reports whether a name that is absent, or a folder that it is in, is a link.
func brokenLink(root *tree, name string) bool {
	for ; name != "."; name = path.Dir(name) {
		if info, err := root.Lstat(filepath.FromSlash(name)); err == nil {
			return info.Mode()&fs.ModeSymlink != 0 && !linksFolder(root, name)
		}
	}
	return false
}

// notRegular is the error of a file that is not an object. A folder counts as absent, as
// on Cloud Storage.
func notRegular(info fs.FileInfo) error {
	if info.IsDir() {
		return fmt.Errorf("%w: it is a folder", ErrNotExist)
	}
	return fmt.Errorf("it is not a regular file but %v", info.Mode().Type())
}

func (l *local) read(_ context.Context, name string, limit int64) ([]byte, Info, error) {
	f, info, err := l.openFile(name)
	if err != nil {
		return nil, Info{}, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, Info{}, tooLarge(info.Size(), limit)
	}
	data := make([]byte, info.Size())
	err = l.do("read", name, func() error {
		n, err := io.ReadFull(f, data)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("byte %d: the file ends here, want %d bytes: %w", n, len(data), io.ErrUnexpectedEOF)
		}
		return err
	})
	if err != nil {
		return nil, Info{}, localError(err)
	}
	g, err := generation(f, info)
	return data, Info{Name: name, Bytes: info.Size(), Generation: g}, err
}

func (l *local) stat(_ context.Context, name string) (Info, error) {
	f, info, err := l.openFile(name)
	if err != nil {
		return Info{}, err
	}
	defer f.Close()
	g, err := generation(f, info)
	return Info{Name: name, Bytes: info.Size(), Generation: g, Changed: info.ModTime()}, err
}

func (l *local) open(_ context.Context, name string) (ranger, int64, error) {
	f, info, err := l.openFile(name)
	if err != nil {
		return nil, 0, err
	}
	return localRanger{l: l, f: f, name: name}, info.Size(), nil
}

type localRanger struct {
	l    *local
	f    *os.File
	name string
}

func (r localRanger) ReadAt(p []byte, off int64) (n int, err error) {
	err = r.l.do("read", r.name, func() error {
		n, err = r.f.ReadAt(p, off)
		return err
	})
	return n, localError(err)
}

func (r localRanger) Close() error { return localError(r.f.Close()) }

func (l *local) list(ctx context.Context, prefix string) ([]Info, error) {
	root, err := l.root()
	if errors.Is(err, ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var infos []Info
	if err := l.walk(ctx, root, path.Dir(prefix+"x"), prefix, &infos); err != nil {
		return nil, err
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// walk appends the objects of folder dir whose names start with prefix. Files that
// vanish meanwhile are left out.
func (l *local) walk(ctx context.Context, root *tree, dir, prefix string, infos *[]Info) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var entries []fs.DirEntry
	err := l.do("list", dir, func() error {
		d, err := root.Open(filepath.FromSlash(dir))
		if err != nil {
			return err
		}
		defer d.Close()
		entries, err = d.ReadDir(-1)
		return err
	})
	if err = localError(err); errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case hidden(entry.Name()) || !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
		case entry.IsDir() || dir == "." && entry.Type() == fs.ModeSymlink && linksFolder(root, name):
			if err := l.walk(ctx, root, name, prefix, infos); err != nil {
				return err
			}
		case strings.HasPrefix(name, prefix) && (entry.Type().IsRegular() || entry.Type() == fs.ModeSymlink):
			if err := l.listFile(root, name, infos); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// linksFolder reports whether a link leads to a folder.
func linksFolder(root *tree, name string) bool {
	info, err := root.Stat(filepath.FromSlash(name))
	return err == nil && info.IsDir()
}

// listFile appends the object name. A link to a folder is not followed. A link that is
// no object is listed without a generation: whoever reads it has the error.
func (l *local) listFile(root *tree, name string, infos *[]Info) error {
	f, info, err := l.openIn(root, name)
	switch {
	case errors.Is(err, ErrNotExist):
		return nil
	case errors.Is(err, errLeadsOut), errors.Is(err, errToNothing):
		*infos = append(*infos, Info{Name: name})
		return nil
	case err != nil:
		return err
	}
	defer f.Close()
	g, err := generation(f, info)
	*infos = append(*infos, Info{Name: name, Bytes: info.Size(), Generation: g, Changed: info.ModTime()})
	return err
}

func (l *local) delete(ctx context.Context, name, want string) error {
	root, err := l.root()
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	unlock, err := l.lock(ctx, root, path.Dir(name))
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	f, info, err := l.openIn(root, name)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	found, err := generation(f, info)
	f.Close()
	if err != nil {
		return err
	}
	if want != "" && want != found {
		return conflictGeneration(found, want)
	}
	err = l.do("remove", name, func() error { return root.Remove(filepath.FromSlash(name)) })
	if err = localError(err); err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	return l.syncFolder(root, path.Dir(name))
}

// generation returns the generation of an open file.
func generation(f *os.File, info fs.FileInfo) (string, error) {
	if info.Size() > digestBytes {
		var inode uint64
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = st.Ino
		}
		return fmt.Sprintf("file:%d-%d-%d", info.Size(), inode, info.ModTime().UnixNano()), nil
	}
	digest, _, err := digestFile(f)
	return "sha256:" + digest, err
}

// digestFile returns the SHA-256 of a file and its length.
func digestFile(f *os.File) (digest string, n int64, err error) {
	sum := sha256.New()
	info, err := f.Stat()
	if err == nil {
		n, err = io.Copy(sum, io.NewSectionReader(f, 0, info.Size()))
	}
	return hex.EncodeToString(sum.Sum(nil)), n, localError(err)
}

// conflictGeneration is the error of an object with another generation.
func conflictGeneration(found, want string) error {
	switch {
	case found == "":
		return fmt.Errorf("%w: it was deleted meanwhile, or its folder was", ErrConflict)
	case want == "":
		return fmt.Errorf("%w: it exists already, with generation %s", ErrConflict, found)
	}
	return fmt.Errorf("%w: it was changed meanwhile: its generation is %s, want %s", ErrConflict, found, want)
}

// localError turns an error of package os into an error of this package that names only
// the cause.
func localError(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	if errors.As(err, &pe) && err == error(pe) {
		err = pe.Err
	} else if errors.As(err, &le) && err == error(le) {
		err = le.Err
	}
	switch {
	case err == nil:
		return nil
	case err == syscall.ENOENT || err == syscall.ENOTDIR || err == fs.ErrNotExist:
		return ErrNotExist
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room on its file system, then start again: nothing incomplete is visible", err)
	case err.Error() == "path escapes from parent": // an error of package os without a name
		return errLeadsOut
	}
	return err
}

// Errors of a link that is no object.
var (
	errLeadsOut = errors.New("a link leads out of its folder, and only a folder directly in the store may be a link;" +
		" put the file itself in its place, or delete the link")
	errToNothing = errors.New("it is a link to nothing, or its folder is; put the file itself in its place, or delete the link")
)
