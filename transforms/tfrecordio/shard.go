package tfrecordio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"slices"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// A shardWriter writes the records of a shard, in order.
type shardWriter struct {
	target Target
	w      *store.Writer
	bytes  int64
	sum    hash.Hash
	crc    uint32
}

// create begins a shard.
func create(ctx context.Context, st *store.Store, t Target) (*shardWriter, error) {
	w, err := st.Create(ctx, t.Name)
	if err != nil {
		return nil, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
	}
	return &shardWriter{target: t, w: w, sum: sha256.New()}, nil
}

// write appends records. It digests and writes chunkBytes at a time.
func (s *shardWriter) write(records []byte) error {
	for chunk := range slices.Chunk(records, chunkBytes) {
		s.sum.Write(chunk)
		s.crc = crc32.Update(s.crc, castagnoli, chunk)
		s.bytes += int64(len(chunk))
		if _, err := s.w.Write(chunk); err != nil {
			return fmt.Errorf("tfrecordio: shard %s: %w", s.target.Name, err)
		}
	}
	return nil
}

// commit makes the shard visible and returns its entry of the manifest. On an error the
// shard is discarded.
func (s *shardWriter) commit() (dataset.Shard, error) {
	defer s.abort()
	t := s.target
	if want := (t.Hi - t.Lo) * t.RecordBytes(); s.bytes != want {
		return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: has %d bytes, want %d", t.Name, s.bytes, want)
	}
	if _, err := s.w.Commit(); err != nil {
		return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
	}
	return dataset.Shard{
		Name: t.Name, Bytes: s.bytes, Records: t.Hi - t.Lo,
		CRC32C: fmt.Sprintf("%08x", s.crc), SHA256: hex.EncodeToString(s.sum.Sum(nil)),
	}, nil
}

// abort discards the shard. After commit it does nothing.
func (s *shardWriter) abort() { s.w.Abort() }
