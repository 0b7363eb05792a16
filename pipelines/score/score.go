// Package score measures how well models predict a text of any length, in memory that
// does not grow with it: in all, character by character, as colour, two models side by
// side, and models that learn from the text beside those that do not.
package score

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/vocab"
)

// Sum is the loss of a model on a text. The first character has no prediction.
type Sum struct {
	Nats  float64 // of all predicted characters
	Chars int64   // predicted characters: one less than the text has
}

// Mean returns the loss in nats and bits a character; nil for a text of fewer than two.
func (s Sum) Mean() (nats, bits *float64) {
	if s.Chars == 0 {
		return nil, nil
	}
	n := s.Nats / float64(s.Chars)
	b := n / math.Ln2
	return &n, &b
}

// A Char is a character of a text with what it cost the models.
type Char struct {
	Text []byte    // valid until visit returns
	Nats []float64 // by model, then of those that learn; nil for the first character; valid until visit returns
}

// ErrUnlike is wrapped by the error about models that do not read a text alike.
var ErrUnlike = errors.New("the models do not read a text alike")

// Text measures models on the text that r has, in the form that c describes and Read
// reads. The hidden is carried from the first character to the last. visit receives every
// character; nil: nobody does. A character that a model lacks is a *vocab.CharError; where
// the text is in another form than c's, and a character a rune, in a *text.FormError.
func Text(ctx context.Context, models []*text.Model, r io.Reader, c configs.Corpus, visit func(Char) error) ([]Sum, error) {
	return measure(ctx, models, r, c, 0, visit)
}

// measure is Adapt, and with a rate of 0 Text.
func measure(ctx context.Context, models []*text.Model, r io.Reader, c configs.Corpus, rate float64,
	visit func(Char) error) (sums []Sum, err error) {
	s := &scorer{models: models, visit: visit}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(rate); err != nil {
		return nil, err
	}
	m := models[0]
	t, err := text.NewReader(r, c)
	if err != nil {
		return nil, err
	}
	blocks := &blocks{from: t, whole: m.Vocab.Unit() == vocab.Rune || m.Normalize == "nfc", nfc: m.Normalize == "nfc"}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		block, err := blocks.next()
		if bad := t.Defined(); bad != nil {
			return nil, bad
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		failed := s.read(ctx, m.Text(block))
		if m.Vocab.Unit() == vocab.Rune {
			failed = t.Explain(failed)
		}
		if failed != nil {
			return nil, failed
		}
		if err != nil {
			return s.sums(), nil
		}
	}
}

// scorer is one call of measure.
type scorer struct {
	models   []*text.Model
	readers  []reader // of the models, then of those that learn
	adaptive []*train.Adaptive
	rate     float64 // at which they learn
	visit    func(Char) error
	nats     []float64 // of a character, by reader
	bytes    int       // read so far
	chars    int
}

// reader is a model that reads.
type reader struct {
	vocab *vocab.Vocab
	model interface {
		Losses(ids, targets []int32) ([]float64, error)
	}
	id     [1]int32 // of the character before
	next   []int32
	sum    float64
	before float64 // sum where the passage began
}

// open makes the readers. A rate of 0 makes none that learn.
func (s *scorer) open(rate float64) error {
	m := s.models[0]
	for _, other := range s.models[1:] {
		if other.Unit != m.Unit || other.Normalize != m.Normalize {
			return fmt.Errorf("score: %w: %s has unit %s, normalisation %s; %s has %s, %s",
				ErrUnlike, m.Path, m.Unit, m.Normalize, other.Path, other.Unit, other.Normalize)
		}
	}
	for _, m := range s.models {
		bytes := decode.Memory(m.Weights.Shape, 1)
		if rate > 0 {
			bytes = min(bytes, 1<<60) + train.AdaptiveMemory(m.Weights.Shape)
		}
		if err := m.CheckMemory("score", bytes); err != nil {
			return err
		}
	}
	for _, m := range s.models {
		s.readers = append(s.readers, reader{vocab: m.Vocab, model: decode.New(m.Weights, 1)})
	}
	if rate > 0 {
		if err := s.addAdaptive(rate); err != nil {
			return err
		}
	}
	s.nats = make([]float64, len(s.readers))
	return nil
}

func (s *scorer) close() (err error) {
	for _, a := range s.adaptive {
		err = errors.Join(err, a.Close())
	}
	return err
}

// read takes the next part of the text, of whole characters.
func (s *scorer) read(ctx context.Context, part []byte) error {
	for len(part) > 0 {
		size := 1
		if s.readers[0].vocab.Unit() == vocab.Rune && part[0] >= utf8.RuneSelf {
			_, size = utf8.DecodeRune(part)
		}
		if s.chars%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.char(part[:size]); err != nil {
			return err
		}
		part = part[size:]
	}
	return nil
}

// char takes the next character.
func (s *scorer) char(char []byte) error {
	for i := range s.readers {
		r := &s.readers[i]
		var err error
		if r.next, err = r.vocab.Encode(r.next[:0], char); err != nil {
			var missing *vocab.CharError
			if errors.As(err, &missing) {
				missing.Index, missing.Byte = s.chars, s.bytes
			}
			return fmt.Errorf("text: score: %w", err)
		}
		if s.chars > 0 {
			losses, err := r.model.Losses(r.id[:], r.next)
			if err != nil && i >= len(s.models) {
				err = s.adaptError(i-len(s.models), err)
			}
			if err != nil {
				return err
			}
			s.nats[i] = losses[0]
			r.sum += losses[0]
		}
		r.id[0] = r.next[0]
	}
	c := Char{Text: char}
	if s.chars > 0 {
		c.Nats = s.nats
	}
	s.chars, s.bytes = s.chars+1, s.bytes+len(char)
	if s.chars > 1 && (s.chars-1)%train.AdaptChars == 0 {
		if err := s.judge(); err != nil {
			return err
		}
	}
	if s.visit == nil {
		return nil
	}
	return s.visit(c)
}

func (s *scorer) sums() []Sum {
	list := make([]Sum, len(s.readers))
	for i, r := range s.readers {
		list[i] = Sum{Nats: r.sum, Chars: int64(max(s.chars-1, 0))}
	}
	return list
}

// blocks cuts a text where it can be read, and brought into a form, part by part.
type blocks struct {
	from  io.Reader
	whole bool // no character of UTF-8 is cut
	nfc   bool // nor what is normalised together
	held  []byte
}

const (
	blockBytes = 64 << 10
	// mostHeld bounds what is normalised together. No text has so many marks on a character.
	mostHeld = 1 << 20
)

// next returns the next part of the text, and io.EOF with the last.
func (b *blocks) next() ([]byte, error) {
	for {
		buf := make([]byte, len(b.held)+blockBytes)
		copy(buf, b.held)
		n, err := len(b.held), error(nil)
		for n < len(buf) && err == nil { // io.ReadFull takes a text that is cut off for one that ends
			var more int
			more, err = b.from.Read(buf[n:])
			n += more
		}
		buf = buf[:n]
		if err != nil {
			b.held = nil
			return buf, err
		}
		cut := len(buf)
		if b.whole {
			for back := 1; back < utf8.UTFMax && back < len(buf); back++ {
				if last := buf[len(buf)-back:]; utf8.RuneStart(last[0]) {
					if !utf8.FullRune(last) {
						cut -= back
					}
					break
				}
			}
		}
		if b.nfc && len(buf) < mostHeld {
			cut = corpus.Boundary(buf[:cut])
		}
		b.held = buf[cut:]
		if cut > 0 {
			return buf[:cut], nil
		}
	}
}
