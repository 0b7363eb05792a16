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

// entryCRC returns the checksum that e should have.
func entryCRC(e []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, e[:8]), castagnoli, e[EntryOverhead:])
}

// checkedRank returns an entry's rank.
func checkedRank(e []byte) (int64, error) {
	if got, want := entryCRC(e), binary.LittleEndian.Uint32(e[8:]); got != want {
		return 0, fmt.Errorf("crc is %08x, want %08x", got, want)
	}
	return int64(binary.LittleEndian.Uint64(e)), nil
}

// A window is the records of some ranks of a shard, to be put in their places.
type window struct {
	recordBytes int64
	lo, hi      int64
	records     []byte // (hi-lo) records
	seen        []bool // (hi-lo)
}

// perWindow returns how many records a window of about windowBytes has.
func (t Target) perWindow(windowBytes int64) int64 { return max(1, windowBytes/t.RecordBytes) }

// window returns the ranks of a window of the shard, by its number.
func (t Target) window(number, windowBytes int64) (lo, hi int64) {
	n := t.perWindow(windowBytes)
	return t.Lo + number*n, min(t.Hi, t.Lo+(number+1)*n)
}

// entryBytes returns the size of an entry.
func (t Target) entryBytes() int64 { return EntryOverhead + t.RecordBytes }

// windows are what a process has for the records of one window each.
var windows bundle.Pool[window]

// begin makes w an empty window of the ranks lo…hi-1.
func (w *window) begin(lo, hi, recordBytes int64) {
	n := hi - lo
	w.lo, w.hi, w.recordBytes = lo, hi, recordBytes
	if int64(cap(w.seen)) < n || int64(cap(w.records)) < n*recordBytes {
		w.records, w.seen = make([]byte, n*recordBytes), make([]bool, n)
	}
	w.records, w.seen = w.records[:n*recordBytes], w.seen[:n]
	clear(w.seen)
}

// place puts entries, which are ordered by rank, into the window, up to the first
// one after it, and returns how many these are. An error names the entry by its
// byte, where the first one is at offset.
func (w *window) place(entries []byte, offset int64) (taken int64, err error) {
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

// complete returns an error where the window lacks a record.
func (w *window) complete() error {
	for i, ok := range w.seen {
		if !ok {
			return fmt.Errorf("no block has rank %d", w.lo+int64(i))
		}
	}
	return nil
}
