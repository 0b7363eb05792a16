package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfrecord"
	"github.com/quire-ml/quire/transforms/vocab"
)

// maxOpen bounds the shards that a Set keeps open, or a quarter of the files that the
// process may open does.
var maxOpen = sync.OnceValue(func() int { return store.OpenFiles(4, 512) })

// ErrDamaged is wrapped by errors about files of a set that are missing or hold
// other bytes than the manifest states. A failure to read, such as a lost
// connection, is another error.
var ErrDamaged = errors.New("damaged set")

// damage is an error that wraps ErrDamaged, in its own words.
type damage struct{ error }

func (damage) Is(target error) bool { return target == ErrDamaged }
func (d damage) Unwrap() error      { return d.error }

func damaged(format string, args ...any) error {
	return damage{fmt.Errorf("dataset: "+format, args...)}
}

// failed returns the error of a file that could not be read. It is ErrDamaged where
// the cause is the file's absence, its length or its bytes.
func failed(err error) error {
	for _, cause := range []error{ErrDamaged, store.ErrNotExist, store.ErrDamaged,
		tfrecord.ErrCorrupt, tfrecord.ErrTruncated, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, cause) {
			return damaged("%w", err)
		}
	}
	return fmt.Errorf("dataset: %w", err)
}

// A Set is a set open for reading. With all its SplitReaders it is for one
// goroutine at a time.
type Set struct {
	st       *store.Store
	manifest *Manifest
	sum      string
	vocab    *vocab.Vocab
	open     map[string]*store.Object // shards by name
	opened   []string                 // their names, the first opened first
	cache    *cache                   // nil: shards are read where they are
}

// Open opens the set in st, which must stay open as long. It verifies the
// manifest and the vocabulary, and that every shard has its size.
func Open(ctx context.Context, st *store.Store) (*Set, error) { return openWith(ctx, st, nil) }

func openWith(ctx context.Context, st *store.Store, c *cache) (*Set, error) {
	m, data, err := ReadManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	s := &Set{st: st, manifest: m, sum: digest(data), open: map[string]*store.Object{}, cache: c}
	if err := s.readVocab(ctx); err != nil {
		return nil, err
	}
	if c != nil {
		c.choose(s.manifest)
	}
	for _, split := range s.manifest.Splits {
		for _, h := range split.Shards {
			if err := s.look(ctx, h); err != nil {
				return nil, errors.Join(err, s.Close())
			}
		}
	}
	return s, nil
}

// look verifies that h has its size. A shard that will be cached is not copied yet.
func (s *Set) look(ctx context.Context, h Shard) error {
	if s.cache == nil {
		_, err := s.shard(ctx, h)
		return err
	}
	info, err := s.st.Stat(ctx, h.Name)
	if err != nil {
		return failed(err)
	}
	return s.checkSize(h, info.Bytes)
}

func (s *Set) checkSize(h Shard, bytes int64) error {
	if bytes != h.Bytes {
		return damaged("%s: has %d bytes, the manifest says %d", s.st.Join(h.Name), bytes, h.Bytes)
	}
	return nil
}

