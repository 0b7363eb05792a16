package prepare

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"slices"
	"sort"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
)

// A row is the plan of a range: the characters of its document that it owns, and the
// CRC-32C of its bytes. Numbers are those of first sequences in the splits: by tail of the
// document's, by block of those that start in the range.
type row struct {
	Doc, Offset  int64
	First, Chars int64
	CRC          int64
	Invalid      int64 // bytes that become U+FFFD
	DocChars     int64 // of its document
	Numbers      [layout.Splits]int64
}

// span returns the characters, of its document, that the range owns.
func (r row) span() layout.Span { return layout.Span{From: r.First, To: r.First + r.Chars} }

const (
	rowBytes  = 80
	pieceRows = 1024
)

func (r *row) append(dst []byte) []byte {
	for _, x := range [...]int64{r.Doc, r.Offset, r.First, r.Chars, r.CRC, r.Invalid, r.DocChars, r.Numbers[0], r.Numbers[1], r.Numbers[2]} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(x))
	}
	return dst
}

func decodeRow(data []byte) (r row) {
	for i, x := range [...]*int64{&r.Doc, &r.Offset, &r.First, &r.Chars, &r.CRC, &r.Invalid, &r.DocChars,
		&r.Numbers[0], &r.Numbers[1], &r.Numbers[2]} {
		*x = int64(binary.LittleEndian.Uint64(data[8*i:]))
	}
	return r
}

// rows are the plans of all ranges, ordered by position. A worker reads the piece, of
// pieceRows rows, that it needs.
type rows struct {
	Count  int64
	Data   []byte // of all rows; none where Name
	Name   string // of the object that holds them, in the set's folder
	Pieces []piece
}

// A piece is consecutive rows.
type piece struct{ Doc, Offset, CRC int64 } // position of its first row, CRC-32C of the piece

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A rowWriter makes rows of a row after the other. More than inline bytes are an object.
type rowWriter struct {
	ctx    context.Context
	st     *store.Store
	name   string
	inline int64

	rows  rows
	piece []byte
	to    *store.Writer // nil: rows.Data
}

func (w *rowWriter) add(r row) error {
	if len(w.piece) == 0 {
		w.rows.Pieces = append(w.rows.Pieces, piece{Doc: r.Doc, Offset: r.Offset})
	}
	w.piece = r.append(w.piece)
	w.rows.Count++
	if len(w.piece) < pieceRows*rowBytes {
		return nil
	}
	return w.flush()
}

// flush ends a piece.
func (w *rowWriter) flush() (err error) {
	if len(w.piece) == 0 {
		return nil
	}
	w.rows.Pieces[len(w.rows.Pieces)-1].CRC = int64(crc32.Checksum(w.piece, castagnoli))
	data := w.piece
	if w.to == nil {
		w.rows.Data = append(w.rows.Data, data...)
		if int64(len(w.rows.Data)) <= w.inline {
			w.piece = w.piece[:0]
			return nil
		}
		if w.to, err = w.st.CreateTemporary(w.ctx, w.name); err != nil {
			return fmt.Errorf("prepare: plan: %w", err)
		}
		data, w.rows.Data, w.rows.Name = w.rows.Data, nil, w.name
	}
	if _, err = w.to.Write(data); err != nil {
		err = fmt.Errorf("prepare: plan: %w", err)
	}
	w.piece = w.piece[:0]
	return err
}

// finish returns the rows.
func (w *rowWriter) finish() (rows, error) {
	err := w.flush()
	if err == nil && w.to != nil {
		if _, err = w.to.Commit(); err != nil {
			err = fmt.Errorf("prepare: plan: %w", err)
		}
	}
	return w.rows, err
}

func (w *rowWriter) close() error {
	if w.to != nil {
		w.to.Abort()
	}
	return w.st.Close()
}

// A rowSource is rows open for reading, by several goroutines.
type rowSource struct {
	rows   *rows
	object *store.Object // nil: rows.Data
}

// open opens the rows of the set in st.
func (r *rows) open(ctx context.Context, st *store.Store) (*rowSource, error) {
	s := &rowSource{rows: r}
	if r.Name == "" {
		return s, nil
	}
	var err error
	if s.object, err = st.OpenObject(ctx, r.Name); err != nil {
		return nil, fmt.Errorf("prepare: plan: %w", err)
	}
	return s, nil
}

