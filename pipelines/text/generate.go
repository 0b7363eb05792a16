package text

import (
	"context"
	"fmt"
	"io"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/decode"
	"github.com/quire-ml/quire/model/sample"
)

// GenerateResult is the outcome of Generate.
type GenerateResult struct {
	Texts []string `json:"texts"` // prompt and what follows
	Seed  int64    `json:"seed"`
}

// Generate continues a prompt by g.Length characters, each drawn from what the
// model predicts after all those before it, and writes the text to w as it
// comes. The prompt's characters are those of m.Text. An empty prompt starts with a character drawn from a uniform
// distribution, which counts.
func Generate(ctx context.Context, m *Model, g configs.Generate, w io.Writer) (*GenerateResult, error) {
	prompt := m.Text([]byte(g.Prompt))
	ids, err := m.Vocab.Encode(nil, prompt)
	if err != nil {
		return nil, fmt.Errorf("text: generate.prompt: %w", err)
	}
	sampler, err := sample.New(sample.Options(g.Sampling), g.Seed, 0)
	if err != nil {
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

// stream writes text as it comes and keeps it.
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
