package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"sync"
	"time"

	"cloud.google.com/go/storage"
)

// Tests lower these.
var (
	rangeBytes = 8 << 20 // largest range of one request
	aheadBytes = 1 << 20 // smallest range of one request, when reads follow one another
)

const readings = 5 // attempts to read a damaged object

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errReplaced is the error of a read whose generation is gone.
var errReplaced = errors.New("it was deleted or replaced since it was opened")

func (g *gcs) read(ctx context.Context, name string, limit int64) (data []byte, info Info, err error) {
	began := time.Now()
	for damaged := 0; damaged < readings && time.Since(began) < g.timing.call; {
		var a *storage.ObjectAttrs
		if a, err = g.attrs(ctx, name); err != nil {
			return nil, Info{}, err
		}
		if a.Size > limit {
			return nil, Info{}, tooLarge(a.Size, limit)
		}
		if data, err = g.readOne(ctx, a); err == nil {
			return data, gcsInfo(a), nil
		}
		if errors.Is(err, ErrDamaged) {
			damaged++
		} else if !errors.Is(err, errReplaced) {
			break
		}
	}
	return nil, Info{}, err
}

// readOne reads all of one generation.
func (g *gcs) readOne(ctx context.Context, a *storage.ObjectAttrs) ([]byte, error) {
	r, err := g.ranger(ctx, a)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data := make([]byte, a.Size)
	for off := 0; off < len(data); off += rangeBytes {
		if err := r.fetch(data[off:min(len(data), off+rangeBytes)], int64(off)); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (g *gcs) open(ctx context.Context, name string) (ranger, int64, error) {
	a, err := g.attrs(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	// A reader outlives the call that opened it, for example a bundle's.
	r, err := g.ranger(context.WithoutCancel(ctx), a)
	if err != nil {
		return nil, 0, err
	}
	return r, a.Size, nil
}

// A gcsRanger reads one generation of an object. Small reads that follow one
// another are served from a buffer.
type gcsRanger struct {
	g      *gcs
	ctx    context.Context
	cancel context.CancelFunc
	o      *storage.ObjectHandle
	size   int64
	crc    uint32 // of the object

	mu      sync.Mutex
	next    int64  // end of the last read
	ahead   []byte // read-ahead bytes of the object
	aheadAt int64  // their offset
	summed  int64  // length of the prefix that has been read
	sum     uint32 // checksum of that prefix
}

func (g *gcs) ranger(ctx context.Context, a *storage.ObjectAttrs) (*gcsRanger, error) {
	if a.ContentEncoding != "" {
		// The service unpacks it on the way, so neither sizes nor checksums hold.
		return nil, fmt.Errorf("it is stored with Content-Encoding %q; store it without", a.ContentEncoding)
	}
	ctx, cancel := context.WithCancel(ctx)
	o := g.bucket.Object(a.Name).Generation(a.Generation)
	return &gcsRanger{g: g, ctx: ctx, cancel: cancel, o: o, size: a.Size, crc: a.CRC32C}, nil
}

func (r *gcsRanger) Close() error {
	r.cancel()
	return nil
}

// ReadAt reads len(p) bytes, which are in the object.
func (r *gcsRanger) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	follows := off == r.next
	r.next = off + int64(len(p))
	if at := off - r.aheadAt; at >= 0 && at+int64(len(p)) <= int64(len(r.ahead)) {
		n := copy(p, r.ahead[at:])
		r.mu.Unlock()
		return n, nil
	}
	r.mu.Unlock()
	if follows && len(p) < aheadBytes {
		buf := make([]byte, min(int64(aheadBytes), r.size-off))
		if err := r.fetchAgain(buf, off); err != nil {
			return 0, err
		}
		r.mu.Lock()
		r.ahead, r.aheadAt = buf, off
		r.mu.Unlock()
		return copy(p, buf), nil
	}
	for n := 0; n < len(p); n += rangeBytes {
		if err := r.fetchAgain(p[n:min(len(p), n+rangeBytes)], off+int64(n)); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// fetchAgain repeats fetch while a read of the whole object is damaged. Of a shorter
// read it is unknown which range is damaged.
func (r *gcsRanger) fetchAgain(p []byte, off int64) (err error) {
	for range readings {
		err = r.fetch(p, off)
		if !errors.Is(err, ErrDamaged) || int64(len(p)) < r.size {
			break
		}
	}
	return err
}

// fetch asks for one range.
func (r *gcsRanger) fetch(p []byte, off int64) error {
	err := r.g.try(r.ctx, func(ctx context.Context) error {
		body, err := r.o.NewRangeReader(ctx, off, int64(len(p)))
		if err != nil {
			return err
		}
		defer body.Close()
		n, err := io.ReadFull(body, p)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = fmt.Errorf("the answer ends at byte %d, want %d: %w", off+int64(n), off+int64(len(p)), io.ErrUnexpectedEOF)
		}
		return err
	})
	if hasStatus(err, http.StatusNotFound) {
		return errReplaced
	}
	if err != nil {
		return gcsError(err)
	}
	return r.check(p, off)
}

// check adds a range that continues the summed prefix. It compares the checksum once the
// prefix is the whole object.
func (r *gcsRanger) check(p []byte, off int64) error {
	sum, want, ended := r.add(p, off)
	if !ended || sum == want {
		return nil
	}
	// The damage may be in the checksum of when the object was opened.
	err := r.g.try(r.ctx, func(ctx context.Context) error {
		a, err := r.o.Attrs(ctx)
		if err == nil {
			want = a.CRC32C
		}
		return err
	})
	if err != nil && !hasStatus(err, http.StatusNotFound) {
		return gcsError(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crc = want; sum == want {
		return nil
	}
	return fmt.Errorf("%w: bytes 0 to %d have the crc32c %08x, want %08x", ErrDamaged, r.size-1, sum, want)
}

// add adds a range that continues the summed prefix. ended reports that the prefix is
// the whole object; sum is then its checksum and want the expected one.
func (r *gcsRanger) add(p []byte, off int64) (sum, want uint32, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := off + int64(len(p))
	if off > r.summed || end <= r.summed {
		return 0, 0, false
	}
	r.sum = crc32.Update(r.sum, castagnoli, p[r.summed-off:])
	r.summed = end
	if sum = r.sum; end == r.size && sum != r.crc {
		r.sum, r.summed = 0, 0
	}
	return sum, r.crc, end == r.size
}
