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
)

// Known keeps the digests of documents from one process to the next, so that a
// corpus that has not changed is not read again. A document counts as unchanged
// when its path has the size, the times and the inode that it had when it was
// read; on Cloud Storage, the generation. It is for one goroutine at a time.
type Known struct {
	st      *store.Store
	name    string
	entries map[string]known // by path
	changed bool
	now     func() time.Time
}

// known is what is kept of a document.
type known struct {
	Stamp  string `json:"stamp"`
	SHA256 string `json:"sha256"`
	CRC    int64  `json:"crc32c"`
}

type knownFile struct {
	Format  string           `json:"format"`
	Entries map[string]known `json:"documents"`
}

const knownFormat = "quire-digests/1"

// tick is how much older than its reading a file must be for its digest to be
// kept: one that is written again within a tick of the file system's clock could
// have the same times.
const tick = 2 * time.Second

// keep is how long digests are kept of a corpus of which none has changed.
const keep = 90 * 24 * time.Hour

// OpenKnown reads what was kept for these sources in a local folder, which may
// be deleted at any time. What is there but cannot be read counts as nothing.
func OpenKnown(ctx context.Context, folder string, sources []string) (*Known, error) {
	st, err := store.Open(ctx, folder)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	sum := sha256.Sum256([]byte(strings.Join(sources, "\n")))
	k := &Known{st: st, name: hex.EncodeToString(sum[:10]) + ".json", entries: map[string]known{}, now: time.Now}
	data, _, err := st.Read(ctx, k.name)
	if err != nil {
		return k, nil
	}
	var f knownFile
	if err := store.UnmarshalSealed(st.Join(k.name), data, &f); err == nil && f.Format == knownFormat && f.Entries != nil {
		k.entries = f.Entries
	}
	return k, nil
}

// Digests is the function Digests for documents some of which are known: it
// reads the others, and keeps theirs.
func (k *Known) Digests(ctx context.Context, docs []Document) ([]string, error) {
	since := k.now()
	stamps, changed := make([]string, len(docs)), make([]time.Time, len(docs))
	for i, d := range docs {
		stamps[i], changed[i] = d.stamp()
		if e, ok := k.entries[d.Path]; ok && d.SHA256 == "" && stamps[i] != "" && e.Stamp == stamps[i] {
			docs[i].SHA256, docs[i].CRC = e.SHA256, e.CRC
		}
	}
	sums, err := Digests(ctx, docs)
	if err != nil {
		return nil, err
	}
	for i, d := range docs {
		e := known{stamps[i], d.SHA256, d.CRC}
		if e.Stamp != "" && since.Sub(changed[i]) >= tick && k.entries[d.Path] != e {
			k.entries[d.Path], k.changed = e, true
		}
	}
	return sums, nil
}

// Close writes what is kept, less what is not there any more, and releases k.
func (k *Known) Close(ctx context.Context) error {
	err := k.write(ctx)
	return errors.Join(err, k.st.Close())
}

func (k *Known) write(ctx context.Context) error {
	if !k.changed {
		return nil
	}
	for path := range k.entries {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) && !store.IsURL(path) {
			delete(k.entries, path)
		}
	}
	data, err := store.MarshalSealed(knownFile{knownFormat, k.entries})
	if err != nil {
		return fmt.Errorf("corpus: known digests: %w", err)
	}
	err = k.st.Replace(ctx, k.name, data)
	if errors.Is(err, store.ErrConflict) {
		return nil // another process keeps its own; the next one reads what is lacking
	}
	return errors.Join(err, k.sweep())
}

// sweep deletes what was kept of other corpora and is old.
func (k *Known) sweep() error {
	dir, _ := k.st.Local()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if info, ierr := e.Info(); ierr == nil && k.now().Sub(info.ModTime()) > keep {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// stamp returns what changes when a document is written, and when it last
// was; "" where that cannot be told.
func (d Document) stamp() (string, time.Time) {
	if store.IsURL(d.Path) {
		return d.generation, time.Time{}
	}
	info, err := os.Stat(d.Path)
	if err != nil {
		return "", time.Time{}
	}
	changed, inode := changeTime(info)
	last := info.ModTime()
	if changed.After(last) {
		last = changed
	}
	return fmt.Sprintf("%d-%d-%d-%d", info.Size(), inode, info.ModTime().UnixNano(), changed.UnixNano()), last
}
