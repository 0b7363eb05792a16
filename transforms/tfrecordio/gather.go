package tfrecordio

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/dataset"
)

// A Target describes a shard to be written.
type Target struct {
	Name        string
	Lo, Hi      int64 // its ranks: Lo ≤ rank < Hi
	RecordBytes int64
}

// maxOpen bounds the part files that a gatherer keeps open.
const maxOpen = 256

// A gatherer collects the records of one shard after another. It is for one
// goroutine at a time.
type gatherer struct {
	st     *store.Store
	target Target
	refs   []Ref
	next   []int64 // for each ref, its first entry not yet taken
	open   map[string]*store.Object
	buf    []byte // entries as read

	lo, hi int64  // ranks of the window
	window []byte // (hi-lo) records
	seen   []bool // (hi-lo)
}

// WriteShard writes the shard t from its parts, holding at most about
// windowBytes of records in memory. Every rank of t must come exactly once.
func WriteShard(ctx context.Context, st *store.Store, t Target, refs []Ref, windowBytes int64) (dataset.Shard, error) {
	g := new(gatherer)
	shard, err := g.write(ctx, st, t, refs, windowBytes)
	return shard, errors.Join(err, g.close())
}

func (g *gatherer) write(ctx context.Context, st *store.Store, t Target, refs []Ref, windowBytes int64) (shard dataset.Shard, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
		}
	}()
	count := int64(0)
	for _, r := range refs {
		count += r.Count
	}
	if count != t.Hi-t.Lo {
		return shard, fmt.Errorf("parts have %d records, want %d", count, t.Hi-t.Lo)
	}
	g.st, g.target, g.refs, g.next = st, t, refs, make([]int64, len(refs))
	if g.open == nil {
		g.open = map[string]*store.Object{}
	}
	w, err := st.Create(ctx, t.Name)
	if err != nil {
		return shard, err
	}
	defer w.Abort()
	sum, crc := sha256.New(), uint32(0)
	step := max(1, windowBytes/t.RecordBytes)
	for g.lo = t.Lo; g.lo < t.Hi; g.lo = g.hi {
		g.hi = min(t.Hi, g.lo+step)
		if err := g.fill(ctx); err != nil {
			return shard, err
		}
		sum.Write(g.window)
		crc = crc32.Update(crc, castagnoli, g.window)
		if _, err := w.Write(g.window); err != nil {
			return shard, err
		}
		bundle.Done(int64(len(g.window)))
	}
	if _, err := w.Commit(); err != nil {
		return shard, err
	}
	return dataset.Shard{
		Name: t.Name, Bytes: count * t.RecordBytes, Records: count,
		CRC32C: fmt.Sprintf("%08x", crc), SHA256: hex.EncodeToString(sum.Sum(nil)),
	}, nil
}

func (g *gatherer) close() error {
	var errs []error
	for _, o := range g.open {
		errs = append(errs, o.Close())
	}
	clear(g.open)
	return errors.Join(errs...)
}

// fill collects the records of the ranks lo…hi-1.
func (g *gatherer) fill(ctx context.Context) error {
	n := g.hi - g.lo
	if int64(cap(g.seen)) < n || int64(cap(g.window)) < n*g.target.RecordBytes {
		g.window, g.seen = make([]byte, n*g.target.RecordBytes), make([]bool, n)
	}
	g.window, g.seen = g.window[:n*g.target.RecordBytes], g.seen[:n]
	clear(g.seen)
	for i := range g.refs {
		if err := g.take(ctx, i); err != nil {
			return err
		}
	}
	for i, ok := range g.seen {
		if !ok {
			return fmt.Errorf("no part has rank %d", g.lo+int64(i))
		}
	}
	return nil
}

// take moves the entries of ref i that are in the window. Ranks are spread
// evenly, so their number is guessed from the ranks that are left.
func (g *gatherer) take(ctx context.Context, i int) error {
	ref := g.refs[i]
	left := ref.Count - g.next[i]
	if left == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	part, err := g.part(ctx, ref.Part)
	if err != nil {
		return err
	}
	size := headerBytes + g.target.RecordBytes
	most := max(1, bufferBytes/size)
	for left > 0 {
		guess := int64(float64(left)*(float64(g.hi-g.lo)/float64(g.target.Hi-g.lo))) + 4
		n := min(left, most, guess)
		if int64(len(g.buf)) < n*size {
			g.buf = make([]byte, n*size)
		}
		offset := ref.Offset + g.next[i]*size
		if got, err := part.ReadAt(g.buf[:n*size], offset); int64(got) < n*size {
			return fmt.Errorf("part %s: read of %d bytes at byte %d stopped after %d: %w", ref.Part, n*size, offset, got, err)
		}
		taken, err := g.place(ref.Part, offset, g.buf[:n*size])
		if err != nil {
			return err
		}
		g.next[i] += taken
		left -= taken
		if taken < n {
			break
		}
	}
	if len(g.open) > maxOpen {
		delete(g.open, ref.Part)
		return part.Close()
	}
	return nil
}

// part returns the open part.
func (g *gatherer) part(ctx context.Context, name string) (*store.Object, error) {
	if o, ok := g.open[name]; ok {
		return o, nil
	}
	o, err := g.st.OpenObject(ctx, name)
	if err != nil {
		return nil, err
	}
	g.open[name] = o
	return o, nil
}

// place puts entries, read from offset of the part, into the window up to the
// first one after it, and returns how many these are.
func (g *gatherer) place(part string, offset int64, entries []byte) (taken int64, err error) {
	size := headerBytes + g.target.RecordBytes
	for ; len(entries) > 0; entries = entries[size:] {
		e := entries[:size]
		if got, want := entryCRC(e), binary.LittleEndian.Uint32(e[8:]); got != want {
			return taken, fmt.Errorf("part %s: entry at byte %d: crc is %08x, want %08x", part, offset, got, want)
		}
		rank := int64(binary.LittleEndian.Uint64(e))
		switch {
		case rank >= g.hi:
			return taken, nil
		case rank < g.lo || g.seen[rank-g.lo]:
			return taken, fmt.Errorf("part %s: entry at byte %d: rank %d is out of order or comes twice", part, offset, rank)
		}
		at := rank - g.lo
		g.seen[at] = true
		copy(g.window[at*g.target.RecordBytes:], e[headerBytes:])
		taken++
		offset += size
	}
	return taken, nil
}
