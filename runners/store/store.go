// Package store keeps objects: named byte sequences in a local folder or below
// a prefix of a Google Cloud Storage bucket.
//
// Both keep the same promises:
//
//   - Complete or absent. An object appears under its name only when all of it
//     is stored durably. A writer that fails, is aborted or is killed leaves
//     nothing under the name.
//   - Written once. Create and Put never replace an object. The same bytes again
//     succeed, so any attempt can be repeated; other bytes are ErrConflict. Of
//     racing writers of different bytes exactly one wins.
//   - Replaced by comparison. Swap, and Delete with a generation, act only on the
//     generation that the caller has seen, also between processes and machines.
//   - Verified. On Cloud Storage every upload and every whole read is compared by
//     CRC-32C, ours against the service's. So are range reads that follow one another
//     from an object's start to its end. A lost reply is not a conflict.
//   - Contained. A name is elements joined by slashes and cannot leave the store. Locally,
//     a folder directly in the store may be a link, as to another disk; no link below is
//     followed out of its folder.
//
// Locally, an object is written to a file .tmp-* in its folder, synced, linked
// or renamed to its name, and the folder is synced. After a failed sync the file
// is abandoned: a second sync may claim success for pages that were lost. A swap
// holds an flock on the folder. Temporary files of killed processes are removed
// by the next writer in their folder. On Cloud Storage every call has a
// precondition, a deadline, and retries with back-off and jitter.
//
// A generation is opaque: compare it for equality only. Locally that of an object
// of up to 4 MiB is its content's digest, and that of a larger one changes with
// each write.
//
// A Lease lets one holder at a time change a value, or objects that belong together.
//
// A Store is safe for concurrent use. A Writer is for one goroutine at a time.
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/quire-ml/quire/configs/secret"
)

// ErrNotExist is wrapped by errors about an absent object. It is also fs.ErrNotExist.
var ErrNotExist error = notExist{}

// ErrConflict is wrapped by errors of writes and deletions that were refused
// because the object is not as the caller expects.
var ErrConflict = errors.New("conflict")

// ErrDamaged is wrapped by errors about bytes that differ from those written.
var ErrDamaged = errors.New("damaged")

// ErrForm is wrapped by errors about objects that are intact, and not of the form that this
// program reads.
var ErrForm = errors.New("of another form")

type notExist struct{}

func (notExist) Error() string        { return "no such object" }
func (notExist) Is(target error) bool { return target == fs.ErrNotExist }

// Info describes an object.
type Info struct {
	Name       string // below the store
	Bytes      int64
	Generation string // changes whenever the object is replaced

	// Changed is when the object was written, by the clock of the file system or the service. Stat
	// and List say it; elsewhere it may be zero.
	Changed time.Time
}

// A Store holds the objects of a folder or of a prefix of a bucket.
type Store struct {
	d      driver
	prefix string // of every name; "" or elements joined by slashes
	close  func() error

	machine string // of the leases' holders, for tests; empty is this machine
}

// Open opens the store at url: a local folder, which is made by the first write,
// or gs://bucket/prefix. It fails on other URLs and where it cannot sign in. It does not
// look for the folder or the bucket: the first call on a missing bucket fails.
func Open(ctx context.Context, url string) (*Store, error) {
	if rest, ok := strings.CutPrefix(url, "gs://"); ok {
		bucket, prefix, _ := strings.Cut(rest, "/")
		prefix = strings.TrimSuffix(prefix, "/")
		if bucket == "" || strings.ContainsAny(bucket, "\\\x00") {
			return nil, fmt.Errorf("store: %s: want gs://bucket or gs://bucket/prefix", url)
		}
		if err := checkName(prefix); prefix != "" && err != nil {
			return nil, fmt.Errorf("store: %s: %w", url, err)
		}
		g, err := openGCS(ctx, bucket)
		if err != nil {
			return nil, fmt.Errorf("store: %s: %w", url, err)
		}
		return &Store{d: g, prefix: prefix, close: sync.OnceValue(g.close)}, nil
	}
	switch {
	case url == "" || strings.Contains(url, "\x00"):
		return nil, fmt.Errorf("store: %q: want a folder or gs://bucket/prefix", url)
	case IsURL(url):
		return nil, fmt.Errorf("store: %s: unknown scheme; want a folder or gs://bucket/prefix", secret.URL(url))
	}
	return &Store{d: newLocal(filepath.Clean(url)), close: func() error { return nil }}, nil
}

// Close releases the store. Close its open Objects first.
func (s *Store) Close() error {
	if err := s.close(); err != nil {
		return fmt.Errorf("store: %s: %w", s.URL(), err)
	}
	return nil
}

