// Package tfrecord reads and writes TFRecord files.
//
// A file is records one after another, with no header, index or trailer:
//
//	+-------------+---------------------+-----------+----------------------+
//	| length (8B) | crc of length (4B)  |  payload  | crc of payload (4B)  |
//	+-------------+---------------------+-----------+----------------------+
//
// Numbers are little-endian. Both checksums are CRC-32C, rotated right by 15
// bits with 0xa282ead8 added, so that a checksum stored inside a payload does
// not look like a checksum of it.
//
// A file that stops between two records is complete: Next returns io.EOF.
// A file that stops inside one is damaged: Next returns an error wrapping
// ErrTruncated, never io.EOF, so a half-written shard cannot pass for a short one.
//
// Payloads are opaque here; package tfexample gives them meaning.
// A Reader or Writer is for one goroutine at a time.
package tfrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	headerBytes = 12 // length and its checksum

	// FooterBytes is the size of the checksum that follows a payload.
	FooterBytes = 4

	// Overhead is how many bytes a record has besides its payload.
	Overhead = headerBytes + FooterBytes

	// MaxPayload is the longest payload that is written or read.
	MaxPayload = 64 << 20
)

// ErrTruncated means that the bytes end inside a record: what came before it is
// whole, what was to follow is missing.
var ErrTruncated = errors.New("truncated record")

// ErrCorrupt means that bytes are not those that were written.
var ErrCorrupt = errors.New("corrupt record")

// An Error says which record of a file cannot be read, and why.
type Error struct {
	Name   string // of the file
	Record int64  // 0-indexed
	Offset int64  // of the record's first byte
	Err    error
}

// Error names the file, the record, its place and the cause.
func (e *Error) Error() string {
	return fmt.Sprintf("tfrecord: %s: record %d at byte %d: %v", e.Name, e.Record, e.Offset, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// AppendFrame adds the record of payload to dst. It panics if payload is longer
// than MaxPayload.
func AppendFrame(dst, payload []byte) []byte {
	if len(payload) > MaxPayload {
		panic(fmt.Sprintf("tfrecord: payload of %d bytes, the limit is %d", len(payload), MaxPayload))
	}
	start := len(dst)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, Checksum(dst[start:]))
	dst = append(dst, payload...)
	return binary.LittleEndian.AppendUint32(dst, Checksum(payload))
}

// Payload returns the payload of frame, which is one whole record, after
// verifying both checksums. It shares frame's memory. The error wraps
// ErrTruncated or ErrCorrupt; where the record lies, the caller knows.
func Payload(frame []byte) ([]byte, error) {
	if len(frame) < headerBytes {
		return nil, truncated(len(frame), headerBytes, "header")
	}
	n, err := length(frame[:headerBytes])
	if err != nil {
		return nil, err
	}
	rest := frame[headerBytes:]
	switch {
	case len(rest) < n+FooterBytes:
		return nil, truncated(len(rest), n+FooterBytes, "payload and checksum")
	case len(rest) > n+FooterBytes:
		return nil, fmt.Errorf("%d bytes after the record: %w", len(rest)-n-FooterBytes, ErrCorrupt)
	}
	return rest[:n], verify(rest[:n], rest[n:])
}

// length returns the length that a record's header states.
func length(header []byte) (int, error) {
	if got, want := Checksum(header[:8]), binary.LittleEndian.Uint32(header[8:]); got != want {
		return 0, fmt.Errorf("length checksum %#08x, want %#08x: %w", got, want, ErrCorrupt)
	}
	n := binary.LittleEndian.Uint64(header)
	if n > MaxPayload {
		return 0, fmt.Errorf("payload of %d bytes, the limit is %d: %w", n, MaxPayload, ErrCorrupt)
	}
	return int(n), nil
}

// verify compares a payload with the checksum that follows it.
func verify(payload, footer []byte) error {
	if got, want := Checksum(payload), binary.LittleEndian.Uint32(footer); got != want {
		return fmt.Errorf("payload checksum %#08x, want %#08x: %w", got, want, ErrCorrupt)
	}
	return nil
}

func truncated(got, want int, what string) error {
	return fmt.Errorf("%d of %d bytes of %s: %w", got, want, what, ErrTruncated)
}
