package decode

import (
	"context"
	"fmt"
)

// Write writes texts on a model that has no others, m.B at a time: a text that ends leaves
// its place to the next. There may be more or fewer of them than places. An empty prompt
// is continued from equal logits: its first character comes from a uniform distribution.
//
// Write returns when all texts have ended, or the error of the first text that cannot go
// on. It returns ctx.Err() once ctx is cancelled, by an Emit too.
func Write(ctx context.Context, m *Model, texts []*Text) error {
	for i, t := range texts {
		if err := m.check(t); err != nil {
			return fmt.Errorf("%w, in text %d", err, i)
		}
	}
	batch, failed := NewBatch(m), error(nil)
	for begun := 0; begun < len(texts) || batch.Len() > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		for ; begun < len(texts) && batch.Free() > 0; begun++ {
			t := *texts[begun] // the caller's stays as it is
			i, end := begun, t.End
			t.End = func(err error) {
				if err != nil && failed == nil {
					failed = fmt.Errorf("%w, in text %d", err, i)
				}
				if end != nil {
					end(err)
				}
			}
			if err := batch.Add(&t); err != nil {
				return err
			}
		}
		if batch.Step(); failed != nil {
			return failed
		}
	}
	return nil
}
