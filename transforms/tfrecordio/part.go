// Package tfrecordio writes the TFRecord shards of a set.
//
// Records reach their shards by way of part files, so that the text never goes
// through a GroupByKey: those of local engines are in memory. Each block of the
// corpus writes one part,
//
//	part  = the entries of the block's records, ordered by shard, then rank
//	entry = rank (8B) + crc (4B) + record (a whole TFRecord frame)
//
// with little-endian numbers and the CRC-32C of rank and record. All records of
// a set have one size, so an entry's place is its number times a constant. A
// Ref tells a shard's writer where its entries lie in a part; only Refs are
// grouped. The writer goes through its ranks in windows of bounded size, takes
// from each part the entries whose rank is in the window, which follow one
// another, and puts each where its rank says.
//
// Parts and shards are written whole or not at all, and writing the same bytes
// again succeeds, so any attempt may be repeated.
package tfrecordio

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

const (
	headerBytes = 12      // of an entry: rank and crc
	bufferBytes = 1 << 20 // of one read or write
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RecordBytes returns the size of a record: the frame of n ids below vocab.
func RecordBytes(n, vocab int) int64 {
	return int64(tfexample.Size(n, tfexample.Width(vocab))) + tfrecord.Overhead
}

// An Entry is a sequence on its way to its shard.
type Entry struct {
	Shard int64   // number of the shard in its set
	Rank  int64   // of the sequence in its split
	IDs   []int32 // (L+1)
}

// A Ref says where a shard's entries lie in a part.
type Ref struct {
	Part   string // name in the set's folder
	Offset int64  // of the first entry
	Count  int64  // entries
}

// WritePart writes entries, which it sorts, to the object name, and calls emit
// with the Ref of each shard that has some. Ids are below vocab.
func WritePart(ctx context.Context, st *store.Store, name string, entries []Entry, vocab int, emit func(shard int64, r Ref)) error {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Rank, b.Rank))
	})
	w, err := st.Create(ctx, name)
	if err != nil {
		return fmt.Errorf("tfrecordio: %w", err)
	}
	defer w.Abort()
	width := tfexample.Width(vocab)
	var payload []byte
	var refs []Ref
	buf := make([]byte, 0, bufferBytes+bufferBytes/4)
	written := int64(0)
	for i, e := range entries {
		if i == 0 || entries[i-1].Shard != e.Shard {
			refs = append(refs, Ref{Part: name, Offset: written + int64(len(buf))})
		}
		refs[len(refs)-1].Count++
		payload = tfexample.AppendIDs(payload[:0], e.IDs, width)
		buf = appendEntry(buf, e.Rank, payload)
		if len(buf) >= bufferBytes || i == len(entries)-1 {
			if _, err := w.Write(buf); err != nil {
				return fmt.Errorf("tfrecordio: %w", err)
			}
			written += int64(len(buf))
			buf = buf[:0]
		}
	}
	if _, err := w.Commit(); err != nil {
		return fmt.Errorf("tfrecordio: %w", err)
	}
	at := int64(0)
	for _, r := range refs {
		emit(entries[at].Shard, r)
		at += r.Count
	}
	return nil
}

// appendEntry adds the entry of one payload to dst.
func appendEntry(dst []byte, rank int64, payload []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(rank))
	dst = append(dst, 0, 0, 0, 0)
	dst = tfrecord.AppendFrame(dst, payload)
	binary.LittleEndian.PutUint32(dst[start+8:], entryCRC(dst[start:]))
	return dst
}

// entryCRC returns the checksum that e should have.
func entryCRC(e []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, e[:8]), castagnoli, e[headerBytes:])
}
