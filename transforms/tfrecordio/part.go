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
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// EntryOverhead is how many bytes an entry of a part has besides its record: rank
// and crc.
const EntryOverhead = 12

const (
	headerBytes = EntryOverhead
	bufferBytes = 1 << 20 // of one read or write
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// RecordBytes returns the size of a record: the frame of n ids below vocab.
func RecordBytes(n, vocab int) int64 {
	return int64(tfexample.Size(n, tfexample.Width(vocab))) + tfrecord.Overhead
}

// An Entry is a sequence on its way to its shard.
type Entry struct {
	Shard int64  // number of the shard in its set
	Rank  int64  // of the sequence in its split
	IDs   []byte // (L+1), packed, see package tfexample
}

// A Ref says where a shard's entries lie in a part.
type Ref struct {
	Part   string // name in the set's folder
	Offset int64  // of the first entry
	Count  int64  // entries
}

// Refs are some of a shard's: elements of their own would take more memory than
// what they say.
type Refs struct{ All []Ref }

// WritePart writes entries to the object name, ordered by shard and rank, and
// calls emit with the Ref of each shard that has some.
func WritePart(ctx context.Context, st *store.Store, name string, entries []Entry, emit func(shard int64, r Ref)) error {
	w, err := st.CreateTemporary(ctx, name)
	if err != nil {
		return fmt.Errorf("tfrecordio: %w", err)
	}
	defer w.Abort()
	var payload []byte
	var refs []Ref
	var shards []int64 // of refs
	buf := make([]byte, 0, bufferBytes+bufferBytes/4)
	written := int64(0)
	for i, at := range order(entries) {
		e := &entries[at]
		if n := len(shards); n == 0 || shards[n-1] != e.Shard {
			refs = append(refs, Ref{Part: name, Offset: written + int64(len(buf))})
			shards = append(shards, e.Shard)
		}
		refs[len(refs)-1].Count++
		payload = tfexample.AppendPacked(payload[:0], e.IDs)
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
	for i, r := range refs {
		emit(shards[i], r)
	}
	return nil
}

// order returns the positions of entries, ordered by shard and rank. A block has
// some ten thousand entries: a radix sort is ten times faster than one that
// compares.
func order(entries []Entry) []int32 {
	const bits = 11 // of a digit
	at, next := make([]int32, len(entries)), make([]int32, len(entries))
	rank, shard := int64(0), int64(0)
	for i, e := range entries {
		at[i] = int32(i)
		rank, shard = max(rank, e.Rank), max(shard, e.Shard)
	}
	pass := func(most int64, key func(e *Entry) int64) {
		for shift := 0; most>>shift > 0; shift += bits {
			var ends [1<<bits + 1]int32
			digit := func(i int32) int64 { return key(&entries[i]) >> shift & (1<<bits - 1) }
			for _, i := range at {
				ends[digit(i)+1]++
			}
			for d := range 1 << bits {
				ends[d+1] += ends[d]
			}
			for _, i := range at {
				d := digit(i)
				next[ends[d]] = i
				ends[d]++
			}
			at, next = next, at
		}
	}
	pass(rank, func(e *Entry) int64 { return e.Rank })
	pass(shard, func(e *Entry) int64 { return e.Shard })
	return at
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
