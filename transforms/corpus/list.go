package corpus

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/quire-ml/quire/runners/store"
)

// Workers read the documents' names, paths and sizes from pages. A page is consecutive
// groups, and a group the documents of one lot:
//
//	group = length of what follows (4B) · crc (4B) · documents
//
// with little-endian numbers. The CRC-32C is of the documents, which are encoded as
// appendDocument says. A group can be read without those before it.
const (
	groupHead = 8
	pageBytes = 1 << 20 // of a page, about
	maxLot    = 4096    // documents of a group
)

// A Page describes consecutive documents of a corpus. Its bytes go with it, or are an
// object.
type Page struct {
	First     int64 // position of its first document in the corpus
	Documents int64
	Path      string // path or URL of the object; empty: Data
	Bytes     int64  // of the object
	Data      []byte
}

// A List describes the documents of a corpus, for workers.
type List struct {
	pages      []Page
	names      []string // of the pages' objects in a store; none where the pages hold their bytes
	documents  int64
	rangeBytes int64
}

// ListOptions say how a List is made.
type ListOptions struct {
	RangeBytes int64  // of text in a lot of several documents, at most, and in a range
	Inline     int64  // a longer description is objects
	Dir        string // folder or URL of the objects, as workers open it
	Prefix     string // of the objects' names
}

// NewList describes documents. Where the description is long, Put has to store it before
// workers read it. NewList panics where docs is empty, or ranges have no byte.
func NewList(docs []Document, o ListOptions) *List {
	if len(docs) == 0 || o.RangeBytes < 1 {
		panic(fmt.Sprintf("corpus: a list of %d documents in ranges of %d bytes", len(docs), o.RangeBytes))
	}
	l := &List{documents: int64(len(docs)), rangeBytes: o.RangeBytes}
	total := int64(0)
	for at := 0; at < len(docs); {
		n := lot(docs[at:], o.RangeBytes)
		last := len(l.pages) - 1
		if last < 0 || len(l.pages[last].Data) >= pageBytes {
			l.pages = append(l.pages, Page{First: int64(at)})
			last++
		}
		p := &l.pages[last]
		before := len(p.Data)
		p.Data = appendGroup(p.Data, docs[at:at+n])
		p.Documents += int64(n)
		total += int64(len(p.Data) - before)
		at += n
	}
	if total <= o.Inline {
		return l
	}
	for i := range l.pages {
		l.names = append(l.names, fmt.Sprintf("%s%08d", o.Prefix, i))
		l.pages[i].Path, l.pages[i].Bytes = store.Locate(o.Dir, l.names[i]), int64(len(l.pages[i].Data))
	}
	return l
}

// lot returns how many of the first documents share a lot.
func lot(docs []Document, bytes int64) int {
	size := docs[0].Bytes
	n := 1
	for ; n < len(docs) && n < maxLot && size+docs[n].Bytes <= bytes; n++ {
		size += docs[n].Bytes
	}
	return n
}

// Put stores the pages that are objects, as temporary ones of the store of o.Dir.
func (l *List) Put(ctx context.Context, st *store.Store) error {
	for i, name := range l.names {
		if err := st.PutTemporary(ctx, name, l.pages[i].Data); err != nil {
			return fmt.Errorf("corpus: list of the documents: %w", err)
		}
	}
	return nil
}

// Pages returns the pages as elements of a pipeline.
func (l *List) Pages() []Page {
	pages := slices.Clone(l.pages)
	for i := range pages {
		if pages[i].Path != "" {
			pages[i].Data = nil
		}
	}
	return pages
}

// page returns the bytes of a page, valid until the reader's next call.
func (r *Reader) page(ctx context.Context, p Page) ([]byte, error) {
	if p.Path == "" {
		return p.Data, nil
	}
	return r.read(ctx, Document{Name: p.Path, Path: p.Path, Bytes: p.Bytes}, 0, p.Bytes)
}

// group decodes the group at a byte of the page, whose bytes are data. n is its length.
func (p Page) group(data []byte, at int, digests bool) (docs []Document, n int, err error) {
	if docs, n, err = decodeGroup(data[at:], digests); err != nil {
		err = groupError(p.Path, int64(at), err)
	}
	return docs, n, err
}

func groupError(path string, at int64, err error) error {
	if path == "" {
		path = "in the pipeline"
	}
	return fmt.Errorf("corpus: list of the documents: %s: byte %d: %w", path, at, err)
}

// Documents returns the documents of pages, in their order. The last pair may be an error.
func Documents(ctx context.Context, pages []Page) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		var r Reader
		defer r.Close() // nothing was written
		for _, p := range pages {
			data, err := r.page(ctx, p)
			for at := 0; err == nil && at < len(data); {
				docs, n, groupErr := p.group(data, at, true)
				for _, d := range docs {
					if !yield(d, nil) {
						return
					}
				}
				at, err = at+n, groupErr
			}
			if err != nil {
				yield(Document{}, err)
				return
			}
		}
	}
}

// Lots returns the lots of the page's documents, in order. rangeBytes is that of the list.
func (p Page) Lots(ctx context.Context, rangeBytes int64) (lots []Lot, err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	data, err := r.page(ctx, p)
	if err != nil {
		return nil, err
	}
	first := p.First
	for at := 0; at < len(data); {
		docs, n, err := p.group(data, at, false)
		if err != nil {
			return nil, err
		}
		lot := Lot{First: first, Path: p.Path, At: int64(at), Size: int64(n)}
		if p.Path == "" {
			lot.Data = data[at : at+n]
		}
		if bytes := docs[0].Bytes; bytes > rangeBytes {
			for lot.Offset = 0; lot.Offset < bytes; lot.Offset += rangeBytes {
				lot.Length = min(rangeBytes, bytes-lot.Offset)
				lots = append(lots, lot)
			}
		} else if Bytes(docs) > 0 {
			lots = append(lots, lot)
		}
		first += int64(len(docs))
		at += n
	}
	return lots, nil
}

// Ranges returns the ranges of a lot. Their documents are without digests.
func (r *Reader) Ranges(ctx context.Context, l Lot) ([]Range, error) {
	data := l.Data
	if l.Path != "" {
		var err error
		if data, err = r.read(ctx, Document{Name: l.Path, Path: l.Path, Bytes: l.At + l.Size}, l.At, l.Size); err != nil {
			return nil, err
		}
	}
	docs, n, err := decodeGroup(data, false)
	if err == nil && n != len(data) {
		err = errGroup
	}
	if err != nil {
		return nil, groupError(l.Path, l.At, err)
	}
	if l.Length > 0 {
		return []Range{{Doc: l.First, Document: docs[0], Offset: l.Offset, Length: l.Length}}, nil
	}
	ranges := make([]Range, 0, len(docs))
	for i, d := range docs {
		if d.Bytes > 0 {
			ranges = append(ranges, Range{Doc: l.First + int64(i), Document: d, Length: d.Bytes})
		}
	}
	return ranges, nil
}
