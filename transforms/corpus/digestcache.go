package corpus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// known is the entry of a document. A corpus may have millions, so it is small.
type known struct {
	stamp stamp
	sha   [sha256.Size]byte
	crc   uint32
	here  bool           // the document is there now
	signs *charset.Signs // nil: none
}

// A stamp is the start of a digest of what changes with every writing of a document. The
// zero stamp is of a document of which that is not known.
type stamp [16]byte

const digestFormat = "quire-digests/3"

// digestBytes is the size of the largest cache: that of some 10 million documents.
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
	k := &DigestCache{st: st, name: hex.EncodeToString(sum[:10]) + ".digests", entries: map[string]known{}, now: time.Now}
	if data, _, err := st.ReadUpTo(ctx, k.name, digestBytes); err == nil {
		if found, ok := decodeDigests(data); ok {
			k.entries = found
		}
	}
	return k, nil
}

// Digests is the function Digests, but takes from the cache the digests of unchanged
// documents. It keeps the digests that it has to read.
func (k *DigestCache) Digests(ctx context.Context, docs []Document) ([]string, error) {
	since := k.now()
	type reading struct {
		at    int
		stamp stamp
	}
	var read []reading // of the documents whose digests are to be kept
	for i, d := range docs {
		if d.SHA256 != "" {
			continue
		}
		stamp, changed := d.stamp()
		e, ok := k.entries[d.Path]
		if ok && stamp != (known{}.stamp) && e.stamp == stamp {
			docs[i].SHA256, docs[i].CRC = hex.EncodeToString(e.sha[:]), int64(e.crc)
			if e.signs != nil {
				docs[i].Signs = *e.signs
			}
			if !e.here {
				e.here = true
				k.entries[d.Path] = e
			}
		} else if stamp != (known{}.stamp) && since.Sub(changed) >= tick {
			read = append(read, reading{i, stamp})
		}
	}
	sums, err := Digests(ctx, docs)
	if err != nil {
		return nil, err
	}
	for _, r := range read {
		d := &docs[r.at]
		e := known{stamp: r.stamp, crc: uint32(d.CRC), here: true}
		if _, err := hex.Decode(e.sha[:], []byte(d.SHA256)); err != nil {
			return nil, fmt.Errorf("corpus: %s: sha256 %q: %w", d.Name, d.SHA256, err)
		}
		if d.Signs != (charset.Signs{}) {
			signs := d.Signs
			e.signs = &signs
		}
		k.entries[d.Path], k.changed = e, true
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
	for path, e := range k.entries {
		if e.here || store.IsURL(path) {
			continue
		}
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			delete(k.entries, path)
		}
	}
	data, err := encodeDigests(k.entries)
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

// stamp returns the document's stamp, and the time of its last change. The stamp is zero
// where neither is known, and for a file that has another size than the document: the
// document is the file's beginning, of which a stamp says nothing.
func (d Document) stamp() (s stamp, last time.Time) {
	of := d.generation
	if !store.IsURL(d.Path) {
		info, err := os.Stat(d.Path)
		if err != nil || info.Size() != d.Bytes {
			return s, last
		}
		changed, inode := changeTime(info)
		if last = info.ModTime(); changed.After(last) {
			last = changed
		}
		of = fmt.Sprintf("%d-%d-%d-%d", info.Size(), inode, info.ModTime().UnixNano(), changed.UnixNano())
	}
	if of != "" {
		sum := sha256.Sum256([]byte(of))
		copy(s[:], sum[:])
	}
	return s, last
}

// encodeDigests returns a cache: the format, the entries by path, and the sha256 of both.
func encodeDigests(entries map[string]known) ([]byte, error) {
	data := append(make([]byte, 0, 64+96*len(entries)), digestFormat...)
	last := ""
	for _, path := range slices.Sorted(maps.Keys(entries)) {
		e := entries[path]
		data = appendRest(data, path, last)
		last = path
		data = append(append(data, e.stamp[:]...), e.sha[:]...)
		data = binary.LittleEndian.AppendUint32(data, e.crc)
		var signs []byte
		if e.signs != nil {
			var err error
			if signs, err = json.Marshal(e.signs); err != nil {
				return nil, err
			}
		}
		data = append(binary.AppendUvarint(data, uint64(len(signs))), signs...)
	}
	sum := sha256.Sum256(data)
	return append(data, sum[:]...), nil
}

// decodeDigests returns the entries of a cache. ok is false where it is damaged, or of
// another format.
func decodeDigests(data []byte) (entries map[string]known, ok bool) {
	body := data[:max(0, len(data)-sha256.Size)]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], data[len(body):]) || !bytes.HasPrefix(body, []byte(digestFormat)) {
		return nil, false
	}
	entries = map[string]known{}
	f := listDecoder{data: body[len(digestFormat):]}
	for last := ""; len(f.data) > 0; {
		var e known
		last = f.rest(last)
		copy(e.stamp[:], f.take(uint64(len(e.stamp))))
		copy(e.sha[:], f.take(sha256.Size))
		crc, signs := f.take(4), f.take(f.uvarint())
		if f.bad {
			return nil, false
		}
		e.crc = binary.LittleEndian.Uint32(crc)
		if len(signs) > 0 && json.Unmarshal(signs, &e.signs) != nil {
			return nil, false
		}
		entries[last] = e
	}
	return entries, true
}