// close releases what is open. s may be nil.
func (s *rowSource) close() error {
	if s == nil || s.object == nil {
		return nil
	}
	return s.object.Close()
}

// A folder is the set's folder with the rows of a plan, open for a step of the pipeline.
type folder struct {
	st     *store.Store
	source *rowSource // nil before the first element of a bundle
}

// open opens the rows of a plan of the set in dir.
func (f *folder) open(ctx context.Context, dir string, p *plan) (err error) {
	if f.st == nil {
		if f.st, err = store.Open(ctx, dir); err != nil {
			return err
		}
	}
	f.source, err = p.Rows.open(ctx, f.st)
	return err
}

// forget closes the rows.
func (f *folder) forget() error {
	err := f.source.close()
	f.source = nil
	return err
}

// close closes the rows and the folder.
func (f *folder) close() error {
	err := f.forget()
	if f.st != nil {
		err = errors.Join(err, f.st.Close())
	}
	f.st = nil
	return err
}

// A rowReader reads rows. It keeps the last piece. It is for one goroutine; the zero value
// is ready to use.
type rowReader struct {
	source *rowSource
	number int // of the piece
	data   []byte
	buf    []byte
}

// load reads a piece, unless it was the last.
func (r *rowReader) load(s *rowSource, number int) error {
	if r.source == s && r.number == number {
		return nil
	}
	at := int64(number) * pieceRows * rowBytes
	size := min(pieceRows*rowBytes, s.rows.Count*rowBytes-at)
	r.source = nil
	if s.object == nil {
		if at+size > int64(len(s.rows.Data)) {
			return fmt.Errorf("plan: has %d bytes, want %d rows", len(s.rows.Data), s.rows.Count)
		}
		r.data = s.rows.Data[at : at+size]
	} else {
		if r.buf == nil {
			r.buf = make([]byte, pieceRows*rowBytes)
		}
		r.data = r.buf[:size]
		if n, err := s.object.ReadAt(r.data, at); int64(n) < size {
			return fmt.Errorf("plan: %s: byte %d: %w", s.rows.Name, at, cmp.Or(err, io.ErrUnexpectedEOF))
		}
	}
	if got, want := int64(crc32.Checksum(r.data, castagnoli)), s.rows.Pieces[number].CRC; got != want {
		return fmt.Errorf("plan: %s: bytes %d to %d: crc is %08x, want %08x", s.rows.Name, at, at+size-1, got, want)
	}
	r.source, r.number = s, number
	return nil
}

// at returns the row of a range.
func (r *rowReader) at(s *rowSource, rng corpus.Range) (row, error) {
	before := func(doc, offset int64) bool {
		return cmp.Or(cmp.Compare(doc, rng.Doc), cmp.Compare(offset, rng.Offset)) <= 0
	}
	number, _ := slices.BinarySearchFunc(s.rows.Pieces, true, func(p piece, _ bool) int {
		if before(p.Doc, p.Offset) {
			return -1
		}
		return 1
	})
	if number > 0 {
		if err := r.load(s, number-1); err != nil {
			return row{}, err
		}
		n := len(r.data) / rowBytes
		k := sort.Search(n, func(k int) bool {
			data := r.data[k*rowBytes:]
			return !before(int64(binary.LittleEndian.Uint64(data)), int64(binary.LittleEndian.Uint64(data[8:])))
		})
		if k > 0 {
			if found := decodeRow(r.data[(k-1)*rowBytes:]); found.Doc == rng.Doc && found.Offset == rng.Offset {
				return found, nil
			}
		}
	}
	return row{}, fmt.Errorf("byte %d: the range is not in the plan", rng.Offset)
}

// all returns the rows in order. The last pair may be an error.
func (s *rowSource) all() iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		var r rowReader
		for number := range s.rows.Pieces {
			if err := r.load(s, number); err != nil {
				yield(row{}, err)
				return
			}
			for data := r.data; len(data) > 0; data = data[rowBytes:] {
				if !yield(decodeRow(data), nil) {
					return
				}
			}
		}
	}
}

// rows returns a writer of rows whose object, if it needs one, has this name among the
// temporary ones. Call its close in any case.
func (o Options) rows(ctx context.Context, name string) (*rowWriter, error) {
	st, err := store.Open(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	return &rowWriter{ctx: ctx, st: st, name: partsPrefix + name, inline: o.InlineBytes}, nil
}
