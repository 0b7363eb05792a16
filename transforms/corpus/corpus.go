// Package corpus finds, reads and counts the documents that a set is made of.
//
// A corpus is a list of documents ordered by name. A document is a local file or an
// object in a bucket. Its name is its path below its source, or its base name where
// the source is the file itself: names do not depend on the machine.
//
// Workers read documents in ranges of bytes, of a fixed length. A range owns the
// characters that start in it, so every character has exactly one owner, whatever
// the length is. A reader of a range decodes nothing before it: in UTF-8 a byte
// that is not a continuation byte always starts a character, and a byte that
// belongs to no valid character is an error character by itself. The first owned
// character starts at most 3 bytes before the range, and the last one ends at most
// 3 bytes after it.
//
// Resolve makes text of the documents' bytes: decompressed, in UTF-8, without a byte
// order mark, and with the line ends that are asked for (package charset). Then every
// character counts: CR and LF are two characters, NUL is one, and a line may have any
// length. A document of 0 bytes is listed and has no characters. What is
// appended to a document after it was listed is not of it. A document that has become
// shorter, or whose bytes differ between two readings, is an error.
//
// Resolve runs where a pipeline is built. Ranges, Hash and Count are Beam
// transforms.
package corpus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
)

// A Document is one file of a corpus.
type Document struct {
	Name  string `json:"name"`  // slash-separated, unique in its corpus, the same on every machine
	Path  string `json:"path"`  // where workers read it: an absolute path or the URL of an object
	Bytes int64  `json:"bytes"` // size when the corpus was resolved

	SHA256 string `json:"sha256"` // hex; empty: neither this nor CRC is known yet
	CRC    int64  `json:"crc"`    // CRC-32C

	Signs     charset.Signs   `json:"signs,omitzero"`     // what the bytes tell; known where the digests are
	Undefined charset.Invalid `json:"undefined,omitzero"` // of the bytes that the text was decoded from

	Records int64 `json:"records,omitempty"` // joined in the document; 0: it is as it was found

	generation string // of an object, when the corpus was resolved; empty: a file
}

// Bytes returns the sum of the documents' sizes.
func Bytes(docs []Document) int64 {
	var n int64
	for _, d := range docs {
		n += d.Bytes
	}
	return n
}

// A Reader reads documents. It keeps the last document open, so all ranges of a
// document cost one open. It is for one goroutine at a time. The zero value is ready
// to use.
type Reader struct {
	doc    Document
	at     io.ReaderAt
	closer io.Closer
	store  *store.Store
	root   string // URL of store
	buf    []byte // result of the last read
	norm   []byte // result of the last normalized
}

// Close closes the open document. The reader can be used again.
func (r *Reader) Close() error {
	var err error
	if r.closer != nil {
		err = r.closer.Close()
	}
	if r.store != nil {
		err = errors.Join(err, r.store.Close())
	}
	*r = Reader{}
	return err
}

// read returns n bytes of d from offset off, valid until the next call.
func (r *Reader) read(ctx context.Context, d Document, off, n int64) ([]byte, error) {
	if err := r.open(ctx, d); err != nil {
		return nil, err
	}
	if int64(cap(r.buf)) < n {
		r.buf = make([]byte, n)
	}
	buf := r.buf[:n]
	return buf, r.fill(buf, off)
}

// fill reads buf from offset off of the open document.
func (r *Reader) fill(buf []byte, off int64) error {
	got, err := r.at.ReadAt(buf, off)
	if got == len(buf) {
		return nil
	}
	if f, ok := r.at.(smallFile); ok && errors.Is(err, io.EOF) {
		size, sizeErr := f.size()
		if sizeErr == nil && size < r.doc.Bytes {
			return r.doc.cutOff(size)
		}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("corpus: %s: read of %d bytes at byte %d stopped after %d: %w", r.doc.Name, len(buf), off, got, err)
}

// cutOff is the error of a document that has fewer bytes now.
func (d Document) cutOff(size int64) error {
	return fmt.Errorf("corpus: %s: has %d bytes, but had %d when the corpus was listed: %w: it was cut off; make the set again",
		d.Name, size, d.Bytes, ErrChanged)
}

// ErrChanged is wrapped by errors about a document that has other bytes, or fewer, than
// when it was listed. What was appended since is left for the next listing.
var ErrChanged = errors.New("the text has changed")

// open makes d the open document: its first d.Bytes bytes.
func (r *Reader) open(ctx context.Context, d Document) error {
	if r.closer != nil && r.doc == d {
		return nil
	}
	if r.closer != nil {
		err := r.closer.Close()
		r.closer, r.at = nil, nil
		if err != nil {
			return fmt.Errorf("corpus: %s: %w", r.doc.Name, err)
		}
	}
	var size int64
	var err error
	if d.Bytes <= smallBytes && !store.IsURL(d.Path) {
		var f smallFile
		if f, err = openSmall(d.Path); err == nil {
			r.at, r.closer = f, f
		}
		size = d.Bytes // fill finds out whether it has them
	} else {
		size, err = r.openPath(ctx, d.Path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("corpus: %s: %w since the corpus was listed: %w", d.Name, ErrChanged, err)
	case err != nil:
		return fmt.Errorf("corpus: %s: %w", d.Name, err)
	}
	r.doc = d
	if size < d.Bytes {
		return d.cutOff(size)
	}
	return nil
}

// openPath opens the file, or the object of a URL, at name.
func (r *Reader) openPath(ctx context.Context, name string) (size int64, err error) {
	if !store.IsURL(name) {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		r.at, r.closer = f, f
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	root, base := store.Split(name)
	if r.store == nil || r.root != root {
		if r.store != nil {
			if err := r.store.Close(); err != nil {
				return 0, err
			}
			r.store = nil
		}
		if r.store, err = store.Open(ctx, root); err != nil {
			return 0, err
		}
		r.root = root
	}
	o, err := r.store.OpenObject(ctx, base)
	if err != nil {
		return 0, err
	}
	r.at, r.closer = o, o
	return o.Size(), nil
}
