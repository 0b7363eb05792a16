package dataset

import (
	"context"
	"fmt"

	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// A SplitReader reads the sequences of a split, in any order.
type SplitReader struct {
	set   *Set
	split *Split
	frame []byte // one record
}

// Split returns a reader of the split called name, train, validation or test, or nil
// where the set has none.
func (s *Set) Split(name string) *SplitReader {
	split := s.manifest.split(name)
	if split == nil {
		return nil
	}
	return &SplitReader{set: s, split: split, frame: make([]byte, split.RecordBytes)}
}

// Len returns n, the number of sequences.
func (r *SplitReader) Len() int64 { return r.split.Sequences }

// Read fills dst, of length L+1, with the ids of the sequence of a rank in
// 0…n-1. It reads that record alone and verifies its checksums.
func (r *SplitReader) Read(ctx context.Context, rank int64, dst []int32) error {
	switch {
	case rank < 0 || rank >= r.split.Sequences:
		return fmt.Errorf("dataset: %s: rank %d of %d sequences", r.split.Name, rank, r.split.Sequences)
	case len(dst) != r.set.manifest.SeqLength+1:
		return fmt.Errorf("dataset: %s: sequences have %d ids, not %d", r.split.Name, r.set.manifest.SeqLength+1, len(dst))
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("dataset: %s: %w", r.split.Name, err)
	}
	k, lo := shardOf(r.split.Sequences, len(r.split.Shards), rank)
	h := r.split.Shards[k]
	o, err := r.set.shard(ctx, h)
	if err != nil {
		return err
	}
	offset := (rank - lo) * int64(r.split.RecordBytes)
	var payload []byte
	if n, e := o.ReadAt(r.frame, offset); n < len(r.frame) {
		err = e
	} else if payload, err = tfrecord.Payload(r.frame); err == nil {
		if e := r.set.parse(payload, dst); e != nil {
			err = damage{e}
		}
	}
	if err != nil {
		return failed(&tfrecord.Error{Name: r.set.st.Join(h.Name), Record: rank - lo, Offset: offset, Err: err})
	}
	return nil
}

// parse fills dst with the ids of payload, which must be as many, and below V.
func (s *Set) parse(payload []byte, dst []int32) error {
	ids, err := tfexample.ParseIDs(dst[:0:len(dst)], payload)
	if err != nil {
		return err
	}
	if len(ids) != len(dst) {
		return fmt.Errorf("%d ids, want %d", len(ids), len(dst))
	}
	for i, id := range ids {
		if int(id) >= s.manifest.Vocab.Size {
			return fmt.Errorf("id %d at position %d, the vocabulary has %d", id, i, s.manifest.Vocab.Size)
		}
	}
	return nil
}
