// Package receipt says how a text was made, so that anybody who has the model can make it
// again, bit for bit.
//
// A receipt is a JSON object:
//
//	{"format":"quire-receipt/1",
//	 "checkpoint_sha256":"…",              of the checkpoint's file
//	 "prompt":"ROMEO: ",                   "" beside "prompt_ids", where no text has the ids
//	 "length":200,                         characters that were asked for
//	 "temperature":0.8, "top_k":0, "top_p":1, "min_p":0, "repetition_penalty":1,
//	 "ban":[0], "bias":{"7":1.5},          by id
//	 "stop":["\n\n"], "seed":7,
//	 "texts":[{"stream":0,"bytes":212,"sha256":"…","finish":"length"}]}
//
// bytes and sha256 are those of a text without its prompt. A text that is not UTF-8 is an
// object, {"base64":"…"}. A receipt holds no time, no place and no version of a program:
// none of them changes a text.
package receipt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/quire-ml/quire/model/sample"
	"github.com/quire-ml/quire/pipelines/text"
)

// Format names the form of a receipt.
const Format = "quire-receipt/1"

// Receipt says how texts were made.
type Receipt struct {
	Format            string            `json:"format"`
	SHA256            string            `json:"checkpoint_sha256"`
	Prompt            Bytes             `json:"prompt"`
	PromptIDs         []int32           `json:"prompt_ids,omitempty"` // in place of Prompt
	Length            int               `json:"length"`
	Temperature       float64           `json:"temperature"`
	TopK              int               `json:"top_k"`
	TopP              float64           `json:"top_p"`
	MinP              float64           `json:"min_p"`
	RepetitionPenalty float64           `json:"repetition_penalty"`
	Ban               []int32           `json:"ban,omitempty"`
	Bias              map[int32]float64 `json:"bias,omitempty"`
	Stop              []Bytes           `json:"stop,omitempty"`
	Seed              int64             `json:"seed"`
	Texts             []Text            `json:"texts"`
}

// Text identifies a text of a receipt, without its prompt.
type Text struct {
	Stream uint64      `json:"stream"` // of random numbers
	Bytes  int         `json:"bytes"`
	SHA256 string      `json:"sha256"`
	Finish text.Finish `json:"finish"`
}

// identify returns the identity of a text.
func identify(stream uint64, written string, finish text.Finish) Text {
	return Text{Stream: stream, Bytes: len(written), SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(written))), Finish: finish}
}

// New returns the receipt of texts, without their prompts, that a model has written.
func New(m *text.Model, q *text.Request, written []string, finish []text.Finish) *Receipt {
	o := q.Sampling
	if o.RepetitionPenalty == 0 {
		o.RepetitionPenalty = 1 // both are off, and a receipt has one form
	}
	r := &Receipt{Format: Format, SHA256: m.SHA256, Prompt: Bytes(q.Prompt.Text), Length: q.Length, Temperature: o.Temperature, TopK: o.TopK, TopP: o.TopP,
		MinP: o.MinP, RepetitionPenalty: o.RepetitionPenalty, Ban: o.Ban, Bias: o.Bias, Seed: q.Seed}
	if ids, err := m.Vocab.Encode(nil, q.Prompt.Text); err != nil || !slices.Equal(ids, q.Prompt.IDs) {
		r.Prompt, r.PromptIDs = "", q.Prompt.IDs
	}
	for _, s := range q.Stop {
		if s != "" { // which ends no text
			r.Stop = append(r.Stop, Bytes(s))
		}
	}
	for i, stream := range q.Streams {
		r.Texts = append(r.Texts, identify(stream, written[i], finish[i]))
	}
	return r
}

// Of returns the receipt of what Model.Write has written.
func Of(m *text.Model, q *text.Request, res *text.GenerateResult) *Receipt {
	return New(m, q, res.Continuations(q), res.Finish)
}

// Encode returns the receipt as JSON, on lines of their own.
func (r *Receipt) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return append(data, '\n'), nil
}

// A ModelError says that a model is not the one of a receipt.
type ModelError struct{ Path, Got, Want string }

func (e *ModelError) Error() string {
	return fmt.Sprintf("receipt: %s has sha256 %s, the texts were written by %s", e.Path, e.Got, e.Want)
}

// A DifferentError says that a text is not the one of a receipt.
type DifferentError struct{ Got, Want Text }

func (e *DifferentError) Error() string {
	if e.Got.SHA256 == e.Want.SHA256 && e.Got.Bytes == e.Want.Bytes {
		return fmt.Sprintf("receipt: the text of stream %d is the same, but its finish is %q; the receipt has %q", e.Want.Stream, e.Got.Finish, e.Want.Finish)
	}
	return fmt.Sprintf("receipt: the text of stream %d differs: %d bytes, sha256 %s; the receipt has %d bytes, sha256 %s",
		e.Want.Stream, e.Got.Bytes, e.Got.SHA256, e.Want.Bytes, e.Want.SHA256)
}

// Request returns what the receipt's model was asked for. The error is a *ModelError for
// another model.
func (r *Receipt) Request(m *text.Model) (*text.Request, error) {
	if m.SHA256 != r.SHA256 {
		return nil, &ModelError{Path: m.Path, Got: m.SHA256, Want: r.SHA256}
	}
	prompt := &text.Prompt{Text: []byte(r.Prompt), IDs: r.PromptIDs}
	var err error
	if len(r.PromptIDs) == 0 {
		prompt.IDs, err = m.Vocab.Encode(nil, prompt.Text)
	}
	if err != nil {
		return nil, fmt.Errorf("receipt: prompt: %w", err)
	}
	for at, id := range r.PromptIDs {
		if id < 0 || int(id) >= m.Vocab.Size() {
			return nil, fmt.Errorf("receipt: prompt: id %d at position %d is outside the vocabulary of %d", id, at, m.Vocab.Size())
		}
		prompt.Text = m.Vocab.AppendText(prompt.Text, id)
	}
	q := &text.Request{Prompt: prompt, Length: r.Length, Seed: r.Seed, Sampling: r.sampling()}
	for _, s := range r.Stop {
		q.Stop = append(q.Stop, string(s))
	}
	for _, t := range r.Texts {
		q.Streams = append(q.Streams, t.Stream)
	}
	return q, nil
}

func (r *Receipt) sampling() sample.Options {
	return sample.Options{Temperature: r.Temperature, TopK: r.TopK, TopP: r.TopP, MinP: r.MinP, RepetitionPenalty: r.RepetitionPenalty, Ban: r.Ban, Bias: r.Bias}
}

// Replay writes the texts of a receipt again; see Model.Write. Where one differs, the
// error is a *DifferentError.
func (r *Receipt) Replay(ctx context.Context, m *text.Model, show func(text int, part []byte) error) (*text.GenerateResult, error) {
	q, err := r.Request(m)
	if err != nil {
		return nil, err
	}
	res, err := m.Write(ctx, q, show)
	if err != nil {
		return nil, err
	}
	for i, written := range res.Continuations(q) {
		if got, want := identify(q.Streams[i], written, res.Finish[i]), r.Texts[i]; got != want {
			return nil, &DifferentError{Got: got, Want: want}
		}
	}
	return res, nil
}

// Bytes is a text that need not be UTF-8.
type Bytes string

type encoded struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(b)) {
		return json.Marshal(string(b))
	}
	return json.Marshal(encoded{[]byte(b)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var s string
	if len(data) > 0 && data[0] == '{' {
		var e encoded
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		err := d.Decode(&e)
		*b = Bytes(e.Base64)
		return err
	}
	err := json.Unmarshal(data, &s)
	*b = Bytes(s)
	return err
}
