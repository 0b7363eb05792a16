package text

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/runners/store"
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

// Finish says why a text has ended.
type Finish string

// The ends of a text.
const (
	Whole   Finish = "length" // it has all its characters
	Stopped Finish = "stop"   // before a stop string
)

// GenerateResult is the outcome of Generate and Write.
type GenerateResult struct {
	Texts      []string   `json:"texts"` // prompt and continuation
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
	w := &writing{texts: make([]written, len(q.Streams)), show: show, failed: cancel}
	var texts []*decode.Text
	for i, stream := range q.Streams {
		sampler, err := sample.New(q.Sampling, q.Seed, stream)
		if err != nil {
			return nil, err
		}
		t := &w.texts[i]
		*t = written{all: append([]byte(nil), q.Prompt.Text...), ending: NewEnding(q.Stop, false)}
		texts = append(texts, &decode.Text{Prompt: q.Prompt.IDs, Length: q.Length, Sampler: sampler,
			Emit: func(c decode.Char) bool { return w.add(t, m.Vocab.AppendText(nil, c.ID)) }, End: func(error) { w.end(t) }})
	}
	w.flush()
	if q.Length > 0 {
		if err := decode.Write(within, decode.New(m.Weights, n), texts); err != nil && w.err == nil {
			return nil, err
		}
	} else {
		for i := range w.texts {
			w.end(&w.texts[i])
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	res := &GenerateResult{Seed: q.Seed, Checkpoint: store.Path(m.Path), SHA256: m.SHA256}
	for _, t := range w.texts {
		res.Texts, res.Finish = append(res.Texts, string(t.all)), append(res.Finish, t.finish)
	}
	return res, nil
}

// writing is the texts of a request.
type writing struct {
	texts  []written
	at     int // the text that is shown
	show   func(text int, part []byte) error
	err    error // of show
	failed func()
}

// written is a text so far.
type written struct {
	all    []byte
	ending *Ending
	shown  int
	finish Finish // empty: it goes on
}

// add takes a character of a text, and reports whether the text goes on.
func (w *writing) add(t *written, char []byte) bool {
	ready, ended := t.ending.Add(char)
	t.all = append(t.all, ready...)
	if ended {
		t.finish = Stopped
	}
	w.flush()
	return !ended && w.err == nil
}

// end takes the end of a text.
func (w *writing) end(t *written) {
	if t.finish == "" {
		t.all, t.finish = append(t.all, t.ending.Rest()...), Whole
	}
	w.flush()
}

// flush shows what is new, in the order of the texts.
func (w *writing) flush() {
	for w.at < len(w.texts) && w.err == nil {
		t := &w.texts[w.at]
		if t.shown < len(t.all) {
			if w.err = w.show(w.at, t.all[t.shown:]); w.err != nil {
				w.failed()
			}
			t.shown = len(t.all)
		}
		if t.finish == "" {
			return
		}
		w.at++
	}
}
