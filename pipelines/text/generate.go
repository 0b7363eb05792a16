package text

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
)

// GenerateResult is the outcome of Generate.
type GenerateResult struct {
	Texts []string `json:"texts"` // prompt and continuation
	Seed  int64    `json:"seed"`
}

// ErrPrompt is wrapped by the error about a prompt with a character that the model
// does not know.
var ErrPrompt = errors.New("prompt")

// Generate continues a prompt by g.Length characters and writes the text to w, each
// character when it is drawn. A character is drawn from the model's prediction after
// all characters before it. The prompt is taken in the form that m.Text gives it. An
// empty prompt starts with a character drawn from a uniform distribution, which is
// one of the g.Length.
func Generate(ctx context.Context, m *Model, g configs.Generate, w io.Writer) (*GenerateResult, error) {
	prompt := m.Text([]byte(g.Prompt))
	ids, err := encodePrompt(m.Vocab, prompt)
	if err != nil {
		return nil, err
	}
	sampler, err := sample.New(sample.Options{Temperature: g.Temperature, TopK: g.TopK, TopP: g.TopP}, g.Seed, 0)
	if err != nil {
		return nil, err
	}
	if err := m.CheckMemory("generate", decode.Memory(m.Weights.Shape, 1)); err != nil {
		return nil, err
	}
	out := &stream{w: w, m: m}
	if err := out.text(prompt); err != nil {
		return nil, err
	}
	emit := func(_ int, id int32) error { return out.char(id) }
	if err := decode.Write(ctx, decode.New(m.Weights, 1), []*sample.Sampler{sampler}, [][]int32{ids}, g.Length, emit); err != nil {
		return nil, err
	}
	return &GenerateResult{Texts: []string{string(out.all)}, Seed: g.Seed}, nil
}

// stream writes text and keeps it.
type stream struct {
	w   io.Writer
	m   *Model
	all []byte
}

func (s *stream) text(b []byte) error {
	s.all = append(s.all, b...)
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("text: write text: %w", err)
	}
	return nil
}

func (s *stream) char(id int32) error { return s.text(s.m.Vocab.AppendText(nil, id)) }
