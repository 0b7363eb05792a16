package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// The two pointers of a run, which Open and Find take.
const (
	Latest = "latest" // the newest checkpoint
	Best   = "best"   // the checkpoint with the lowest validation loss
)

// pointer is the content of latest.json or best.json as last seen.
type pointer struct {
	which string // Latest or Best
	checkpoint.Pointer
	generation string // empty while there is none
}

// file is the name of the pointer's file.
func (p *pointer) file() string { return p.which + ".json" }

// read reads the pointer. The error wraps store.ErrNotExist where there is none.
func (p *pointer) read(ctx context.Context, st *store.Store) error {
	var found checkpoint.Pointer
	sealed := store.Sealed{Format: checkpoint.PointerFormat, Check: func() error { return found.Check() }}
	generation, err := st.ReadSealed(ctx, p.file(), &found, sealed)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	p.Pointer, p.generation = found, generation
	return nil
}

// swap replaces the pointer's file by q, if it still has the generation last
// seen. Otherwise another process has moved it, and the error wraps
// store.ErrConflict.
func (p *pointer) swap(ctx context.Context, st *store.Store, q checkpoint.Pointer) error {
	if err := q.Check(); err != nil {
		return fmt.Errorf("run: %s: %w", st.Join(p.file()), err)
	}
	data, err := store.MarshalSealed(q)
	if err != nil {
		return fmt.Errorf("run: %s: %w", st.Join(p.file()), err)
	}
	if _, err := st.Swap(ctx, p.file(), data, p.generation); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// is reports whether the pointer names the checkpoint of q with the same loss.
func (p *pointer) is(q checkpoint.Pointer) bool {
	same := p.Loss == q.Loss || p.Loss != nil && q.Loss != nil && *p.Loss == *q.Loss
	return same && p.Name == q.Name && p.SHA256 == q.SHA256
}

// worse reports whether the pointer names no checkpoint, or a checkpoint with a
// higher loss than q's or an unknown loss.
func (p *pointer) worse(q checkpoint.Pointer) bool {
	return p.generation == "" || p.Loss == nil || *q.Loss < *p.Loss
}

// move makes the pointer q. A process that lost its lease may have written q
// before: that is no conflict.
func (p *pointer) move(ctx context.Context, st *store.Store, q checkpoint.Pointer) error {
	if p.is(q) {
		return nil
	}
	conflict := p.swap(ctx, st, q)
	if conflict != nil && !errors.Is(conflict, store.ErrConflict) {
		return conflict
	}
	if err := p.read(ctx, st); err != nil {
		return err
	}
	if !p.is(q) {
		return conflict
	}
	return nil
}
