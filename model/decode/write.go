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
// Write returns ctx.Err() once ctx is cancelled.
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
	var failed error
	batch := NewBatch(m)
	for begun := 0; begun < len(prompts) || batch.Len() > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for ; begun < len(prompts) && batch.Free() > 0; begun++ {
			i := begun
			t := &Text{Prompt: prompts[i], Length: length, Sampler: samplers[i], label: fmt.Sprintf("text %d, ", i)}
			t.Emit = func(c Char) bool {
				if failed == nil {
					failed = emit(i, c.ID)
				}
				return failed == nil
			}
			t.End = func(err error) {
				if failed == nil {
					failed = err
				}
			}
			if err := batch.Add(t); err != nil {
				return err
			}
		}
		if batch.Step(); failed != nil {
			return failed
		}
	}
	return nil
}
