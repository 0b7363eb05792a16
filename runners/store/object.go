package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// errFinished is the error of using a Writer after Commit or Abort.
var errFinished = errors.New("the writer is finished")

// A Writer writes one object. It is for one goroutine at a time.
type Writer struct {
	s    *Store
	ctx  context.Context
	name string
	u    upload
	err  error // of all later calls
}

// Create begins the object name. It becomes visible with Commit, under Put's
// rules: existing bytes are never replaced. Cancelling ctx aborts it. Always
// call Abort in the end, also after Commit.
func (s *Store) Create(ctx context.Context, name string) (*Writer, error) {
	return s.create(ctx, name, condition{})
}

// CreateSwap is Create for an object that replaces that of a generation, under Swap's
// rules.
func (s *Store) CreateSwap(ctx context.Context, name, generation string) (*Writer, error) {
	return s.create(ctx, name, condition{swap: true, generation: generation})
}

// CreateTemporary is Create for an object that is read and deleted by the run that
// writes it. It need not outlive the machine's failure: a local store syncs
// nothing. Its Info has no generation there.
func (s *Store) CreateTemporary(ctx context.Context, name string) (*Writer, error) {
	return s.create(ctx, name, condition{temporary: true})
}

func (s *Store) create(ctx context.Context, name string, c condition) (*Writer, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, s.wrap(name, err)
	}
	u, err := s.d.create(ctx, full, c)
	if err != nil {
		return nil, s.wrap(name, err)
	}
	return &Writer{s: s, ctx: ctx, name: name, u: u}, nil
}

// Write appends p to the object.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.s.wrap(w.name, w.err)
	}
	if w.err = w.ctx.Err(); w.err != nil {
		return 0, w.s.wrap(w.name, w.err)
	}
	n, err := w.u.Write(p)
	w.err = err
	return n, w.s.wrap(w.name, err)
}

// Commit makes the object durable, unless it is temporary, and then visible. After an
// error the object is not visible, unless the error says so; the same write may be
// repeated.
func (w *Writer) Commit() (Info, error) {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	if w.err != nil {
		w.u.abort()
		return Info{}, w.s.wrap(w.name, w.err)
	}
	info, err := w.u.commit()
	w.err = errFinished
	w.u.abort()
	if err != nil {
		return Info{}, w.s.wrap(w.name, err)
	}
	info.Name = w.name
	return info, nil
}

// Abort discards the object. After Commit it does nothing.
func (w *Writer) Abort() {
	if w.err == nil {
		w.err = errFinished
	}
	w.u.abort()
}

// An Object is open for reading, by several goroutines. When its name is deleted or
// replaced, a local Object keeps its bytes, and one on Cloud Storage fails to read.
type Object struct {
	s    *Store
	name string
	r    ranger
	size int64
}

// OpenObject opens an object for reads of ranges. The error wraps ErrNotExist where the
// object is absent.
func (s *Store) OpenObject(ctx context.Context, name string) (*Object, error) {
	full, err := s.full(name)
	if err != nil {
		return nil, err
	}
	r, size, err := s.d.open(ctx, full)
	if err != nil {
		return nil, s.wrap(name, err)
	}
	return &Object{s: s, name: name, r: r, size: size}, nil
}

// Size returns the object's length in bytes.
func (o *Object) Size() int64 { return o.size }

// ReadAt implements io.ReaderAt. It does not depend on the context of OpenObject.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, o.s.wrap(o.name, fmt.Errorf("read at byte %d", off))
	}
	if off >= o.size && len(p) > 0 {
		return 0, io.EOF
	}
	want := min(int64(len(p)), o.size-off)
	if want <= 0 {
		return 0, nil
	}
	n, err := o.r.ReadAt(p[:want], off)
	if int64(n) == want && (err == nil || err == io.EOF) {
		if want < int64(len(p)) {
			return n, io.EOF
		}
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = fmt.Errorf("the object ends here, but had %d bytes when it was opened: %w", o.size, io.ErrUnexpectedEOF)
	}
	return n, o.s.wrap(o.name, fmt.Errorf("byte %d: %w", off+int64(n), err))
}

// Close releases the object.
func (o *Object) Close() error { return o.s.wrap(o.name, o.r.Close()) }
