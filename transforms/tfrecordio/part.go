package tfrecordio

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

const (
	bufferBytes = 1 << 20   // of one read, at most
	chunkBytes  = 256 << 10 // of one write: it stays in a core's cache between its steps
)

// RecordBytes returns the size of a record: the frame of n ids below vocab.
func RecordBytes(n, vocab int) int64 {
	return Target{IDBytes: IDBytes(n, vocab)}.RecordBytes()
}

// An Entry is a sequence on its way to its shard.
type Entry struct {
	Rank int64  // of the sequence in its set
	IDs  []byte // (L+1), packed, see package tfexample
}

// A Parcel is an element for Write: entries of a byte range, or the name of its
// part.
type Parcel struct {
	Key  int64
	Data []byte
}

// Scatter returns the parcels that bring the entries of a byte range to their
// shards. targets are all targets of the set, ordered by rank. name is a file's
// name below o.Temporary that no other byte range has. Scatter does not change
// entries, nor keep them.
func (o Options) Scatter(ctx context.Context, st *store.Store, name string, entries []Entry, targets []Target) ([]Parcel, error) {
	ordered := order(entries)
	if o.Way == Engine {
		return parcels(entries, ordered, targets, o.SlabBytes)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	p, err := writePart(ctx, st, o.Temporary+name, entries, ordered)
	if err != nil {
		return nil, err
	}
	return []Parcel{{Data: p.encode()}}, nil
}

// parcels returns one parcel a slab. Its key is the slab's.
func parcels(entries []Entry, ordered []int32, targets []Target, slabBytes int64) (all []Parcel, err error) {
	shard, last := 0, int64(-1)
	var f frame
	for _, at := range ordered {
		e := &entries[at]
		for shard < len(targets) && e.Rank >= targets[shard].Hi {
			shard++
		}
		if shard == len(targets) || e.Rank < targets[shard].Lo {
			return nil, fmt.Errorf("tfrecordio: no shard has rank %d", e.Rank)
		}
		t := &targets[shard]
		if key := slabKey(t.Number, (e.Rank-t.Lo)/t.perSlab(slabBytes)); key != last {
			all = append(all, Parcel{Key: key})
			last = key
		}
		p := &all[len(all)-1]
		p.Data = f.append(p.Data, e.Rank, e.IDs)
	}
	return all, nil
}

// A part is a file that holds the entries of one byte range, ordered by rank.
type part struct {
	name  string // in the set's folder
	count int64  // entries
}

func (p part) encode() []byte { return append(binary.AppendVarint(nil, p.count), p.name...) }

func decodePart(data []byte) (p part, err error) {
	count, n := binary.Varint(data)
	if n <= 0 {
		return p, fmt.Errorf("tfrecordio: %q names no part", data)
	}
	return part{name: string(data[n:]), count: count}, nil
}

func writePart(ctx context.Context, st *store.Store, name string, entries []Entry, ordered []int32) (part, error) {
	w, err := st.CreateTemporary(ctx, name)
	if err != nil {
		return part{}, fmt.Errorf("tfrecordio: %w", err)
	}
	defer w.Abort()
	var f frame
	var warm warmer
	var buf []byte
	for i, at := range ordered {
		if i%warmed == 0 {
			for _, next := range ordered[i:min(i+warmed, len(ordered))] {
				warm.touch(entries[next].IDs)
			}
		}
		if buf == nil {
			entry := entryHead + len(entries[at].IDs)
			buf = make([]byte, 0, min(chunkBytes+entry, len(entries)*entry))
		}
		buf = f.append(buf, entries[at].Rank, entries[at].IDs)
		if len(buf) >= chunkBytes || i == len(ordered)-1 {
			if _, err := w.Write(buf); err != nil {
				return part{}, fmt.Errorf("tfrecordio: %w", err)
			}
			buf = buf[:0]
		}
	}
	if _, err := w.Commit(); err != nil {
		return part{}, fmt.Errorf("tfrecordio: %w", err)
	}
	return part{name: name, count: int64(len(entries))}, nil
}

// order returns the positions of entries, ordered by rank. A byte range has some
// ten thousand entries: a radix sort is ten times faster than one that compares.
func order(entries []Entry) []int32 {
	const bits = 11 // of a digit
	at, next := make([]int32, len(entries)), make([]int32, len(entries))
	most := int64(0)
	for i, e := range entries {
		at[i] = int32(i)
		most = max(most, e.Rank)
	}
	for shift := 0; most>>shift > 0; shift += bits {
		var ends [1<<bits + 1]int32
		digit := func(i int32) int64 { return entries[i].Rank >> shift & (1<<bits - 1) }
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
	return at
}
