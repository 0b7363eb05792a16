package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/vocab"
)

// A Request is what a model is asked to write.
type Request struct {
	Prompt   *Prompt
	Length   int // characters of a text, after the prompt
	Sampling sample.Options
	Stop     []string // a text ends before the first of these in what is drawn
	Seed     int64
	Streams  []uint64 // of random numbers below the seed: one for each text
}

// Request returns the request of a config. Its prompt is taken in the form that m.Text
// gives it. Unless g.Unknown is unk, [UNK] is not drawn. Errors about the prompt wrap
// ErrPrompt.
func (m *Model) Request(g configs.Generate) (*Request, error) {
	prompt, err := m.Prompt(g.Prompt, g.Unknown)
	if err != nil {
		return nil, err
	}
	q := &Request{Prompt: prompt, Length: g.Length, Stop: g.Stop, Seed: g.Seed,
		Sampling: sample.Options{Temperature: g.Temperature, TopK: g.TopK, TopP: g.TopP, MinP: g.MinP,
			RepetitionPenalty: g.RepetitionPenalty, Ban: m.ban(g)}}
	if len(q.Sampling.Ban) == m.Vocab.Size() {
		return nil, fmt.Errorf("text: %w: all %d characters of the model are banned", ErrBan, m.Vocab.Size())
	}
	for i := range max(g.Num, 1) {
		q.Streams = append(q.Streams, uint64(i))
	}
	return q, nil
}

// ErrBan is wrapped by the error about a ban that leaves no character.
var ErrBan = errors.New("ban")

// ban returns the ids that are never drawn, in order. Characters that the model lacks
// have none.
func (m *Model) ban(g configs.Generate) []int32 {
	banned := make([]bool, m.Vocab.Size())
	if m.Vocab.HasUnknown() && g.Unknown != "unk" {
		banned[0] = true
	}
	known, _ := m.Vocab.Split(m.Text([]byte(g.Ban)))
	ids, _ := m.Vocab.Encode(nil, known) // all of them are known
	for _, id := range ids {
		banned[id] = true
	}
	var list []int32
	for id, is := range banned {
		if is {
			list = append(list, int32(id))
		}
	}
	return list
}

// A BanError says that a ban cannot work as it is meant. It wraps ErrBan.
type BanError struct {
	Lacking []*vocab.CharError // characters that the model lacks; or
	Char    rune               // a character of several bytes, for a model of bytes
	Bytes   int                // of that character

	vocab *vocab.Vocab
}

// Error names the characters.
func (e *BanError) Error() string {
	if e.Bytes > 0 {
		return fmt.Sprintf("text: %v: character %q (%U) is %d bytes, and the model is one of bytes: "+
			"other characters have these bytes too, and would go with it", ErrBan, e.Char, e.Char, e.Bytes)
	}
	are := "is not one"
	if len(e.Lacking) > 1 {
		are = "are not among those"
	}
	return fmt.Sprintf("text: %v: %s %s of the %d %s that the model knows", ErrBan, Places(e.Lacking), are, e.vocab.Size(), e.vocab.Unit().Plural())
}

// Unwrap returns ErrBan.
func (e *BanError) Unwrap() error { return ErrBan }

// CheckBan returns a *BanError where the model lacks a character of a ban, or where a model
// of bytes would lose the bytes of a character of several.
func (m *Model) CheckBan(ban string) error {
	if m.Vocab.Unit() == vocab.Byte {
		for i := 0; i < len(ban); {
			c, n := utf8.DecodeRuneInString(ban[i:])
			if n > 1 {
				return &BanError{Char: c, Bytes: n, vocab: m.Vocab}
			}
			i += n
		}
	}
	if _, lacking := m.Vocab.Split(m.Text([]byte(ban))); len(lacking) > 0 {
		return &BanError{Lacking: lacking, vocab: m.Vocab}
	}
	return nil
}

// CheckStop returns the characters of a stop string that the model lacks: no text of it
// has the string. A byte that is not UTF-8 may be part of a character, and is passed over.
func (m *Model) CheckStop(stop string) []*vocab.CharError {
	_, all := m.Vocab.Split([]byte(stop))
	var lacking []*vocab.CharError
	for _, c := range all {
		if c.Char != utf8.RuneError {
			lacking = append(lacking, c)
		}
	}
	return lacking
}

