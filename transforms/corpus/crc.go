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

// Same compares two readings of a document: its ranges, ordered by position, and its size
// and CRC-32C. It returns an error where they differ, or where a range is missing or
// comes twice.
func Same(ranges []RangeCount, d Document) error {
	crc, end := int64(0), int64(0)
	for _, r := range ranges {
		if r.Offset != end {
			return fmt.Errorf("%s: range at byte %d comes twice or out of turn", d.Name, r.Offset)
		}
		crc = joinCRC(crc, r.CRC, r.Length)
		end += r.Length
	}
	if crc != d.CRC || end != d.Bytes {
		return fmt.Errorf("%s: %w while the set was made; make the set again", d.Name, ErrChanged)
	}
	return nil
}
