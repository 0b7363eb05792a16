package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// A localUpload writes a temporary file. It holds an flock on it, by which
// others see that its writer lives.
type localUpload struct {
	l    *local
	ctx  context.Context
	root *tree
	name string
	temp string // "" when it is gone
	f    *os.File
	c    condition
	sum  hash.Hash // of an object of at most digestBytes; see digest
	n    int64
}

func (l *local) create(ctx context.Context, name string, c condition) (_ upload, err error) {
	dir := path.Dir(name)
	root, err := l.makeFolder(dir)
	if err != nil {
		return nil, err
	}
	u := &localUpload{l: l, ctx: ctx, root: root, name: name, c: c, sum: sha256.New()}
	defer func() {
		if err != nil {
			u.abort()
		}
	}()
	if err := l.sweep(root, dir); err != nil {
		return nil, err
	}
	for range 100 {
		if err := u.openTemp(dir); err != nil || u.f != nil {
			return u, err
		}
	}
	return nil, fmt.Errorf("another program removes its temporary file, again and again")
}

// openTemp makes the temporary file. It leaves u.f nil where a sweep of another
// process took the file before it was locked.
func (u *localUpload) openTemp(dir string) error {
	temp := path.Join(dir, tempName())
	var f *os.File
	err := u.l.do("create", temp, func() (err error) {
		f, err = u.root.OpenFile(filepath.FromSlash(temp), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		return err
	})
	if err != nil {
		return localError(err)
	}
	lockErr := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	mine, err := f.Stat()
	there, statErr := u.root.Stat(filepath.FromSlash(temp))
	if err == nil && statErr == nil && os.SameFile(mine, there) && (lockErr == nil || !errors.Is(lockErr, unix.EWOULDBLOCK)) {
		u.f, u.temp = f, temp
		return nil
	}
	f.Close()
	return localError(err)
}

func (u *localUpload) Write(p []byte) (n int, err error) {
	err = u.l.do("write", u.temp, func() error {
		n, err = u.f.Write(p)
		return err
	})
	if u.n += int64(n); u.n <= digestBytes && !u.c.temporary {
		u.sum.Write(p[:n])
	}
	return n, localError(err)
}

// digest returns the SHA-256 of the bytes written. The digest of a long or a temporary
// object is rarely needed, and computed on demand.
func (u *localUpload) digest() (string, error) {
	if u.n <= digestBytes && !u.c.temporary {
		return hex.EncodeToString(u.sum.Sum(nil)), nil
	}
	digest, _, err := digestFile(u.f)
	return digest, err
}

func (u *localUpload) abort() {
	if u.temp != "" {
		u.root.Remove(filepath.FromSlash(u.temp)) // swept later if this fails
		u.temp = ""
	}
	if u.f != nil {
		u.f.Close()
		u.f = nil
	}
	u.root.Close()
}

func (u *localUpload) commit() (Info, error) {
	if !u.c.temporary {
		if err := u.l.sync("sync", u.temp, u.f); err != nil {
			return Info{}, localError(err)
		}
	}
	publish := u.link
	if u.c.swap {
		publish = u.swap
	}
	info, err := publish()
	if err != nil {
		return Info{}, err
	}
	err = u.l.do("close", u.temp, u.f.Close)
	u.f = nil
	if err != nil {
		return Info{}, fmt.Errorf("it is stored, but closing its file failed: %w", localError(err))
	}
	return info, nil
}

// link publishes the file create-only.
func (u *localUpload) link() (Info, error) {
	err := u.l.do("link", u.name, func() error {
		return u.root.Link(filepath.FromSlash(u.temp), filepath.FromSlash(u.name))
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		info, err := u.compare()
		if errors.Is(err, errTakenBack) && u.ctx.Err() == nil {
			return u.link()
		}
		return info, err
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS):
		return u.renameNew() // a file system without hard links
	case err != nil:
		return Info{}, localError(err)
	}
	if err := u.l.do("remove", u.temp, func() error { return u.root.Remove(filepath.FromSlash(u.temp)) }); err == nil {
		u.temp = ""
	}
	return u.settle()
}

// renameNew publishes the file create-only, against other writers that take the lock.
func (u *localUpload) renameNew() (Info, error) {
	unlock, err := u.l.lock(u.ctx, u.root, path.Dir(u.name))
	if err != nil {
		return Info{}, err
	}
	defer unlock()
	if _, err := u.root.Lstat(filepath.FromSlash(u.name)); !errors.Is(err, fs.ErrNotExist) {
		return u.compare() // under the lock nobody takes a name back
	}
	if err := u.rename(); err != nil {
		return Info{}, err
	}
	return u.settle()
}

// errFolder is the error of a write where a folder has the name of the object.
var errFolder = errors.New("a folder is in its place; move the folder away")

// errTakenBack is the error of a name that its writer removed: it could not make the
// name durable.
var errTakenBack = fmt.Errorf("%w: another writer made it and took it back", ErrConflict)

// errJustMade is the error of a swap of an absent object that is there meanwhile.
var errJustMade = fmt.Errorf("%w: another writer has just made it", ErrConflict)

// taken says what has the name of the object, which err says of opening it. gone is for
// a name that is free again.
func (u *localUpload) taken(err, gone error) error {
	switch {
	case errors.Is(err, errLeadsOut), errors.Is(err, errToNothing):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	case !errors.Is(err, ErrNotExist):
		return err
	}
	if info, err := u.root.Lstat(filepath.FromSlash(u.name)); err == nil && info.IsDir() {
		return errFolder
	}
	return gone
}

// settle makes a new name durable, or takes it back: a folder that failed to
// sync may have lost it. Other writers of the same bytes wait in compare until the
// lock on the file is released, so that none of them is told "stored" before.
func (u *localUpload) settle() (Info, error) {
	if u.c.temporary {
		return Info{Bytes: u.n}, nil
	}
	if err := u.l.syncFolder(u.root, path.Dir(u.name)); err != nil {
		if removeErr := u.root.Remove(filepath.FromSlash(u.name)); removeErr != nil {
			err = fmt.Errorf("%w; it is visible but may not be durable: %w", err, localError(removeErr))
		}
		return Info{}, err
	}
	return u.info()
}

// compare decides a create-only write whose name exists.
func (u *localUpload) compare() (Info, error) {
	f, info, err := u.l.openIn(u.root, u.name)
	if err != nil {
		return Info{}, u.taken(err, errTakenBack)
	}
	defer f.Close()
	if err := u.l.settled(u.ctx, f, u.name); err != nil {
		return Info{}, err
	}
	if now, err := u.root.Stat(filepath.FromSlash(u.name)); err != nil || !os.SameFile(info, now) {
		return Info{}, errTakenBack
	}
	found, n, err := digestFile(f)
	if err != nil {
		return Info{}, err
	}
	ours, err := u.digest()
	if err != nil {
		return Info{}, err
	}
	if ours != found || n != u.n {
		return Info{}, fmt.Errorf("%w: it holds other bytes and is not replaced: %d bytes with sha256 %s, not %d bytes with sha256 %s",
			ErrConflict, n, found, u.n, ours)
	}
	if u.c.temporary {
		return Info{Bytes: n}, nil
	}
	// The object's first writer may have been killed before it synced the folder.
	if err := u.l.syncFolder(u.root, path.Dir(u.name)); err != nil {
		return Info{}, err
	}
	g, err := generation(f, info)
	return Info{Bytes: n, Generation: g}, err
}

// swap publishes the file if the object has the expected generation.
func (u *localUpload) swap() (Info, error) {
	unlock, err := u.l.lock(u.ctx, u.root, path.Dir(u.name))
	if err != nil {
		return Info{}, err
	}
	defer unlock()
	found := ""
	f, info, err := u.l.openIn(u.root, u.name)
	if err == nil {
		found, err = generation(f, info)
		f.Close()
	} else if errors.Is(err, ErrNotExist) {
		err = nil
	}
	if err != nil {
		return Info{}, err
	}
	if found != u.c.generation {
		return Info{}, conflictGeneration(found, u.c.generation)
	}
	if found == "" { // a writer without the lock may create it meanwhile
		return u.linkNew()
	}
	if err := u.rename(); err != nil {
		return Info{}, err
	}
	if err := u.l.syncFolder(u.root, path.Dir(u.name)); err != nil {
		return Info{}, fmt.Errorf("it is replaced, but a failure of the machine could undo the replacement: %w", err)
	}
	return u.info()
}

// linkNew publishes the file of a swap whose object must be absent.
func (u *localUpload) linkNew() (Info, error) {
	err := u.l.do("link", u.name, func() error {
		return u.root.Link(filepath.FromSlash(u.temp), filepath.FromSlash(u.name))
	})
	switch {
	case errors.Is(err, fs.ErrExist):
		f, _, err := u.l.openIn(u.root, u.name)
		if err != nil {
			return Info{}, u.taken(err, errJustMade)
		}
		return Info{}, errors.Join(errJustMade, f.Close())
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS):
		err = u.rename()
	}
	if err != nil {
		return Info{}, localError(err)
	}
	return u.settle()
}

func (u *localUpload) rename() error {
	err := u.l.do("rename", u.name, func() error {
		return u.root.Rename(filepath.FromSlash(u.temp), filepath.FromSlash(u.name))
	})
	if err == nil {
		u.temp = ""
	}
	return localError(err)
}

// info describes the published file.
func (u *localUpload) info() (Info, error) {
	info, err := u.f.Stat()
	if err != nil {
		return Info{}, localError(err)
	}
	if u.n <= digestBytes {
		return Info{Bytes: u.n, Generation: "sha256:" + hex.EncodeToString(u.sum.Sum(nil))}, nil
	}
	g, err := generation(u.f, info)
	return Info{Bytes: u.n, Generation: g}, err
}

// tempPattern matches the names that tempName returns, and no others.
var tempPattern = regexp.MustCompile(`^\.tmp-[0-9a-f]{32}$`)

func tempName() string {
	var id [16]byte
	rand.Read(id[:])
	return tempPrefix + hex.EncodeToString(id[:])
}
