package tfrecordio

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// entryHead is the crc and the rank of an entry, which come before the ids.
const entryHead = 4 + 8

// IDBytes returns the size of n packed ids below vocab.
func IDBytes(n, vocab int) int64 { return int64(n * tfexample.Width(vocab)) }

// EntryBytes returns the size of an entry of n ids below vocab.
func EntryBytes(n, vocab int) int64 { return entryHead + IDBytes(n, vocab) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A frame is what the records of a set have in common: all but the ids and the last checksum.
// The zero value has no length yet; see of.
type frame struct {
	ids  int    // bytes of a sequence's ids
	head []byte // of a record: all before the ids
	crc  uint32 // CRC-32C of the payload's bytes before the ids
}

// of makes f the frame of sequences whose ids have a number of bytes.
func (f *frame) of(ids int) {
	if f.head != nil && f.ids == ids {
		return
	}
	payload := tfexample.AppendPacked(nil, make([]byte, ids))
	record := tfrecord.AppendFrame(nil, payload)
	f.ids = ids
	f.head = record[:len(record)-tfrecord.FooterBytes-ids]
	f.crc = crc32.Checksum(payload[:len(payload)-ids], castagnoli)
}

// sums returns the CRC-32C of a record's payload, and that of the payload and the rank. The
// former is a step on the way to the latter.
func (f *frame) sums(rank, ids []byte) (payload, both uint32) {
	payload = crc32.Update(f.crc, castagnoli, ids)
	return payload, crc32.Update(payload, castagnoli, rank)
}

// append appends the entry of a sequence to dst.
func (f *frame) append(dst []byte, rank int64, ids []byte) []byte {
	f.of(len(ids))
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(rank))
	dst = append(dst, ids...)
	_, sum := f.sums(dst[start+4:start+entryHead], ids)
	binary.LittleEndian.PutUint32(dst[start:], sum)
	return dst
}

// check verifies an entry. It returns its rank and the CRC-32C of its record's payload.
func (f *frame) check(e []byte) (rank int64, payload uint32, err error) {
	payload, sum := f.sums(e[4:entryHead], e[entryHead:])
	if want := binary.LittleEndian.Uint32(e); sum != want {
		return 0, 0, fmt.Errorf("crc is %08x, want %08x", sum, want)
	}
	return int64(binary.LittleEndian.Uint64(e[4:])), payload, nil
}

// record puts the record of ids to record, which has its size. payload is what check returned.
func (f *frame) record(record, ids []byte, payload uint32) {
	copy(record[copy(record, f.head):], ids)
	binary.LittleEndian.PutUint32(record[len(record)-tfrecord.FooterBytes:], tfrecord.Mask(payload))
}
