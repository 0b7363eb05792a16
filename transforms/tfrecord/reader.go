package tfrecord

import (
	"bufio"
	"io"
)

// A Reader reads the records of a file.
type Reader struct {
	name   string
	r      *bufio.Reader
	record int64  // number of the next record
	offset int64  // of the next record
	buf    []byte // the last record's payload and checksum
	err    error  // what Next returned at the end
}

// NewReader returns a Reader of the records of r; errors call it name.
func NewReader(name string, r io.Reader) *Reader {
	return &Reader{name: name, r: bufio.NewReaderSize(r, 64<<10)}
}

// Next returns the next payload, valid until the next call. After the last one
// it returns io.EOF; any other error is an *Error. An error is final.
func (r *Reader) Next() ([]byte, error) {
	if r.err != nil {
		return nil, r.err
	}
	payload, err := r.next()
	if err != nil {
		if err != io.EOF {
			err = &Error{Name: r.name, Record: r.record, Offset: r.offset, Err: err}
		}
		r.err = err
		return nil, err
	}
	r.record++
	r.offset += int64(len(payload)) + Overhead
	return payload, nil
}

// next returns io.EOF only where no byte of the record is there.
func (r *Reader) next() ([]byte, error) {
	var header [headerBytes]byte
	if got, err := io.ReadFull(r.r, header[:]); err == io.ErrUnexpectedEOF {
		return nil, truncated(got, headerBytes, "header")
	} else if err != nil {
		return nil, err
	}
	n, err := length(header[:])
	if err != nil {
		return nil, err
	}
	if cap(r.buf) < n+FooterBytes {
		r.buf = make([]byte, n+FooterBytes)
	}
	r.buf = r.buf[:n+FooterBytes]
	if got, err := io.ReadFull(r.r, r.buf); err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil, truncated(got, n+FooterBytes, "payload and checksum")
	} else if err != nil {
		return nil, err
	}
	return r.buf[:n], verify(r.buf[:n], r.buf[n:])
}
