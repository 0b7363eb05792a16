package tfrecordio

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/quire-ml/quire/transforms/bundle"
)

// EntryOverhead is how many bytes an entry has besides its record: rank and crc.
const EntryOverhead = 12

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// entryCRC computes the checksum of an entry: of all that follows the checksum.
func entryCRC(e []byte) uint32 { return crc32.Checksum(e[4:], castagnoli) }

// checkedRank verifies an entry and returns its rank.
func checkedRank(e []byte) (int64, error) {
	if got, want := entryCRC(e), binary.LittleEndian.Uint32(e); got != want {
		return 0, fmt.Errorf("crc is %08x, want %08x", got, want)
	}
	return int64(binary.LittleEndian.Uint64(e[4:])), nil
}

// A slab is a buffer for the records of consecutive ranks of a shard.
type slab struct {
	recordBytes int64
	lo, hi      int64  // ranks: lo ≤ rank < hi
	records     []byte // (hi-lo) records
	seen        []bool // (hi-lo)
}

// perSlab returns how many records a slab of about slabBytes has.
func (t Target) perSlab(slabBytes int64) int64 { return max(1, slabBytes/t.RecordBytes) }

// slab returns the ranks lo…hi-1 of the shard's slab of a number, from 0. Behind the
// last slab, lo ≥ hi.
func (t Target) slab(number, slabBytes int64) (lo, hi int64) {
	n := t.perSlab(slabBytes)
	return t.Lo + number*n, min(t.Hi, t.Lo+(number+1)*n)
}

// entryBytes returns the size of an entry.
func (t Target) entryBytes() int64 { return EntryOverhead + t.RecordBytes }

// slabs are the free slabs of the process.
var slabs bundle.Pool[slab]

// begin empties the slab and gives it the ranks lo…hi-1.
func (w *slab) begin(lo, hi, recordBytes int64) {
	n := hi - lo
	w.lo, w.hi, w.recordBytes = lo, hi, recordBytes
	if int64(cap(w.seen)) < n || int64(cap(w.records)) < n*recordBytes {
		w.records, w.seen = make([]byte, n*recordBytes), make([]bool, n)
	}
	w.records, w.seen = w.records[:n*recordBytes], w.seen[:n]
	clear(w.seen)
}

// place copies the records of entries, which are ordered by rank, to their places.
// It stops at the first rank behind the slab. taken counts the entries before it.
// offset is the first entry's byte in its file, for errors.
func (w *slab) place(entries []byte, offset int64) (taken int64, err error) {
	size := EntryOverhead + w.recordBytes
	for ; int64(len(entries)) >= size; entries = entries[size:] {
		rank, err := checkedRank(entries[:size])
		switch {
		case err != nil:
			return taken, fmt.Errorf("entry at byte %d: %w", offset, err)
		case rank >= w.hi:
			return taken, nil
		case rank < w.lo || w.seen[rank-w.lo]:
			return taken, fmt.Errorf("entry at byte %d: rank %d is out of order or comes twice", offset, rank)
		}
		at := rank - w.lo
		w.seen[at] = true
		copy(w.records[at*w.recordBytes:], entries[EntryOverhead:size])
		taken++
		offset += size
	}
	return taken, nil
}

// complete returns an error where the slab lacks a record.
func (w *slab) complete() error {
	for i, ok := range w.seen {
		if !ok {
			return fmt.Errorf("no byte range has rank %d", w.lo+int64(i))
		}
	}
	return nil
}