func (s *Set) readVocab(ctx context.Context) error {
	data, _, err := s.st.Read(ctx, VocabName)
	if err != nil {
		return failed(err)
	}
	m, v := s.manifest, new(vocab.Vocab)
	where := s.st.Join(VocabName)
	if err := v.UnmarshalJSON(data); err != nil {
		return damaged("%s: %w", where, err)
	}
	if got := digest(data); got != m.Vocab.SHA256 {
		return damaged("%s: sha256 is %s, the manifest says %s", where, got, m.Vocab.SHA256)
	}
	if v.Digest() != m.Vocab.Digest || v.Size() != m.Vocab.Size || string(v.Unit()) != m.Unit {
		return damaged("%s: %d characters of unit %s, digest %s; the manifest says %d of unit %s, %s",
			where, v.Size(), v.Unit(), v.Digest(), m.Vocab.Size, m.Unit, m.Vocab.Digest)
	}
	s.vocab = v
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Close closes what the set holds open. It does not close the store.
func (s *Set) Close() error {
	var errs []error
	for _, o := range s.open {
		errs = append(errs, o.Close())
	}
	clear(s.open)
	s.opened = nil
	return errors.Join(errs...)
}

// Manifest returns the manifest, which must not be changed.
func (s *Set) Manifest() *Manifest { return s.manifest }

// SHA256 returns the sha256 (hex) of manifest.json, which identifies the set.
func (s *Set) SHA256() string { return s.sum }

// Vocab returns the vocabulary.
func (s *Set) Vocab() *vocab.Vocab { return s.vocab }

// shard returns h, open. It closes the one opened first where there are too
// many.
func (s *Set) shard(ctx context.Context, h Shard) (*store.Object, error) {
	if o, ok := s.open[h.Name]; ok {
		return o, nil
	}
	if len(s.opened) >= maxOpen() {
		old := s.open[s.opened[0]]
		delete(s.open, s.opened[0])
		s.opened = s.opened[1:]
		if err := old.Close(); err != nil {
			return nil, failed(err)
		}
	}
	o, err := s.openShard(ctx, h)
	if err != nil {
		return nil, failed(err)
	}
	if err := s.checkSize(h, o.Size()); err != nil {
		return nil, errors.Join(err, o.Close())
	}
	s.open[h.Name] = o
	s.opened = append(s.opened, h.Name)
	return o, nil
}

func (s *Set) openShard(ctx context.Context, h Shard) (*store.Object, error) {
	if s.cache != nil && s.cache.keep[h.SHA256] {
		return s.cache.open(ctx, s.st, h)
	}
	return s.st.OpenObject(ctx, h.Name)
}

// Missing returns the name of a file that the manifest of the set in st names and that is
// absent; empty: none is. The error wraps ErrDamaged where a shard has another size.
func Missing(ctx context.Context, st *store.Store, m *Manifest) (missing string, err error) {
	s := &Set{st: st}
	look := func(name string, bytes int64) error {
		info, err := st.Stat(ctx, name)
		switch {
		case errors.Is(err, store.ErrNotExist):
			missing = cmp.Or(missing, name)
			return nil
		case err != nil || bytes < 0:
			return err
		}
		return s.checkSize(Shard{Name: name, Bytes: bytes}, info.Bytes)
	}
	if err := look(VocabName, -1); err != nil {
		return "", err
	}
	for _, split := range m.Splits {
		for _, h := range split.Shards {
			if err := look(h.Name, h.Bytes); err != nil {
				return "", err
			}
		}
	}
	return missing, nil
}

// Verify reads the whole set and compares it with its manifest: every record's
// checksums and ids, every shard's sha256.
func (s *Set) Verify(ctx context.Context) error {
	for _, split := range s.manifest.Splits {
		for _, h := range split.Shards {
			if err := s.verify(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

// verify reads a shard. Damage inside a record is reported as such; the digests
// find records that were exchanged.
func (s *Set) verify(ctx context.Context, h Shard) (err error) {
	if s.cache != nil { // the shard itself, not what is cached of it
		bare := &Set{st: s.st, manifest: s.manifest, open: map[string]*store.Object{}}
		defer func() { err = errors.Join(err, bare.Close()) }()
		s = bare
	}
	o, err := s.shard(ctx, h)
	if err != nil {
		return err
	}
	where := s.st.Join(h.Name)
	sum, crc := sha256.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli))
	r := tfrecord.NewReader(where, io.TeeReader(io.NewSectionReader(o, 0, h.Bytes), io.MultiWriter(sum, crc)))
	ids := make([]int32, s.manifest.SeqLength+1)
	for record := int64(0); ; record++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("dataset: %s: %w", where, err)
		}
		payload, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return failed(err)
		}
		if err := s.parse(payload, ids); err != nil {
			offset := record * (int64(len(payload)) + tfrecord.Overhead)
			return damaged("%w", &tfrecord.Error{Name: where, Record: record, Offset: offset, Err: err})
		}
	}
	if got := hex.EncodeToString(crc.Sum(nil)); got != h.CRC32C {
		return damaged("%s: crc32c is %s, the manifest says %s", where, got, h.CRC32C)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != h.SHA256 {
		return damaged("%s: sha256 is %s, the manifest says %s", where, got, h.SHA256)
	}
	return nil
}
