package decode

import (
	"fmt"
	"sync/atomic"

	"github.com/quire-ml/quire/model/kernel"
	"github.com/quire-ml/quire/model/sample"
)

// A Batch writes texts side by side, a character of each in a step. Texts join and
// leave it between any two characters.
//
// A text depends on its prompt, its sampler and the weights alone: not on the texts
// beside it, on the steps at which they come and go, or on the width of the model. A
// step costs what its texts cost; streams without a text cost nothing. Texts that read
// their prompt hold nobody up: they too take one character a step.
//
// A Batch is for one goroutine at a time.
type Batch struct {
	m     *Model
	texts []*Text // text i has stream i of the model
	ids   []int32
	equal []float32 // (V), the logits before a text without a prompt
	draw  func(*kernel.Worker)
	fault atomic.Pointer[any] // what a sampler has panicked with
}

// A Text is a text that a Batch writes: its prompt, then Length drawn characters. Emit
// and End must not call the Batch.
type Text struct {
	Prompt []int32
	Length int

	// Sampler draws the characters. It sees those of the prompt first. A text of no
	// Length needs none. Samplers of several texts run side by side: each text has its own.
	Sampler *sample.Sampler

	// Emit receives every drawn character in order. Where it reports false, the text ends.
	Emit func(c Char) (more bool)
	Echo bool // Emit receives the characters of the prompt too

	// End is called once, after the last character; nil: nobody is told. err says why no
	// character could be drawn. A text that is removed has no End.
	End func(err error)

	at    int // characters so far
	row   int // its stream
	drawn int32
	err   error // of drawn
}

// A Char is a character of a text.
type Char struct {
	ID     int32
	Prompt bool // it is one of the prompt, not drawn

	// Logits (V) are the model's prediction for the character, before the sampler changed
	// it: nil for the first of a prompt, all equal for the first of a text without one. They
	// are valid until Emit returns.
	Logits []float32
}

// NewBatch returns a batch without texts. It has room for m.B of them, and m belongs to
// it.
func NewBatch(m *Model) *Batch {
	b := &Batch{m: m, ids: make([]int32, 0, m.B), equal: make([]float32, m.shape.Vocabulary)}
	b.draw = b.share
	return b
}

// Len returns the number of texts in the batch, and Free how many more have room.
func (b *Batch) Len() int { return len(b.texts) }

// Free returns the number of texts for which there is room.
func (b *Batch) Free() int { return b.m.B - len(b.texts) }

// Add lets a text join. An id outside the vocabulary is an error, and so is a batch that
// has no room.
func (b *Batch) Add(t *Text) error {
	if b.Free() == 0 {
		return fmt.Errorf("decode: a batch of %d texts has no room", b.m.B)
	}
	if err := b.m.check(t); err != nil {
		return err
	}
	t.at, t.row = 0, len(b.texts)
	b.texts = append(b.texts, t)
	b.m.Forget(t.row)
	return nil
}

// check returns an error for the first id of a prompt outside the vocabulary.
func (m *Model) check(t *Text) error {
	for at, id := range t.Prompt {
		if id < 0 || int(id) >= m.shape.Vocabulary {
			return fmt.Errorf("decode: id %d at position %d of the prompt is outside the vocabulary of %d", id, at, m.shape.Vocabulary)
		}
	}
	return nil
}

// Remove lets a text leave before its end. A text that has ended, or never joined, is
// none of the batch's.
func (b *Batch) Remove(t *Text) {
	if t.row >= len(b.texts) || b.texts[t.row] != t {
		return
	}
	last := len(b.texts) - 1
	if t.row < last {
		b.texts[t.row] = b.texts[last]
		b.texts[t.row].row = t.row
		b.m.move(t.row, last)
	}
	b.texts[last] = nil
	b.texts = b.texts[:last]
}

// Step takes every text one character on: the next of its prompt, or one that is drawn.
// Texts that are at their end have left when Step returns. Step panics where a sampler or an
// Emit does: on the goroutine of its caller, who may go on with another Batch.
func (b *Batch) Step() {
	b.m.team.Run(len(b.texts)*b.m.shape.Vocabulary*drawing, b.draw)
	if fault := b.fault.Swap(nil); fault != nil {
		panic(*fault)
	}
	b.ids = b.ids[:0]
	for i := 0; i < len(b.texts); {
		t := b.texts[i]
		id, more, err := b.next(t)
		if more {
			b.ids = append(b.ids, id)
			i++
			continue
		}
		b.Remove(t) // the last text takes its place, and is next
		if t.End != nil {
			t.End(err)
		}
	}
	if len(b.ids) > 0 {
		b.m.feed(b.ids)
	}
}

// drawing is the rough cost of drawing from one logit, in multiplications of a product.
const drawing = 256

// share is one worker's part of the draws: those of its texts. Nobody could recover from a
// panic on a worker.
func (b *Batch) share(w *kernel.Worker) {
	defer func() {
		if found := recover(); found != nil {
			fault := found // in memory of its own, which no other step takes
			b.fault.Store(&fault)
		}
	}()
	lo, hi := w.Range(len(b.texts), 1)
	for _, t := range b.texts[lo:hi] {
		if t.at >= len(t.Prompt) && t.at < len(t.Prompt)+t.Length {
			t.drawn, t.err = t.Sampler.Next(b.logits(t))
		}
	}
}

// logits returns the model's prediction for the next character of a text.
func (b *Batch) logits(t *Text) []float32 {
	if t.at == 0 {
		return b.equal
	}
	V := b.m.shape.Vocabulary
	return b.m.logits[t.row*V : (t.row+1)*V]
}

// next returns the next character of a text. more is false where the text is at its end.
func (b *Batch) next(t *Text) (id int32, more bool, err error) {
	length := len(t.Prompt) + t.Length
	if t.at >= length {
		return 0, false, nil
	}
	c := Char{ID: t.drawn, Prompt: t.at < len(t.Prompt), Logits: b.logits(t)}
	if c.Prompt {
		c.ID = t.Prompt[t.at]
		if t.at == 0 {
			c.Logits = nil
		}
		if t.Sampler != nil {
			t.Sampler.See(c.ID)
		}
	} else if t.err != nil {
		return 0, false, fmt.Errorf("decode: character %d: %w", t.at, t.err)
	}
	t.at++
	if (!c.Prompt || t.Echo) && !t.Emit(c) {
		return 0, false, nil
	}
	return c.ID, t.at < length, nil
}
