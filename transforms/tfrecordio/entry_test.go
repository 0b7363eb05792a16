package tfrecordio

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"testing"

	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// TestEntries compares entries and records of every length with those made step by step.
func TestEntries(t *testing.T) {
	var f frame
	for n := 1; n <= 20000; n += 1 + n/300*97 {
		ids, rank := make([]byte, n), int64(n)*0x0102030405067
		for i := range ids {
			ids[i] = byte(i*i + n)
		}
		payload := tfexample.AppendPacked(nil, ids)
		head := binary.LittleEndian.AppendUint64(nil, uint64(rank))
		sum := crc32.Checksum(append(bytes.Clone(payload), head...), castagnoli)
		want := append(append(binary.LittleEndian.AppendUint32(nil, sum), head...), ids...)
		entry := f.append(nil, rank, ids)
		if !bytes.Equal(entry, want) {
			t.Fatalf("%d bytes: entry %x, want %x", n, entry[:entryHead], want[:entryHead])
		}
		got, crc, err := f.check(entry)
		if err != nil || got != rank {
			t.Fatalf("%d bytes: rank %d, %v, want %d", n, got, err, rank)
		}
		record := make([]byte, Target{IDBytes: int64(n)}.RecordBytes())
		f.record(record, ids, crc)
		if !bytes.Equal(record, tfrecord.AppendFrame(nil, payload)) {
			t.Fatalf("%d bytes: the record differs", n)
		}
	}
	if got := EntryBytes(101, 129); got != 4+8+2*101 {
		t.Errorf("an entry of 101 ids of 2 bytes has %d", got)
	}
}

// TestEntryBits flips every bit and every pair of bits of an entry.
func TestEntryBits(t *testing.T) {
	var f frame
	whole := f.append(nil, 77, []byte("twelve bytes"))
	flip := func(bit int) { whole[bit/8] ^= 1 << (bit % 8) }
	for a := range 8 * len(whole) {
		for b := range a + 1 {
			flip(a)
			if b < a {
				flip(b)
			}
			if _, _, err := f.check(whole); err == nil {
				t.Fatalf("bits %d and %d are flipped", a, b)
			}
			if b < a {
				flip(b)
			}
			flip(a)
		}
	}
}

// TestEntryGolden holds an entry that a Python program computed bit by bit from the package
// comment.
func TestEntryGolden(t *testing.T) {
	const golden = "0603612a0201000000000000010203"
	var f frame
	if got := hex.EncodeToString(f.append(nil, 258, []byte{1, 2, 3})); got != golden {
		t.Errorf("got %s, want %s", got, golden)
	}
}
