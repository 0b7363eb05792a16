package decode

import (
	"context"
	"fmt"

	"github.com/quire-ml/quire/model/sample"
)

// Write continues prompts: text i is prompts[i] and then length characters, each
// drawn by samplers[i] from the logits after the characters before it.
//
// The model writes m.B texts at a time. A text that ends leaves its stream to
// the next prompt at once. Prompts may have different lengths, and there may be
// more or fewer of them than streams. An empty prompt is continued from equal
// logits: its first character comes from a uniform distribution.
//
// emit receives every drawn character, those of a text in order. An error of emit
// ends all texts, and Write returns it. A text depends on its prompt, its sampler
// and the weights alone: not on m.B, or on the texts beside it.
//
// Write begins with zero hidden. It returns ctx.Err() once ctx is cancelled.
func Write(ctx context.Context, m *Model, samplers []*sample.Sampler, prompts [][]int32, length int,
	emit func(text int, id int32) error) error {
	if len(samplers) != len(prompts) {
		return fmt.Errorf("decode: %d samplers for %d prompts", len(samplers), len(prompts))
	}
	for i, prompt := range prompts {
		for at, id := range prompt {
			if id < 0 || int(id) >= m.shape.Vocabulary {
				return fmt.Errorf("decode: id %d at position %d of prompt %d is outside the vocabulary of %d",
					id, at, i, m.shape.Vocabulary)
			}
		}
	}
	if length < 1 {
		return ctx.Err()
	}
	w := &writer{m: m, samplers: samplers, prompts: prompts, length: length, emit: emit, rows: make([]writing, m.B)}
	w.logits = make([]float32, m.B*m.shape.Vocabulary)
	for b := range w.rows {
		w.begin(b)
	}
	ids := make([]int32, m.B)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		busy := false
		for b := range ids {
			ok, err := w.advance(b, &ids[b])
			if err != nil {
				return err
			}
			busy = busy || ok
		}
		if !busy {
			return nil
		}
		var err error
		if w.logits, err = m.Step(ids); err != nil {
			return err
		}
	}
}

// writer is one call of Write.
type writer struct {
	m        *Model
	samplers []*sample.Sampler
	prompts  [][]int32
	length   int
	emit     func(text int, id int32) error

	rows   []writing
	begun  int       // number of texts begun so far
	logits []float32 // (B, V), after the last step
}

// writing is the text that a stream writes.
type writing struct {
	text int // position of its prompt; len(prompts) where the stream is idle
	at   int // number of its characters so far, with those of the prompt
}

// begin gives stream b the next text.
func (w *writer) begin(b int) {
	w.rows[b] = writing{text: w.begun}
	if w.begun < len(w.prompts) {
		w.begun++
		w.m.Forget(b)
	}
}

// advance sets id to the next character of stream b. It reports false for an idle
// stream, and leaves id as it is.
func (w *writer) advance(b int, id *int32) (busy bool, err error) {
	for w.rows[b].text < len(w.prompts) {
		r := &w.rows[b]
		prompt := w.prompts[r.text]
		if r.at < len(prompt) {
			*id = prompt[r.at]
			r.at++
			return true, nil
		}
		V := w.m.shape.Vocabulary
		logits := w.logits[b*V : (b+1)*V]
		if r.at == 0 {
			logits = make([]float32, V)
		}
		next, err := w.samplers[r.text].Next(logits)
		if err != nil {
			return false, fmt.Errorf("decode: text %d, character %d: %w", r.text, r.at, err)
		}
		r.at++
		if err := w.emit(r.text, next); err != nil {
			return false, err
		}
		if r.at < len(prompt)+w.length {
			*id = next
			return true, nil
		}
		w.begin(b)
	}
	return false, nil
}
