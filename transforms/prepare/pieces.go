package prepare

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A Piece is text of one split: characters of some of its sequences.
type Piece struct {
	Split string // train, validation or test
	Joins bool   // it goes on, in its document, where the piece before it ended
	Text  []byte // of the set's unit, normalised as the set is; valid during the call
}

// Pieces calls visit with the text that a set of docs and o has in its sequences,
// in the order of the documents. Every character comes once, also where sequences
// overlap; what is in no sequence does not come. chars are how many characters
// each document has, as the set's manifest says: documents that have others by
// now are an error. Memory is bounded by one block.
func Pieces(ctx context.Context, docs []corpus.Document, chars []int64, o Options, visit func(Piece) error) (err error) {
	o.Dir = "." // nothing is written
	if err := o.Validate(); err != nil {
		return err
	}
	if len(chars) != len(docs) {
		return fmt.Errorf("prepare: %d documents, but the numbers of characters of %d", len(docs), len(chars))
	}
	w := &walker{o: o.complete(corpus.Bytes(docs)), visit: visit}
	if w.rule = w.o.rule(); w.rule.By == layout.ByTail {
		w.layout = layout.Tail(w.rule, chars)
	}
	defer func() { err = errors.Join(err, w.reader.Close()) }()
	for i, d := range docs {
		if err := w.document(ctx, int64(i), d, chars[i]); err != nil {
			return fmt.Errorf("prepare: %s: %w", d.Name, err)
		}
	}
	return nil
}

// A walker goes through documents, character by character.
type walker struct {
	o      Options
	visit  func(Piece) error
	reader corpus.Reader
	rule   layout.Rule
	layout layout.Layout // by tail
	spans  []span        // of this document, in order, those that have ended left out
	inside bool          // the last piece was of spans[0]
}

// A span is a stretch of a document's characters, all of one split.
type span struct {
	split int
	layout.Span
}

func (w *walker) document(ctx context.Context, doc int64, d corpus.Document, chars int64) error {
	w.spans, w.inside = nil, false
	ahead, at := int64(0), int64(0) // at: the next character
	if w.rule.By == layout.ByBlock {
		ahead = w.rule.Blocks().Ahead()
	}
	for offset := int64(0); offset < d.Bytes; offset += w.o.BlockBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := corpus.Block{Doc: doc, Document: d, Offset: offset, Length: min(w.o.BlockBytes, d.Bytes-offset)}
		text, err := w.reader.Block(ctx, b, w.o.form(), ahead)
		if err != nil {
			return err
		}
		owned := w.count(text.Owned())
		in := layout.Span{From: at, To: at + owned}
		if w.rule.By == layout.ByTail {
			w.add(w.layout.Starting(doc, in))
		} else {
			found, _, ok := w.rule.Blocks().Starting(in, chars, text.Unit, text.Bytes[text.First:])
			if !ok {
				return changed(b.End())
			}
			w.add(found)
		}
		if err := w.emit(at, text.Owned()); err != nil {
			return err
		}
		at += owned
	}
	if at != chars {
		return fmt.Errorf("has %d characters, but the set was made of %d: the text changed since; make the set anew", at, chars)
	}
	return nil
}

// count returns the number of characters of a text.
func (w *walker) count(text []byte) int64 {
	if w.o.Unit == vocab.Byte {
		return int64(len(text))
	}
	return int64(utf8.RuneCount(text))
}

// add takes the stretches of runs, joined to those that they follow.
func (w *walker) add(runs []layout.Sequences) {
	for _, r := range runs {
		s := span{r.Split, w.rule.Span(r)}
		if n := len(w.spans); n > 0 && w.spans[n-1].split == s.split && w.spans[n-1].To >= s.From {
			w.spans[n-1].To = s.To
			continue
		}
		w.spans = append(w.spans, s)
	}
}

// emit visits what spans have of a text that starts with the character at.
func (w *walker) emit(at int64, text []byte) error {
	for len(w.spans) > 0 && len(text) > 0 {
		s := w.spans[0]
		text = text[w.skip(text, s.From-at):]
		at = max(at, s.From)
		n := w.skip(text, s.To-at)
		if n > 0 {
			p := Piece{Split: layout.Names[s.split], Joins: w.inside, Text: text[:n]}
			if err := w.visit(p); err != nil {
				return err
			}
			w.inside = true
		}
		at += w.count(text[:n])
		text = text[n:]
		if at < s.To {
			return nil // the rest is in the next block
		}
		// The last one stays: a run of the next block may go on with it.
		if len(w.spans) == 1 {
			return nil
		}
		w.spans, w.inside = w.spans[1:], false
	}
	return nil
}

// skip returns the bytes of the first n characters of a text, or of all.
func (w *walker) skip(text []byte, n int64) int {
	if w.o.Unit == vocab.Byte {
		return int(max(0, min(n, int64(len(text)))))
	}
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}
