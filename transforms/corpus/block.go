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

// A Text is what a block's reader needs of its document: the characters that
// the block owns and some bytes around them.
type Text struct {
	Unit   vocab.Unit
	Bytes  []byte // a piece of the document
	Offset int64  // of Bytes[0] in the document
	First  int    // index in Bytes of the first character owned
	Last   int    // index in Bytes after the last character owned
	CRC    int64  // CRC-32C of the block's byte range
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	lookBack  = utf8.UTFMax     // for the character before the first one owned
	lookAhead = utf8.UTFMax - 1 // for the rest of the last one owned
)

// Block reads the characters that b owns, and at least ahead bytes after them
// where the document has so many.
func (r *Reader) Block(ctx context.Context, b Block, unit vocab.Unit, ahead int64) (Text, error) {
	lo := max(0, b.Offset-lookBack)
	hi := min(b.Document.Bytes, b.End()+lookAhead+ahead)
	data, err := r.read(ctx, b.Document, lo, hi-lo)
	if err != nil {
		return Text{}, err
	}
	t := Text{Unit: unit, Bytes: data, Offset: lo, First: int(b.Offset - lo), Last: int(b.End() - lo)}
	t.CRC = int64(crc32.Checksum(data[t.First:t.Last], castagnoli))
	if unit == vocab.Rune {
		t.First, t.Last = boundary(data, t.First), boundary(data, t.Last)
	}
	return t, nil
}

// Owned returns the bytes of the characters owned.
func (t Text) Owned() []byte { return t.Bytes[t.First:t.Last] }

// Previous returns the character before the first one owned. ok is false where
// the document starts with that one.
func (t Text) Previous() (c rune, ok bool) {
	switch {
	case t.First == 0:
		return 0, false
	case t.Unit == vocab.Byte:
		return rune(t.Bytes[t.First-1]), true
	}
	c, _ = utf8.DecodeLastRune(t.Bytes[:t.First])
	return c, true
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
