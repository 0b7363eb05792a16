package corpus

import (
	"fmt"
	"hash/crc32"
)

// joinCRC returns the CRC-32C of two texts, one after the other, from the CRCs of
// both. n is the second text's length in bytes. Appending n zero bytes multiplies a
// CRC by x^8n, modulo the CRC's polynomial. Bits are in reverse: 1 is 1<<31.
func joinCRC(first, second int64, n int64) int64 {
	factor, square := uint32(1<<31), uint32(1<<23) // x^8
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			factor = multiply(factor, square)
		}
		square = multiply(square, square)
	}
	return int64(multiply(factor, uint32(first))) ^ second
}

// multiply returns a·b modulo the polynomial of CRC-32C.
func multiply(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1 << 31); bit > 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		low := b & 1
		b >>= 1
		if low == 1 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}

// Same compares two readings of documents: ranges, and digests of whole documents,
// both ordered by position. It returns an error where a document's CRC-32C or size
// differ, or where a range is missing or comes twice.
func Same(ranges []RangeCount, digests []Digest) error {
	for _, d := range digests {
		crc, end := int64(0), int64(0)
		for ; len(ranges) > 0 && ranges[0].Doc == d.Doc && ranges[0].Offset == end; ranges = ranges[1:] {
			crc = joinCRC(crc, ranges[0].CRC, ranges[0].Length)
			end += ranges[0].Length
		}
		if crc != d.CRC || end != d.Bytes {
			return fmt.Errorf("%s: %w while the set was made; make the set again", d.Name, ErrChanged)
		}
	}
	if len(ranges) > 0 {
		return fmt.Errorf("document %d: range at byte %d comes twice or out of turn", ranges[0].Doc, ranges[0].Offset)
	}
	return nil
}
