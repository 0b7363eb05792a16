package checkpoint

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
)

// chunkBytes is the size of the buffer through which tensors are read and written.
const chunkBytes = 1 << 16

// layout is a checkpoint ready to be written.
type layout struct {
	header  []byte // with the length before it
	tensors []Tensor
	size    int64 // of the file in bytes
}

// plan lays a checkpoint out. It reads all tensors once, for the sums in the
// header.
func plan(c *Checkpoint) (*layout, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	tensors, err := sorted(c.Tensors)
	if err != nil {
		return nil, err
	}
	l := &layout{tensors: tensors}
	sums := map[string]string{}
	buf := make([]byte, chunkBytes)
	for _, t := range tensors {
		n, err := size(t.Shape, math.MaxInt64/valueBytes)
		if err == nil && n != int64(len(t.Data)) {
			err = fmt.Errorf("shape %v has %d values, found %d", t.Shape, n, len(t.Data))
		}
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
		}
		sum := sha256.New()
		if err := write(sum, t.Data, buf); err != nil {
			return nil, err
		}
		sums[t.Name] = hex.EncodeToString(sum.Sum(nil))
		l.size += n * valueBytes
	}
	h := &header{c.Metadata, tensors, sums}
	if l.header, err = h.encode(); err != nil {
		return nil, err
	}
	copy(l.header[digestAt:], digest(l.header))
	l.size += int64(len(l.header))
	return l, nil
}

// write writes the file and returns its sha256.
func (l *layout) write(w io.Writer) (string, error) {
	sum := sha256.New()
	w = io.MultiWriter(w, sum)
	if _, err := w.Write(l.header); err != nil {
		return "", err
	}
	buf := make([]byte, chunkBytes)
	for _, t := range l.tensors {
		if err := write(w, t.Data, buf); err != nil {
			return "", fmt.Errorf("tensor %s: %w", t.Name, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// write writes values through buf.
func write(w io.Writer, values []float32, buf []byte) error {
	for len(values) > 0 {
		part := values[:min(len(values), len(buf)/valueBytes)]
		for i, x := range part {
			binary.LittleEndian.PutUint32(buf[i*valueBytes:], math.Float32bits(x))
		}
		if _, err := w.Write(buf[:len(part)*valueBytes]); err != nil {
			return err
		}
		values = values[len(part):]
	}
	return nil
}

// decode reads and verifies a file of the given size in bytes, and returns its
// sha256 too. Its memory is the size of the file, and the header again.
func decode(r io.Reader, bytes int64) (*Checkpoint, string, error) {
	file := sha256.New()
	b := bufio.NewReader(r)
	if head, err := b.Peek(int(min(headBytes, bytes))); err == nil {
		if err := checkHead(head, bytes); err != nil {
			return nil, "", err
		}
	}
	r = io.TeeReader(b, file)
	start, err := readHeader(r, bytes)
	if err != nil {
		return nil, "", err
	}
	h, err := decodeHeader(start)
	if err != nil {
		return nil, "", err
	}
	at := int64(len(start))
	sizes, err := h.fit(at, bytes)
	if err != nil {
		return nil, "", err
	}
	buf := make([]byte, chunkBytes)
	for i := range h.tensors {
		t := &h.tensors[i]
		t.Data = make([]float32, sizes[i])
		if err := read(r, t.Data, buf, h.sums[t.Name], at); err != nil {
			return nil, "", fmt.Errorf("tensor %s at byte %d: %w", t.Name, at, err)
		}
		at += sizes[i] * valueBytes
	}
	found := string(start[digestAt : digestAt+hexBytes])
	return &Checkpoint{Metadata: h.Metadata, Tensors: h.tensors, Digest: found}, hex.EncodeToString(file.Sum(nil)), nil
}

// fit returns the number of values of each tensor, which together fill the file
// from at to its end.
func (h *header) fit(at, bytes int64) (sizes []int64, err error) {
	for _, t := range h.tensors {
		n, err := size(t.Shape, (bytes-at)/valueBytes)
		if err != nil {
			return nil, fmt.Errorf("tensor %s at byte %d of %d: %w: the file is cut off", t.Name, at, bytes, err)
		}
		sizes = append(sizes, n)
		at += n * valueBytes
	}
	if at != bytes {
		return nil, fmt.Errorf("byte %d: the last tensor ends here, but the file has %d bytes", at, bytes)
	}
	return sizes, nil
}

// readHeader reads length and header of a file of the given size in bytes.
func readHeader(r io.Reader, bytes int64) ([]byte, error) {
	length := make([]byte, lengthBytes)
	if n, err := io.ReadFull(r, length); err != nil {
		return nil, fmt.Errorf("byte %d: the file ends here, want the %d bytes of the header's length: %w", n, lengthBytes, cut(err))
	}
	n := binary.LittleEndian.Uint64(length)
	if limit := uint64(min(maxHeader, max(bytes-lengthBytes, 0))); n > limit {
		return nil, fmt.Errorf("byte 0: the header's length is %d, want at most %d in a file of %d bytes: "+
			"the length is damaged or the file cut off",
			n, limit, bytes)
	}
	header := make([]byte, lengthBytes+n)
	copy(header, length)
	if got, err := io.ReadFull(r, header[lengthBytes:]); err != nil {
		return nil, fmt.Errorf("byte %d: the file ends here, want a header of %d bytes: %w", lengthBytes+got, n, cut(err))
	}
	return header, nil
}

// read reads values through buf and compares their sha256 with want. at is their
// position in the file, for errors.
func read(r io.Reader, values []float32, buf []byte, want string, at int64) error {
	sum, bytes := sha256.New(), int64(len(values))*valueBytes
	if err := readValues(r, values, buf, sum, at); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("the sha256 of its %d bytes is %s, want %s: a byte is damaged", bytes, got, want)
	}
	return nil
}

func readValues(r io.Reader, values []float32, buf []byte, sum hash.Hash, at int64) error {
	for len(values) > 0 {
		part := values[:min(len(values), len(buf)/valueBytes)]
		b := buf[:len(part)*valueBytes]
		if n, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("reading stopped at byte %d, with %d values missing: %w", at+int64(n), len(values)-n/valueBytes, cut(err))
		}
		sum.Write(b)
		for i := range part {
			part[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[i*valueBytes:]))
		}
		values, at = values[len(part):], at+int64(len(b))
	}
	return nil
}

// cut turns io.EOF into io.ErrUnexpectedEOF: the file ends too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
