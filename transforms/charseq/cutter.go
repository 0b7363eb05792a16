// Package charseq turns the text of a block of bytes into the ids of its
// characters, packed as package tfexample says: sequences are slices of them.
package charseq

import (
	"fmt"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/vocab"
)

const pageBits = 7 // characters per page of the table, as a power of two

// A Cutter encodes the characters of blocks. It is for one goroutine at a time.
type Cutter struct {
	vocab  *vocab.Vocab
	width  int        // bytes of a packed id
	single [256]int16 // id of the character that a byte is by itself, where width is 1; -1 = none or not looked up
	pages  [][]int32  // character>>pageBits → id+1 of each character of the page; 0 = not looked up
	ids    []byte
}

// NewCutter returns a Cutter that gives characters v's ids.
func NewCutter(v *vocab.Vocab) *Cutter {
	c := &Cutter{vocab: v, width: tfexample.Width(v.Size()), pages: make([][]int32, utf8.MaxRune>>pageBits+1)}
	for i := range c.single {
		c.single[i] = -1
	}
	return c
}

// Width returns the number of bytes that Pack gives an id.
func (c *Cutter) Width() int { return c.width }

// Pack returns the ids of the characters that t's block owns, owned in number,
// and of up to more characters after them, packed as package tfexample says. An
// invalid byte is the character U+FFFD. The result is valid until the next call.
func (c *Cutter) Pack(t corpus.Text, more int64) (ids []byte, owned int64, err error) {
	if most := c.width * len(t.Bytes); cap(c.ids) < most {
		c.ids = make([]byte, most)
	}
	n, err := c.pack(0, t, t.First, t.Last, int64(t.Last))
	if err != nil {
		return nil, 0, err
	}
	owned = int64(n / c.width)
	n, err = c.pack(n, t, t.Last, len(t.Bytes), more)
	return c.ids[:n], owned, err
}

// pack puts the ids of at most limit characters of t.Bytes[from:to] into c.ids,
// from index n on, and returns the index after them.
func (c *Cutter) pack(n int, t corpus.Text, from, to int, limit int64) (int, error) {
	data, ids := t.Bytes[:to], c.ids[:cap(c.ids)]
	for i := from; i < to && limit > 0; limit-- {
		if c.single[data[i]] >= 0 {
			most := int(min(limit, int64(to-i)))
			k := c.run(ids[n:][:most], data[i:][:most])
			n, i, limit = n+k, i+k, limit-int64(k-1)
			continue
		}
		r, size := rune(data[i]), 1
		if r >= utf8.RuneSelf && t.Unit == vocab.Rune {
			r, size = utf8.DecodeRune(data[i:])
		}
		id := int32(0)
		if page := c.pages[r>>pageBits]; page != nil {
			id = page[r&(1<<pageBits-1)]
		}
		if id == 0 {
			var ok bool
			if id, ok = c.look(r); !ok {
				return n, fmt.Errorf("charseq: %s at byte %d is not in the vocabulary: the document changed while the set was made; make the set again",
					t.Unit.Name(r), t.Offset+int64(i))
			}
			if c.width == 1 && (r < utf8.RuneSelf || t.Unit == vocab.Byte) {
				c.single[data[i]] = int16(id - 1)
			}
		}
		if c.width == 1 {
			ids[n] = byte(id - 1)
		} else {
			tfexample.AppendID(ids[:n], id-1, c.width)
		}
		n += c.width
		i += size
	}
	return n, nil
}

// run packs the bytes that are characters by themselves, up to the first that is not. It
// returns their number. Both slices have one length.
func (c *Cutter) run(ids, data []byte) int {
	ids = ids[:len(data)]
	for i, b := range data {
		id := c.single[b]
		if id < 0 {
			return i
		}
		ids[i] = byte(id)
	}
	return len(data)
}

// look finds r's id in the vocabulary and keeps id+1 in the table.
func (c *Cutter) look(r rune) (id int32, ok bool) {
	if id, ok = c.vocab.ID(r); !ok {
		return 0, false
	}
	page := &c.pages[r>>pageBits]
	if *page == nil {
		*page = make([]int32, 1<<pageBits)
	}
	(*page)[r&(1<<pageBits-1)] = id + 1
	return id + 1, true
}
