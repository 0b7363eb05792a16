package corpus

import (
	"context"
	"hash/crc32"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/vocab"
)

// A Block is a byte range of a document.
type Block struct {
	Doc      int64    `json:"doc"` // position of the document in its corpus
	Document Document `json:"document"`
	Offset   int64    `json:"offset"`
	Length   int64    `json:"length"`
}

// End returns the offset after the block's last byte.
func (b Block) End() int64 { return b.Offset + b.Length }

// A Form says what a document's characters are.
type Form struct {
	Unit vocab.Unit
	NFC  bool // they are those of the text normalised to NFC; the unit is rune
}

// A Text is what a block's reader needs of its document: the characters that
// the block owns and some bytes around them.
type Text struct {
	Unit    vocab.Unit
	Bytes   []byte  // a piece of the document, normalised where the form is so
	Offset  int64   // of Bytes[0] in the document; about that where the form is NFC
	First   int     // index in Bytes of the first character owned
	Last    int     // index in Bytes after the last character owned
	CRC     int64   // CRC-32C of the block's byte range
	Invalid Invalid // of a form that is NFC; else invalid bytes are still in Bytes
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(data []byte) int64 { return int64(crc32.Checksum(data, castagnoli)) }

const (
	lookBack  = 2 * utf8.UTFMax // for the two characters before the first one owned
	lookAhead = utf8.UTFMax - 1 // for the rest of the last one owned
)

// Block reads the characters that b owns, and at least ahead characters after
// them where the document has so many. The result is valid until the next call.
func (r *Reader) Block(ctx context.Context, b Block, f Form, ahead int64) (Text, error) {
	if f.NFC {
		t, err := r.normalized(ctx, b, ahead)
		t.Unit = f.Unit
		return t, err
	}
	if f.Unit == vocab.Rune {
		ahead *= utf8.UTFMax
	}
	lo := max(0, b.Offset-lookBack)
	hi := min(b.Document.Bytes, b.End()+lookAhead+ahead)
	data, err := r.read(ctx, b.Document, lo, hi-lo)
	if err != nil {
		return Text{}, err
	}
	t := Text{Unit: f.Unit, Bytes: data, Offset: lo, First: int(b.Offset - lo), Last: int(b.End() - lo)}
	t.CRC = checksum(data[t.First:t.Last])
	if f.Unit == vocab.Rune {
		t.First, t.Last = boundary(data, t.First), boundary(data, t.Last)
	}
	return t, nil
}

// Owned returns the bytes of the characters owned.
func (t Text) Owned() []byte { return t.Bytes[t.First:t.Last] }

// before returns the character that ends at an index in Bytes and its size, which
// is 0 where the document starts there.
func (t Text) before(end int) (c rune, size int) {
	switch {
	case end == 0:
		return 0, 0
	case t.Unit == vocab.Byte:
		return rune(t.Bytes[end-1]), 1
	}
	return utf8.DecodeLastRune(t.Bytes[:end])
}

// boundary returns the first index at or after at where a character starts, or
// len(data). data holds 3 bytes on both sides of at, unless the document ends
// before.
func boundary(data []byte, at int) int {
	for p := at - 1; p >= max(0, at-lookAhead); p-- {
		if utf8.RuneStart(data[p]) {
			_, size := utf8.DecodeRune(data[p:])
			return max(at, p+size)
		}
	}
	return at
}
