package tfrecord

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const maskDelta = 0xa282ead8

// Checksum returns the masked CRC-32C of data.
func Checksum(data []byte) uint32 { return Mask(crc32.Checksum(data, castagnoli)) }

// Mask returns what a record stores for a CRC-32C.
func Mask(crc uint32) uint32 { return (crc>>15 | crc<<17) + maskDelta }
