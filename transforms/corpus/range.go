package corpus

import (
	"context"
	"hash/crc32"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

// A Range is the bytes [Offset, Offset+Length) of a document.
type Range struct {
	Doc      int64    `json:"doc"` // position of the document in its corpus
	Document Document `json:"document"`
	Offset   int64    `json:"offset"`
	Length   int64    `json:"length"`
}

// A Lot is ranges that one goroutine works on, one after another: one range of a large
// document, or the whole of several small documents that follow one another in their
// corpus. A corpus of many small documents is few elements and few temporary files.
// Reader.Ranges returns the ranges.
type Lot struct {
	First  int64  // position of the first document
	Path   string // path or URL of the page that describes the documents; empty: Data
	At     int64  // of the description in the page
	Size   int64  // of the description
	Data   []byte
	Offset int64 // of the range, where the document is a large one
	Length int64 // of the range; 0: the documents as a whole
}

// End returns the offset after the range's last byte.
func (r Range) End() int64 { return r.Offset + r.Length }

// A Form says how the bytes of a document become characters.
type Form struct {
	Unit vocab.Unit
	NFC  bool // the text is normalised to NFC first; only with the unit rune
}

// A Text is the text of a range: the characters that the range owns, between bytes
// before and after them.
type Text struct {
	Unit    vocab.Unit
	Bytes   []byte  // of the document, normalised where the form is NFC
	Offset  int64   // of Bytes[0] in the document; approximate where the form is NFC
	First   int     // index in Bytes of the first character owned
	Last    int     // index in Bytes behind the last character owned
	CRC     int64   // CRC-32C of the range's bytes
	Invalid Invalid // where the form is NFC; else zero, and invalid bytes are still in Bytes
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) int64 { return int64(crc32.Checksum(data, castagnoli)) }

const (
	lookBack  = 2 * utf8.UTFMax // for the two characters before the first owned
	lookAhead = utf8.UTFMax - 1 // for the rest of the last owned
)

// Text reads the characters that rng owns, and ahead characters or more behind them,
// or all where the document has fewer. The result is valid until the next call.
func (r *Reader) Text(ctx context.Context, rng Range, f Form, ahead int64) (Text, error) {
	if f.NFC {
		t, err := r.normalized(ctx, rng, ahead)
		t.Unit = f.Unit
		return t, err
	}
	if f.Unit == vocab.Rune {
		ahead *= utf8.UTFMax
	}
	lo := max(0, rng.Offset-lookBack)
	hi := min(rng.Document.Bytes, rng.End()+lookAhead+ahead)
	data, err := r.read(ctx, rng.Document, lo, hi-lo)
	if err != nil {
		return Text{}, err
	}
	t := Text{Unit: f.Unit, Bytes: data, Offset: lo, First: int(rng.Offset - lo), Last: int(rng.End() - lo)}
	t.CRC = checksum(data[t.First:t.Last])
	if f.Unit == vocab.Rune {
		t.First, t.Last = boundary(data, t.First), boundary(data, t.Last)
	}
	return t, nil
}

// Owned returns the bytes of the owned characters.
func (t Text) Owned() []byte { return t.Bytes[t.First:t.Last] }

// before returns the character that ends at an index in Bytes, and its size in
// bytes. The size is 0 at the start of the document.
func (t Text) before(end int) (c rune, size int) {
	switch {
	case end == 0:
		return 0, 0
	case t.Unit == vocab.Byte:
		return rune(t.Bytes[end-1]), 1
	}
	return utf8.DecodeLastRune(t.Bytes[:end])
}

// boundary returns the first index from at on where a character starts, or
// len(data). data has 3 bytes on both sides of at, or all up to the document's ends.
func boundary(data []byte, at int) int {
	for p := at - 1; p >= max(0, at-lookAhead); p-- {
		if utf8.RuneStart(data[p]) {
			_, size := utf8.DecodeRune(data[p:])
			return max(at, p+size)
		}
	}
	return at
}