// Sub returns the store of the objects whose names start with name and a slash.
// It lives as long as s and needs no Close.
func (s *Store) Sub(name string) (*Store, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	return &Store{d: s.d, prefix: full, close: func() error { return nil }, machine: s.machine}, nil
}

// URL returns the folder or the gs:// URL of the store.
func (s *Store) URL() string { return s.d.join(s.prefix) }

// Join returns the path or URL of the object name.
func (s *Store) Join(name string) string { return s.d.join(path.Join(s.prefix, name)) }

// Local returns the folder of a local store.
func (s *Store) Local() (dir string, ok bool) {
	if _, ok := s.d.(*local); !ok {
		return "", false
	}
	return s.URL(), true
}

// Put stores data as the new object name. It succeeds if the object holds these
// bytes already, and is ErrConflict if it holds others.
func (s *Store) Put(ctx context.Context, name string, data []byte) (Info, error) {
	return s.write(ctx, name, data, condition{})
}

// Swap stores data under name if the object has the given generation; ""
// means that the object is absent. Otherwise the error wraps ErrConflict.
func (s *Store) Swap(ctx context.Context, name string, data []byte, generation string) (Info, error) {
	return s.write(ctx, name, data, condition{swap: true, generation: generation})
}

// Replace stores data under name, whether the object exists or not. The error wraps
// ErrConflict where another writer was quicker. Replace is for objects with one writer
// at a time.
func (s *Store) Replace(ctx context.Context, name string, data []byte) error {
	info, err := s.Stat(ctx, name) // without an object the generation is empty
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	_, err = s.Swap(ctx, name, data, info.Generation)
	return err
}

// PutTemporary is Put for an object as CreateTemporary makes it.
func (s *Store) PutTemporary(ctx context.Context, name string, data []byte) error {
	_, err := s.write(ctx, name, data, condition{temporary: true})
	return err
}

func (s *Store) write(ctx context.Context, name string, data []byte, c condition) (Info, error) {
	w, err := s.create(ctx, name, c)
	if err != nil {
		return Info{}, err
	}
	defer w.Abort()
	if _, err := w.Write(data); err != nil {
		return Info{}, err
	}
	return w.Commit()
}

// SmallBytes is the size of the largest object that Read returns.
const SmallBytes = 64 << 20

// Read returns the whole of a small object. The error of an object of more than
// SmallBytes wraps ErrDamaged, and no byte of it is read.
func (s *Store) Read(ctx context.Context, name string) ([]byte, Info, error) {
	return s.ReadUpTo(ctx, name, SmallBytes)
}

// ReadUpTo is Read for an object of up to limit bytes.
func (s *Store) ReadUpTo(ctx context.Context, name string, limit int64) ([]byte, Info, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, Info{}, err
	}
	data, info, err := s.d.read(ctx, full, limit)
	if err != nil {
		return nil, Info{}, s.wrap(name, err)
	}
	info.Name = name
	return data, info, nil
}

// Stat describes an object.
func (s *Store) Stat(ctx context.Context, name string) (Info, error) {
	full, err := s.full(name)
	if err != nil {
		return Info{}, err
	}
	info, err := s.d.stat(ctx, full)
	if err != nil {
		return Info{}, s.wrap(name, err)
	}
	info.Name = name
	return info, nil
}

// List describes the objects whose names start with prefix, ordered by name.
// A prefix without objects gives none. Unfinished objects are not listed. A link on a
// local disk that is no object is listed with its name alone. A run relies on manifests
// and pointers, never on a listing.
func (s *Store) List(ctx context.Context, prefix string) ([]Info, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, s.wrap(prefix, err)
	}
	below := ""
	if s.prefix != "" {
		below = s.prefix + "/"
	}
	infos, err := s.d.list(ctx, below+prefix)
	if err != nil {
		return nil, s.wrap(prefix, err)
	}
	for i := range infos {
		infos[i].Name = strings.TrimPrefix(infos[i].Name, below)
	}
	return infos, nil
}

// Delete removes an object if it has the given generation; "" means any. It succeeds if
// the object is absent. For an object of another generation the error wraps ErrConflict.
func (s *Store) Delete(ctx context.Context, name, generation string) error {
	full, err := s.full(name)
	if err != nil {
		return err
	}
	return s.wrap(name, s.d.delete(ctx, full, generation))
}

// full returns the driver's name of an object.
func (s *Store) full(name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("store: %s: %w", s.URL(), err)
	}
	return path.Join(s.prefix, name), nil
}

// wrap adds the object to an error.
func (s *Store) wrap(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %s: %w", s.Join(name), err)
}

// Wait returns after d, or with the error of ctx once ctx ends.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
