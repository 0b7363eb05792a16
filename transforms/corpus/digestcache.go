package corpus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
)

// A DigestCache keeps the digests of documents from one process to the next, so that
// an unchanged corpus is not read again. A file is unchanged where its path has the
// same size, times and inode as at the reading; an object, where its name has the
// same generation. A DigestCache is for one goroutine at a time.
type DigestCache struct {
	st      *store.Store
	name    string
	entries map[string]known // by path
	changed bool
	now     func() time.Time
}

// known is the entry of a document.
type known struct {
	Stamp  string `json:"stamp"`
	SHA256 string `json:"sha256"`
	CRC    int64  `json:"crc32c"`

	Signs charset.Signs `json:"signs,omitzero"`
}

type digestFile struct {
	Format  string           `json:"format"`
	Entries map[string]known `json:"documents"`
}

const digestFormat = "quire-digests/2"

// digestBytes is the size of the largest cache: that of some 4 million documents.
const digestBytes = 1 << 30

// tick is the least age of a file at its reading for its digest to be kept. A file
// written twice within a tick of the file system's clock may have the same times.
const tick = 2 * time.Second

// keep is the time after which the digests of a corpus that no process has changed go.
const keep = 90 * 24 * time.Hour

// OpenDigestCache opens the cache of these sources in a local folder, which may be
// deleted at any time. A damaged cache is an empty one.
func OpenDigestCache(ctx context.Context, folder string, sources []string) (*DigestCache, error) {
	st, err := store.Open(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	sum := sha256.Sum256([]byte(strings.Join(sources, "\n")))
	k := &DigestCache{st: st, name: hex.EncodeToString(sum[:10]) + ".json", entries: map[string]known{}, now: time.Now}
	var f digestFile
	if _, err := st.ReadSealed(ctx, k.name, &f, store.Sealed{Format: digestFormat, Bytes: digestBytes}); err == nil && f.Entries != nil {
		k.entries = f.Entries
	}
	return k, nil
}

// Digests is the function Digests, but takes from the cache the digests of unchanged
// documents. It keeps the digests of all others.
func (k *DigestCache) Digests(ctx context.Context, docs []Document) ([]string, error) {
	since := k.now()
	stamps, changed := make([]string, len(docs)), make([]time.Time, len(docs))
	for i, d := range docs {
		stamps[i], changed[i] = d.stamp()
		if e, ok := k.entries[d.Path]; ok && d.SHA256 == "" && stamps[i] != "" && e.Stamp == stamps[i] {
			docs[i].SHA256, docs[i].CRC, docs[i].Signs = e.SHA256, e.CRC, e.Signs
		}
	}
	sums, err := Digests(ctx, docs)
	if err != nil {
		return nil, err
	}
	for i, d := range docs {
		e := known{stamps[i], d.SHA256, d.CRC, d.Signs}
		if e.Stamp != "" && since.Sub(changed[i]) >= tick && k.entries[d.Path] != e {
			k.entries[d.Path], k.changed = e, true
		}
	}
	return sums, nil
}

// Close writes the cache, without files that are gone, and releases it.
func (k *DigestCache) Close(ctx context.Context) error {
	err := k.write(ctx)
	return errors.Join(err, k.st.Close())
}

func (k *DigestCache) write(ctx context.Context) error {
	if !k.changed {
		return nil
	}
	for path := range k.entries {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && !store.IsURL(path) {
			delete(k.entries, path)
		}
	}
	data, err := store.MarshalSealed(digestFile{digestFormat, k.entries})
	if err != nil {
		return fmt.Errorf("corpus: digests: %w", err)
	}
	err = k.st.Replace(ctx, k.name, data)
	if errors.Is(err, store.ErrConflict) {
		return nil // another process has written its digests, and a later one reads what they lack
	}
	return errors.Join(err, k.sweep())
}

// sweep deletes the old caches of other corpora.
func (k *DigestCache) sweep() error {
	dir, _ := k.st.Local()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, ierr := e.Info(); ierr == nil && k.now().Sub(info.ModTime()) > keep {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// stamp returns a text that changes with every writing of a document, and the time of
// the last. The text is "" where neither is known, and for a file that has another size
// than the document: the document is the file's beginning, of which the stamp says nothing.
func (d Document) stamp() (string, time.Time) {
	if store.IsURL(d.Path) {
		return d.generation, time.Time{}
	}
	info, err := os.Stat(d.Path)
	if err != nil || info.Size() != d.Bytes {
		return "", time.Time{}
	}
	changed, inode := changeTime(info)
	last := info.ModTime()
	if changed.After(last) {
		last = changed
	}
	return fmt.Sprintf("%d-%d-%d-%d", info.Size(), inode, info.ModTime().UnixNano(), changed.UnixNano()), last
}
