package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A cache keeps whole shards of remote sets in a local folder, each under its
// sha256. A shard is verified when it comes and when it is opened again. The one
// used longest ago goes first when there is no room.
//
// Training visits shards at random, so one that is evicted would soon come
// again: of a set larger than the cache, the shards that fit are cached, and the
// records of the others are read one by one.
type cache struct {
	st    *store.Store
	dir   string
	limit int64           // bytes of all files
	keep  map[string]bool // the shards of the set that are cached, by sha256
}

const copyBytes = 8 << 20 // of a shard read at once

// OpenCached is Open for a set that is not on this machine: shards are copied to
// the folder dir, of up to limit bytes, when they are first read. Sets may share
// it, also at a time. For a local set it is Open.
func OpenCached(ctx context.Context, st *store.Store, dir string, limit int64) (*Set, error) {
	if _, local := st.Local(); local {
		return Open(ctx, st)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	folder, err := store.Open(ctx, abs)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	return openWith(ctx, st, &cache{st: folder, dir: abs, limit: limit, keep: map[string]bool{}})
}

// choose decides which shards of a set are cached.
func (c *cache) choose(m *Manifest) {
	room := c.limit
	for _, split := range m.Splits {
		for _, h := range split.Shards {
			if h.Bytes <= room {
				room -= h.Bytes
				c.keep[h.SHA256] = true
			}
		}
	}
}

// open returns the cached shard h of the set in from, which is copied where it is
// not there, or not as it should be.
func (c *cache) open(ctx context.Context, from *store.Store, h Shard) (*store.Object, error) {
	if o, err := c.st.OpenObject(ctx, h.SHA256); err == nil {
		if c.verify(ctx, o, h) == nil {
			now := time.Now()
			os.Chtimes(filepath.Join(c.dir, h.SHA256), now, now) // else it goes sooner
			return o, nil
		}
		if err := errors.Join(o.Close(), c.st.Delete(ctx, h.SHA256, "")); err != nil {
			return nil, err
		}
	}
	if err := c.makeRoom(h.Bytes); err != nil {
		return nil, err
	}
	if err := c.copy(ctx, from, h); err != nil {
		return nil, err
	}
	return c.st.OpenObject(ctx, h.SHA256)
}

func (c *cache) verify(ctx context.Context, o *store.Object, h Shard) error {
	return transfer(ctx, o, h, io.Discard)
}

// copy copies a shard, which appears when it is whole and verified.
func (c *cache) copy(ctx context.Context, from *store.Store, h Shard) (err error) {
	o, err := from.OpenObject(ctx, h.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	w, err := c.st.Create(ctx, h.SHA256)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := transfer(ctx, o, h, w); err != nil {
		return fmt.Errorf("%s: %w", from.Join(h.Name), err)
	}
	_, err = w.Commit()
	return err
}

// transfer writes o to w, and compares it with what h says.
func transfer(ctx context.Context, o *store.Object, h Shard, w io.Writer) error {
	if o.Size() != h.Bytes {
		return damage{fmt.Errorf("has %d bytes, the manifest says %d", o.Size(), h.Bytes)}
	}
	sum, buf := sha256.New(), make([]byte, min(copyBytes, h.Bytes))
	for at := int64(0); at < h.Bytes; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(int64(len(buf)), h.Bytes-at)]
		if n, err := o.ReadAt(part, at); n < len(part) {
			return err
		}
		sum.Write(part)
		if _, err := w.Write(part); err != nil {
			return err
		}
		at += int64(len(part))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != h.SHA256 {
		return damage{fmt.Errorf("sha256 is %s, the manifest says %s", got, h.SHA256)}
	}
	return nil
}

// makeRoom removes the files used longest ago until there is room for more
// bytes. One that a Set has open stays readable.
func (c *cache) makeRoom(bytes int64) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var infos []os.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && isHex(e.Name(), sha256.Size) {
			infos = append(infos, info)
			bytes += info.Size()
		}
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	for _, info := range infos {
		if bytes <= c.limit {
			break
		}
		if err := os.Remove(filepath.Join(c.dir, info.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		bytes -= info.Size()
	}
	return nil
}
