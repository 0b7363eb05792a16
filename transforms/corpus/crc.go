package corpus

import (
	"fmt"
	"hash/crc32"
)

// joinCRC returns the CRC-32C of two texts one after the other, of their own
// ones and the second's length. Appending n zero bytes multiplies a CRC by x^8n
// in the field of polynomials modulo the CRC's; bits are in reverse, so that 1
// is 1<<31.
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

// Same returns an error where the blocks, ordered by position, are not those of
// documents with the given digests, ordered likewise: a document has changed
// between two readings.
func Same(blocks []BlockCount, digests []Digest) error {
	for _, d := range digests {
		crc, end := int64(0), int64(0)
		for ; len(blocks) > 0 && blocks[0].Doc == d.Doc && blocks[0].Offset == end; blocks = blocks[1:] {
			crc = joinCRC(crc, blocks[0].CRC, blocks[0].Length)
			end += blocks[0].Length
		}
		if crc != d.CRC || end != d.Bytes {
			return fmt.Errorf("%s: the text changed while prep read it; run it again", d.Name)
		}
	}
	if len(blocks) > 0 {
		return fmt.Errorf("document %d: block at byte %d comes twice or out of turn", blocks[0].Doc, blocks[0].Offset)
	}
	return nil
}
