package tfrecord

import (
	"fmt"
	"io"
)

// A Writer writes records.
type Writer struct {
	w      io.Writer
	record int64
	buf    []byte
}

// NewWriter returns a Writer that writes to w, without a buffer of its own: a
// record is one call of w.Write, and nothing needs closing.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write writes the record of payload.
func (w *Writer) Write(payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("tfrecord: record %d: payload of %d bytes, the limit is %d", w.record, len(payload), MaxPayload)
	}
	w.buf = AppendFrame(w.buf[:0], payload)
	if _, err := w.w.Write(w.buf); err != nil {
		return fmt.Errorf("tfrecord: record %d: %w", w.record, err)
	}
	w.record++
	return nil
}
