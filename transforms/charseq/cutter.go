package charseq

import (
	"fmt"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

const pageBits = 7 // characters per page of the table, as a power of two

// A Cutter encodes the characters of blocks. It is for one goroutine at a time.
type Cutter struct {
	vocab *vocab.Vocab
	pages [][]int32 // character>>pageBits → id+1 of each character of the page; 0 = not looked up
	ids   []int32
}

// NewCutter returns a Cutter that gives characters v's ids.
func NewCutter(v *vocab.Vocab) *Cutter {
	return &Cutter{vocab: v, pages: make([][]int32, utf8.MaxRune>>pageBits+1)}
}

// IDs returns the ids of the characters that t's block owns, owned in number,
// and of up to more characters after them. An invalid byte is the character
// U+FFFD. The result is valid until the next call.
func (c *Cutter) IDs(t corpus.Text, more int64) (ids []int32, owned int, err error) {
	c.ids = c.ids[:0]
	if err := c.append(t, t.First, t.Last, int64(t.Last)); err != nil {
		return nil, 0, err
	}
	owned = len(c.ids)
	err = c.append(t, t.Last, len(t.Bytes), more)
	return c.ids, owned, err
}

// append adds the ids of at most limit characters of t.Bytes[from:to].
func (c *Cutter) append(t corpus.Text, from, to int, limit int64) error {
	data := t.Bytes[:to]
	for i := from; i < to && limit > 0; limit-- {
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
				return fmt.Errorf("charseq: character %q (%U) at byte %d is not in the vocabulary: the document changed while it was read; run prep again", r, r, t.Offset+int64(i))
			}
		}
		c.ids = append(c.ids, id-1)
		i += size
	}
	return nil
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
