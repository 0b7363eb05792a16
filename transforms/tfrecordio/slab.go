package tfrecordio

import (
	"encoding/binary"
	"fmt"

	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// A slab is a buffer for the records of consecutive ranks of a shard.
type slab struct {
	frame       frame
	recordBytes int64
	lo, hi      int64  // ranks: lo ≤ rank < hi
	records     []byte // (hi-lo) records
	seen        []bool // (hi-lo)
	warmer      warmer
}

// perSlab returns how many records a slab of about slabBytes has.
func (t Target) perSlab(slabBytes int64) int64 { return max(1, slabBytes/t.RecordBytes()) }

// slab returns the ranks lo…hi-1 of the shard's slab of a number, from 0. Behind the
// last slab, lo ≥ hi.
func (t Target) slab(number, slabBytes int64) (lo, hi int64) {
	n := t.perSlab(slabBytes)
	return t.Lo + number*n, min(t.Hi, t.Lo+(number+1)*n)
}

// entryBytes returns the size of an entry.
func (t Target) entryBytes() int64 { return entryHead + t.IDBytes }

// RecordBytes returns the size of a record.
func (t Target) RecordBytes() int64 {
	return int64(tfexample.Size(int(t.IDBytes), 1)) + tfrecord.Overhead // as of ids of one byte
}

// slabs are the free slabs of the process.
var slabs bundle.Pool[slab]

// begin empties the slab and gives it the ranks lo…hi-1 of a shard.
func (w *slab) begin(t Target, lo, hi int64) {
	n, recordBytes := hi-lo, t.RecordBytes()
	w.lo, w.hi, w.recordBytes = lo, hi, recordBytes
	w.frame.of(int(t.IDBytes))
	if int64(cap(w.seen)) < n || int64(cap(w.records)) < n*recordBytes {
		w.records, w.seen = make([]byte, n*recordBytes), make([]bool, n)
	}
	w.records, w.seen = w.records[:n*recordBytes], w.seen[:n]
	clear(w.seen)
}

// place puts the records of entries, which are ordered by rank, to their places.
// It stops at the first rank behind the slab. taken counts the entries before it.
// offset is the first entry's byte in its file, for errors.
func (w *slab) place(entries []byte, offset int64) (taken int64, err error) {
	size := int64(entryHead + w.frame.ids)
	for ; int64(len(entries)) >= size; entries = entries[size:] {
		if taken%warmed == 0 {
			w.warm(entries[:min(int64(len(entries)), warmed*size)])
		}
		rank, payload, err := w.frame.check(entries[:size])
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
		w.frame.record(w.records[at*w.recordBytes:][:w.recordBytes], entries[entryHead:size], payload)
		taken++
		offset += size
	}
	return taken, nil
}

// warm touches the places of entries, which are not verified yet.
func (w *slab) warm(entries []byte) {
	size := entryHead + w.frame.ids
	for ; len(entries) >= size; entries = entries[size:] {
		at := binary.LittleEndian.Uint64(entries[4:]) - uint64(w.lo)
		if at < uint64(w.hi-w.lo) {
			w.warmer.touch(w.records[int64(at)*w.recordBytes:][:w.recordBytes])
		}
	}
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
