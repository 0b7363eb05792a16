package store

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"net/http"
	"time"

	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
)

// chunkBytes is the size of an upload's buffer. An object of up to that size is sent in
// one request, with its checksum. A larger object is sent in several, the last with the
// checksum, before the service shows the object. (Tests lower it.)
var chunkBytes = 8 << 20

// swapKey is the metadata that holds the random ID of the swap that wrote an
// object. It tells a swap whose reply was lost from one of the same bytes that
// somebody else made.
const swapKey = "quire-swap"

// errStuck is the cause of a cancelled upload that made no progress.
var errStuck = errors.New("the upload makes no progress")

// A gcsUpload writes one object.
type gcsUpload struct {
	g      *gcs
	ctx    context.Context
	cancel context.CancelCauseFunc
	name   string
	c      condition
	handle *storage.ObjectHandle // with the condition
	buf    []byte                // all bytes, while w is nil
	w      *storage.Writer
	failed error  // of the precondition, before all bytes were sent
	swapID string // of this swap, in the object's metadata
	n      int64
	crc    uint32
	md5    hash.Hash // tells objects of one checksum apart
}

func (g *gcs) create(ctx context.Context, name string, c condition) (upload, error) {
	handle := g.bucket.Object(name).If(storage.Conditions{DoesNotExist: true})
	if c.swap && c.generation != "" {
		var err error
		if handle, err = g.at(name, c.generation); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return &gcsUpload{g: g, ctx: ctx, cancel: cancel, name: name, c: c, handle: handle, swapID: rand.Text(), md5: md5.New()}, nil
}

func (u *gcsUpload) Write(p []byte) (int, error) {
	if u.w == nil && u.failed == nil && len(u.buf)+len(p) > chunkBytes {
		u.stream()
		if err := u.send(u.buf); err != nil {
			return 0, err
		}
		u.buf = nil
	}
	switch {
	case u.failed != nil:
	case u.w == nil:
		u.buf = append(u.buf, p...)
	default:
		if err := u.send(p); err != nil {
			return 0, err
		}
	}
	u.n += int64(len(p))
	u.crc = crc32.Update(u.crc, castagnoli, p)
	u.md5.Write(p)
	return len(p), nil
}

// stream begins a resumable upload. The client sends the chunks and repeats failed ones.
func (u *gcsUpload) stream() {
	t := u.g.timing
	u.w = u.handle.Retryer(storage.WithPolicy(storage.RetryAlways),
		storage.WithBackoff(gax.Backoff{Initial: t.pause, Max: t.pauseMax, Multiplier: 2}),
		storage.WithErrorFunc(retryable)).NewWriter(u.ctx)
	u.describe(u.w)
	u.w.ChunkSize, u.w.ChunkRetryDeadline, u.w.ChunkTransferTimeout = chunkBytes, t.call, t.attempt
}

// describe sets the metadata of the object.
func (u *gcsUpload) describe(w *storage.Writer) {
	w.ContentType = "application/octet-stream"
	if u.c.swap {
		w.Metadata = map[string]string{swapKey: u.swapID}
	}
}

// send passes p to the resumable upload. Where the service refuses it because
// of the precondition, the rest is not sent but still summed, so that commit can
// tell whether the object holds these bytes.
func (u *gcsUpload) send(p []byte) error {
	err := u.guard(func() error { _, err := u.w.Write(p); return err })
	if hasStatus(err, http.StatusPreconditionFailed) {
		u.failed, u.buf = err, nil
		return nil
	}
	return gcsError(err)
}

// guard calls f, which waits for chunks, and cancels the upload if that takes
// too long: a request that begins an upload has no deadline of its own.
func (u *gcsUpload) guard(f func() error) error {
	began := time.Now()
	timer := time.AfterFunc(u.g.timing.call+lookTime, func() { u.cancel(errStuck) })
	defer timer.Stop()
	defer u.g.tellWait(u.ctx)()
	err := f()
	stuck := err != nil && errors.Is(context.Cause(u.ctx), errStuck)
	if stuck || retryable(err) {
		u.g.outage.failed(began, u.g.timing, gcsError(err))
	}
	if stuck {
		return errStuck
	}
	return err
}

func (u *gcsUpload) abort() {
	u.cancel(context.Canceled)
	if u.w != nil {
		u.w.Close() // ends its goroutine; nothing is sent after cancel
		u.w = nil
	}
	u.buf = nil
}

func (u *gcsUpload) commit() (Info, error) {
	a, err := u.finish()
	if hasStatus(err, http.StatusPreconditionFailed) {
		return u.resolve(err)
	}
	if retryable(err) { // the reply to the last chunk may be lost
		look, cancel := context.WithTimeout(u.ctx, lookTime)
		a, lookErr := u.g.attrs(look, u.name)
		cancel()
		if lookErr == nil && u.ours(a) {
			return gcsInfo(a), nil
		}
	}
	if hasStatus(err, http.StatusNotFound) {
		return Info{}, fmt.Errorf("the bucket does not exist, or the account may not see it: %w", err)
	}
	if err != nil {
		return Info{}, gcsError(err)
	}
	if u.same(a) {
		return gcsInfo(a), nil
	}
	return u.doubt()
}

// finish sends the rest and returns the service's metadata of the object.
func (u *gcsUpload) finish() (a *storage.ObjectAttrs, err error) {
	if u.failed != nil {
		return nil, u.failed
	}
	if u.w != nil {
		if err := u.guard(u.w.Close); err != nil {
			return nil, err
		}
		u.g.answered(u.ctx)
		return u.w.Attrs(), nil
	}
	err = u.g.try(u.ctx, func(ctx context.Context) error {
		w := u.handle.NewWriter(ctx)
		u.describe(w)
		w.ChunkSize = 0
		w.CRC32C, w.SendCRC32C = u.crc, true
		if _, err := w.Write(u.buf); err != nil {
			w.Close()
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		a = w.Attrs()
		return nil
	})
	return a, err
}

// resolve decides after a failed precondition. The object may be ours: from
// an attempt whose reply was lost, or, create-only, from an earlier writer.
func (u *gcsUpload) resolve(failed error) (Info, error) {
	var a *storage.ObjectAttrs
	found := ""
	for range readings { // an answer that contradicts itself is damaged
		var err error
		a, err = u.g.attrs(u.ctx, u.name)
		if errors.Is(err, ErrNotExist) {
			break
		}
		if err != nil {
			return Info{}, fmt.Errorf("%w, then %w", gcsError(failed), err)
		}
		if u.ours(a) {
			return gcsInfo(a), nil
		}
		found = gcsInfo(a).Generation
		if sameMD5 := string(a.MD5) == string(u.md5.Sum(nil)); sameMD5 == (a.CRC32C == u.crc && a.Size == u.n) {
			break
		}
	}
	if u.c.swap {
		return Info{}, conflictGeneration(found, u.c.generation)
	}
	if found == "" {
		return Info{}, fmt.Errorf("%w: another writer made it and deleted it meanwhile", ErrConflict)
	}
	return Info{}, fmt.Errorf("%w: it holds other bytes and is not replaced: "+
		"%d bytes with crc32c %08x md5 %x, not %d bytes with crc32c %08x md5 %x",
		ErrConflict, a.Size, a.CRC32C, a.MD5, u.n, u.crc, u.md5.Sum(nil))
}

// ours reports whether this upload may have written the object.
func (u *gcsUpload) ours(a *storage.ObjectAttrs) bool {
	return u.same(a) && (!u.c.swap || a.Metadata[swapKey] == u.swapID)
}

// same reports whether an object holds the bytes of this upload. Composite objects have
// no MD5.
func (u *gcsUpload) same(a *storage.ObjectAttrs) bool {
	return a.Size == u.n && a.CRC32C == u.crc && (len(a.MD5) == 0 || string(a.MD5) == string(u.md5.Sum(nil)))
}

// doubt decides after a reply that describes other bytes than those sent: the
// reply may be damaged, or the object. A new object that is damaged is removed.
func (u *gcsUpload) doubt() (Info, error) {
	var a *storage.ObjectAttrs
	for range readings {
		var err error
		if a, err = u.g.attrs(u.ctx, u.name); err != nil {
			return Info{}, err
		}
		if u.same(a) {
			return gcsInfo(a), nil
		}
	}
	err := fmt.Errorf("%w: Cloud Storage holds %d bytes with crc32c %08x, sent were %d bytes with crc32c %08x",
		ErrDamaged, a.Size, a.CRC32C, u.n, u.crc)
	if !u.c.swap {
		if deleteErr := u.g.delete(u.ctx, u.name, gcsInfo(a).Generation); deleteErr != nil {
			err = fmt.Errorf("%w; it stays visible, because its deletion failed: %w", err, deleteErr)
		}
	}
	return Info{}, err
}
