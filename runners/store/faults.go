package store

import (
	"context"
	"sync/atomic"
	"time"
)

var (
	faults  atomic.Pointer[func(op, name string) error]
	watcher atomic.Pointer[func(op, name string, err error)]
)

// InjectFaults is for tests of other packages: local stores that are opened from
// now on ask fault before each file operation (mkdir, create, write, sync, link,
// rename, syncdir, open, read, list, remove, lock), and fail with its error. Call
// restore in the end.
func InjectFaults(fault func(op, name string) error) (restore func()) {
	old := faults.Swap(&fault)
	return func() { faults.Store(old) }
}

// WatchFiles is for tests of other packages: local stores that are opened from
// now on tell done how each file operation has ended. Call restore in the end.
func WatchFiles(done func(op, name string, err error)) (restore func()) {
	old := watcher.Swap(&done)
	return func() { watcher.Store(old) }
}

// Hasten is for tests of other packages: calls to buckets that are opened from now on have
// the times of package store, divided by a factor.
func Hasten(factor time.Duration) {
	t := &defaultTiming
	for _, d := range []*time.Duration{&t.attempt, &t.call, &t.first, &t.probe, &t.quiet, &t.pause, &t.pauseMax} {
		*d /= factor
	}
}

// WithFaults is for tests: it returns a store of the same objects that asks
// fault before each operation on an object (create, write, commit, read, stat,
// list, delete, open, readat), and fails with its error. It lives as long as s.
func (s *Store) WithFaults(fault func(op, name string) error) *Store {
	return &Store{d: &faultyDriver{s.d, fault}, prefix: s.prefix, close: func() error { return nil }, machine: s.machine}
}

// OnMachine is for tests: it returns a store of the same objects whose leases have their
// holders on another machine. It lives as long as s.
func (s *Store) OnMachine(machine string) *Store {
	return &Store{d: s.d, prefix: s.prefix, close: func() error { return nil }, machine: machine}
}

// A faultyDriver is a driver of any kind whose operations a test fails.
type faultyDriver struct {
	driver
	fault func(op, name string) error
}

func (f *faultyDriver) create(ctx context.Context, name string, c condition) (upload, error) {
	if err := f.fault("create", name); err != nil {
		return nil, err
	}
	u, err := f.driver.create(ctx, name, c)
	if err != nil {
		return nil, err
	}
	return &faultyUpload{u, name, f.fault}, nil
}

type faultyUpload struct {
	upload
	name  string
	fault func(op, name string) error
}

func (u *faultyUpload) Write(p []byte) (int, error) {
	if err := u.fault("write", u.name); err != nil {
		return 0, err
	}
	return u.upload.Write(p)
}

func (u *faultyUpload) commit() (Info, error) {
	if err := u.fault("commit", u.name); err != nil {
		return Info{}, err
	}
	return u.upload.commit()
}

func (f *faultyDriver) read(ctx context.Context, name string, limit int64) ([]byte, Info, error) {
	if err := f.fault("read", name); err != nil {
		return nil, Info{}, err
	}
	return f.driver.read(ctx, name, limit)
}

func (f *faultyDriver) stat(ctx context.Context, name string) (Info, error) {
	if err := f.fault("stat", name); err != nil {
		return Info{}, err
	}
	return f.driver.stat(ctx, name)
}

func (f *faultyDriver) list(ctx context.Context, prefix string) ([]Info, error) {
	if err := f.fault("list", prefix); err != nil {
		return nil, err
	}
	return f.driver.list(ctx, prefix)
}

func (f *faultyDriver) delete(ctx context.Context, name, generation string) error {
	if err := f.fault("delete", name); err != nil {
		return err
	}
	return f.driver.delete(ctx, name, generation)
}

func (f *faultyDriver) open(ctx context.Context, name string) (ranger, int64, error) {
	if err := f.fault("open", name); err != nil {
		return nil, 0, err
	}
	r, size, err := f.driver.open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	return &faultyRanger{r, name, f.fault}, size, nil
}

type faultyRanger struct {
	ranger
	name  string
	fault func(op, name string) error
}

func (r *faultyRanger) ReadAt(p []byte, off int64) (int, error) {
	if err := r.fault("readat", r.name); err != nil {
		return 0, err
	}
	return r.ranger.ReadAt(p, off)
}
