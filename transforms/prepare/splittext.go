package prepare

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A Text is consecutive characters of one split, all of them in sequences.
type Text struct {
	Split     string // train, validation or test
	Continues bool   // it starts, in its document, where the Text before it ended
	Bytes     []byte // of the set's unit, normalised as the set is; valid during the call
}

// ErrChanged is wrapped by errors about documents that have other bytes than before.
var ErrChanged = corpus.ErrChanged

// SplitText reads the documents of a set again, and calls visit with the text of its
// sequences, in the order of the documents. Every character comes once, even where
// sequences overlap. Characters of no sequence do not come. The error wraps ErrChanged
// where a document has other bytes than its digests say, or another number of characters
// than the manifest says; visit may have been called with some of them. Memory is bounded by 4 MiB of text
// and one block.
func SplitText(ctx context.Context, docs []corpus.Document, m *dataset.Manifest, visit func(Text) error) error {
	chars := make([]int64, len(m.Documents))
	for i, d := range m.Documents {
		chars[i] = d.Chars
	}
	form := corpus.Form{Unit: vocab.Unit(m.Unit), NFC: m.Normalize == "nfc"}
	return (&walker{rule: m.Rule(), form: form, rangeBytes: maxRange, visit: visit}).walk(ctx, docs, chars)
}

// A walker goes through documents, character by character.
type walker struct {
	rule       layout.Rule
	form       corpus.Form
	rangeBytes int64
	visit      func(Text) error

	reader corpus.Reader
	read   []corpus.RangeCount // of this document
	layout layout.Layout       // by tail
	spans  []splitSpan         // of this document, in order, without those that have ended
	inside bool                // the last Text was of spans[0]
}

// A splitSpan is consecutive characters of a document, all of one split.
type splitSpan struct {
	layout.Span
	split int
}

// walk visits the text of documents that have the given numbers of characters.
func (w *walker) walk(ctx context.Context, docs []corpus.Document, chars []int64) (err error) {
	if err := w.rule.Validate(); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if len(chars) != len(docs) {
		return fmt.Errorf("prepare: %d documents, the set was made of %d", len(docs), len(chars))
	}
	if w.rule.By == layout.ByTail {
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

func (w *walker) document(ctx context.Context, doc int64, d corpus.Document, chars int64) error {
	w.spans, w.inside, w.read = nil, false, nil
	ahead, at := int64(0), int64(0) // at: the next character
	if w.rule.By == layout.ByBlock {
		ahead = w.rule.Blocks().Ahead()
	}
	for offset := int64(0); offset < d.Bytes; offset += w.rangeBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		rng := corpus.Range{Doc: doc, Document: d, Offset: offset, Length: min(w.rangeBytes, d.Bytes-offset)}
		text, err := w.reader.Text(ctx, rng, w.form, ahead)
		if err != nil {
			return err
		}
		w.read = append(w.read, corpus.RangeCount{Doc: doc, Offset: offset, Length: rng.Length, CRC: text.CRC})
		in := layout.Span{From: at, To: at + w.count(text.Owned())}
		if w.rule.By == layout.ByTail {
			w.add(w.layout.Starting(doc, in))
		} else {
			found, _, ok := w.rule.Blocks().Starting(in, chars, text.Unit, text.Bytes[text.First:])
			if !ok {
				return changed(rng.End())
			}
			w.add(found)
		}
		if err := w.emit(at, text.Owned()); err != nil {
			return err
		}
		at = in.To
	}
	if at != chars {
		return fmt.Errorf("has %d characters, the set was made of %d: %w since", at, chars, corpus.ErrChanged)
	}
	if d.SHA256 == "" {
		return nil // not digested
	}
	return corpus.Same(w.read, d)
}

// count returns the number of characters of a text.
func (w *walker) count(text []byte) int64 {
	if w.form.Unit == vocab.Byte {
		return int64(len(text))
	}
	return int64(utf8.RuneCount(text))
}

// add appends the characters of sequences to the spans, joined where they touch and
// have one split.
func (w *walker) add(found []layout.Sequences) {
	for _, q := range found {
		s := w.rule.Span(q)
		if n := len(w.spans); n > 0 && w.spans[n-1].split == q.Split && w.spans[n-1].To >= s.From {
			w.spans[n-1].To = s.To
			continue
		}
		w.spans = append(w.spans, splitSpan{s, q.Split})
	}
}

// emit visits the characters of the spans in a text that starts with the character
// at of the document.
func (w *walker) emit(at int64, text []byte) error {
	for len(w.spans) > 0 && len(text) > 0 {
		s := w.spans[0]
		text = text[w.skip(text, s.From-at):]
		at = max(at, s.From)
		if n := w.skip(text, s.To-at); n > 0 {
			if err := w.visit(Text{Split: layout.Names[s.split], Continues: w.inside, Bytes: text[:n]}); err != nil {
				return err
			}
			w.inside = true
			at += w.count(text[:n])
			text = text[n:]
		}
		if at < s.To {
			return nil // the rest is in the next range
		}
		// The last span stays: sequences of the next range may continue it.
		if len(w.spans) == 1 {
			return nil
		}
		w.spans, w.inside = w.spans[1:], false
	}
	return nil
}

// skip returns the number of bytes of the first n characters of a text, or of all.
func (w *walker) skip(text []byte, n int64) int {
	if w.form.Unit == vocab.Byte {
		return int(max(0, min(n, int64(len(text)))))
	}
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}
