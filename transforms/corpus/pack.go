package corpus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The ways in which the documents of a corpus are packed.
const (
	PackNone      = "none"       // they are apart
	PackNewline   = "newline"    // they are one text; a line break ends each
	PackBlankLine = "blank_line" // likewise; a blank line ends each
)

// packedName is the name of the document that packed documents become.
const packedName = "packed"

// A Packing says how short texts become long ones: those in records of documents, and
// the documents themselves. The zero value leaves documents as they are.
type Packing struct {
	Records string // RecordFile (also if empty), RecordLine, or RecordJSONL or RecordCSV with a name
	Pack    string // PackNone (also if empty), PackNewline or PackBlankLine
	Bytes   bool   // documents may be bytes of any kind
	Replace bool   // documents may have bytes that are not UTF-8
}

// none reports whether documents stay as they are.
func (p Packing) none() bool {
	return (p.Records == "" || p.Records == RecordFile) && !p.joins()
}

// joins reports whether all documents become one.
func (p Packing) joins() bool { return p.Pack != "" && p.Pack != PackNone }

// noText reports whether d is no text, as far as its digest tells. prepare.CheckText
// refuses it, and says what it may be.
func (p Packing) noText(d Document) bool {
	if !p.Replace && d.Undefined.Count > 0 {
		return true
	}
	return !p.Bytes && (d.Signs.UTF16 != "" || !p.Replace && (d.Signs.Invalid.Count > 0 || d.Signs.Other != ""))
}

// separator is what ends a record.
func (p Packing) separator() string {
	if p.Pack == PackBlankLine {
		return "\n\n"
	}
	return "\n"
}

// Packed returns the corpus whose texts are the records of docs, in their order, each
// with a separator behind it in the place of its own line breaks at the end. Empty
// records are left out. Each of docs becomes a document of its name, or all become one,
// of the name "packed". Its text is written to o.Cache, once. Memory is bounded by
// one record, which may have 64 MiB.
//
// An error names the document and the line of a record that is not as p says. Where one
// of docs is no text, docs are the result.
func Packed(ctx context.Context, docs []Document, p Packing, o *ResolveOptions) ([]Document, error) {
	if p.none() {
		return docs, nil
	}
	sums, err := o.Digests(ctx, docs)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(docs, p.noText) {
		return docs, nil
	}
	if o.Cache == "" {
		return nil, errors.New("corpus: there is no folder to pack documents in")
	}
	var packed []Document
	for i, d := range docs {
		name, last := d.Name, i+1
		if p.joins() {
			name, last = packedName, len(docs)
		}
		one, err := pack(ctx, name, docs[i:last], sums[i:last], p, o)
		if err != nil {
			return nil, err
		}
		if packed = append(packed, one); p.joins() {
			break
		}
	}
	if Bytes(packed) == 0 {
		return nil, wrong(Records, "corpus: no record has a character")
	}
	return packed, nil
}

// pack writes the records of docs to the cache folder.
func pack(ctx context.Context, name string, docs []Document, sums []string, p Packing, o *ResolveOptions) (Document, error) {
	key := fmt.Sprintf("pack 1 %q %q %q", p.Records, p.separator(), sums)
	return kept(ctx, name, "text", key, o, func(w io.Writer, note *converted) error {
		to := bufio.NewWriterSize(w, 1<<20)
		k := packer{to: to, p: p}
		for _, d := range docs {
			if err := k.document(ctx, d); err != nil {
				return err
			}
		}
		note.Records = k.records
		return to.Flush()
	})
}

// A packer writes records one behind the other.
type packer struct {
	to      io.Writer
	p       Packing
	records int64
	buf     []byte
}

// document writes the records of a document.
func (k *packer) document(ctx context.Context, d Document) (err error) {
	var r Reader
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.open(ctx, d); err != nil {
		return err
	}
	sum := sha256.New()
	records, err := newRecords(k.p.Records, io.TeeReader(io.NewSectionReader(r.at, 0, d.Bytes), sum))
	if err != nil {
		return fmt.Errorf("corpus: %s: %w", d.Name, err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		record, line, err := records.next()
		switch {
		case err == io.EOF:
			if err := unchanged(d, sum); err != nil {
				return fmt.Errorf("corpus: %s: %w", d.Name, err)
			}
			return nil
		case err != nil && line == 0:
			return fmt.Errorf("corpus: %s: %w", d.Name, err)
		case err != nil:
			return fmt.Errorf("corpus: %s: line %d: %w", d.Name, line, err)
		}
		if err := k.record(record); err != nil {
			return err
		}
	}
}

// record writes a record.
func (k *packer) record(record []byte) error {
	record = bytes.TrimRight(record, "\r\n")
	if len(record) == 0 {
		return nil
	}
	k.buf = append(append(k.buf[:0], record...), k.p.separator()...)
	k.records++
	_, err := k.to.Write(k.buf)
	return err
}