// GenerateResult is the outcome of Generate and Write.
type GenerateResult struct {
	Texts      []string   `json:"texts"`           // prompt and continuation
	Bytes      [][]byte   `json:"bytes,omitempty"` // of each text, by a model of bytes: JSON cannot hold all of them as Texts
	Seed       int64      `json:"seed"`
	Finish     []Finish   `json:"finish"` // of each text
	Checkpoint store.Path `json:"checkpoint"`
	SHA256     string     `json:"checkpoint_sha256"`
}

// Continuations returns the texts without their prompt.
func (r *GenerateResult) Continuations(q *Request) []string {
	var list []string
	for _, t := range r.Texts {
		list = append(list, t[len(q.Prompt.Text):])
	}
	return list
}

// width is the number of texts that are written side by side.
const width = 64

// Generate writes the first text of a config to w, each character as soon as it belongs
// to the text; see Write.
func Generate(ctx context.Context, m *Model, g configs.Generate, w io.Writer) (*GenerateResult, error) {
	g.Num = 1
	q, err := m.Request(g)
	if err != nil {
		return nil, err
	}
	return m.Write(ctx, q, func(_ int, part []byte) error {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("text: write text: %w", err)
		}
		return nil
	})
}

// Write writes texts that continue a prompt. A character is drawn from the model's
// prediction after all characters before it. An empty prompt starts with a character
// drawn from a uniform distribution, which is one of the q.Length.
//
// show receives the texts, prompt first: the parts of one after the parts of the text
// before it, those of the first as soon as they belong to it. Its first error ends all
// texts, and Write returns it. A text depends on the model, the request and its stream
// alone.
func (m *Model) Write(ctx context.Context, q *Request, show func(text int, part []byte) error) (*GenerateResult, error) {
	n := min(len(q.Streams), width)
	if err := m.CheckMemory("generate", decode.Memory(m.Weights.Shape, n)+int64(q.Length)*int64(len(q.Streams))); err != nil {
		return nil, err
	}
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	w := &writing{show: show, failed: cancel}
	var texts []*decode.Text
	for _, stream := range q.Streams {
		sampler, err := sample.New(q.Sampling, q.Seed, stream)
		if err != nil {
			return nil, err
		}
		t := NewEnding(q.Prompt.Text, q.Stop, false)
		w.texts = append(w.texts, t)
		texts = append(texts, &decode.Text{Prompt: q.Prompt.IDs, Length: q.Length, Sampler: sampler,
			Emit: func(c decode.Char) bool { return w.add(t, m.Vocab.AppendText(nil, c.ID)) }, End: func(error) { w.end(t) }})
	}
	w.flush()
	if q.Length > 0 {
		if err := decode.Write(within, decode.New(m.Weights, n), texts); err != nil && w.err == nil {
			return nil, err
		}
	} else {
		for _, t := range w.texts {
			w.end(t)
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	res := &GenerateResult{Seed: q.Seed, Checkpoint: store.Path(m.Path), SHA256: m.SHA256}
	for _, t := range w.texts {
		res.Texts, res.Finish = append(res.Texts, string(t.Text())), append(res.Finish, t.Finish())
		if m.Vocab.Unit() == vocab.Byte {
			res.Bytes = append(res.Bytes, t.Text())
		}
	}
	return res, nil
}

// writing is the texts of a request.
type writing struct {
	texts  []*Ending
	at     int // the text that is shown
	shown  int // bytes of that text
	show   func(text int, part []byte) error
	err    error // of show
	failed func()
}

// add takes a character of a text, and reports whether the text goes on.
func (w *writing) add(t *Ending, char []byte) bool {
	_, ended := t.Add(char)
	w.flush()
	return !ended && w.err == nil
}

// end takes the end of a text.
func (w *writing) end(t *Ending) {
	t.Rest()
	w.flush()
}

// flush shows what is new, in the order of the texts.
func (w *writing) flush() {
	for w.at < len(w.texts) && w.err == nil {
		t := w.texts[w.at]
		if part := t.Text()[w.shown:]; len(part) > 0 {
			if w.err = w.show(w.at, part); w.err != nil {
				w.failed()
			}
			w.shown += len(part)
		}
		if t.Finish() == "" {
			return
		}
		w.at, w.shown = w.at+1, 0
	}
}
