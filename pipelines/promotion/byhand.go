package promotion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Result is the outcome of Promote and Rollback: paths of checkpoints.
type Result struct {
	Promoted string `json:"promoted"`
	Previous string `json:"previous"` // empty: there was none
}

// Promote puts a checkpoint into service without asking the gate. path is a file,
// the directory of a run, in which which is best, latest or step:500, or a gs:// URL of
// either. Every byte of the checkpoint is verified. The model that it replaces is
// withdrawn: rounds do not bring it back. Where another promotion came between, the
// error wraps store.ErrConflict.
func Promote(ctx context.Context, workdir, path, which string) (*Result, error) {
	m, err := text.OpenModel(ctx, path, which)
	if err != nil {
		return nil, err
	}
	name, err := store.Below(workdir, m.Path)
	if err != nil {
		return nil, err
	}
	return swapByHand(ctx, workdir, func(*store.Store) (Promoted, error) { return Promoted{Checkpoint: name, By: ByHand}, nil })
}

// Rollback restores the model that was in service before the promoted one. A second
// rollback restores the model before that, and so on. The model that it replaces is
// withdrawn. Errors are those of Promote, and one where there is no model to restore.
func Rollback(ctx context.Context, workdir string) (*Result, error) {
	return swapByHand(ctx, workdir, func(st *store.Store) (Promoted, error) {
		now, _, err := Read(ctx, st)
		if errors.Is(err, store.ErrNotExist) {
			return Promoted{}, fmt.Errorf("promotion: no model is promoted: there is nothing to roll back from")
		}
		if err == nil {
			now, _, err = arrival(ctx, st, now, "")
		}
		if err != nil {
			return Promoted{}, err
		}
		if now.Previous == "" {
			return Promoted{}, fmt.Errorf("promotion: %s is the first model that was promoted: there is none to roll back to", now.Checkpoint)
		}
		before, _, err := readRecord(ctx, st, now.Previous, "")
		if err != nil {
			return Promoted{}, err
		}
		before, name, err := arrival(ctx, st, before, now.Previous)
		if err != nil {
			return Promoted{}, err
		}
		if _, err := text.OpenModel(ctx, store.Locate(workdir, before.Checkpoint), "best"); err != nil {
			return Promoted{}, err
		}
		return Promoted{Checkpoint: before.Checkpoint, By: ByRollback, Round: before.Round, Nats: before.Nats, Restores: name}, nil
	})
}

// arrival returns the record with which the model of p, a record called name, first
// came into service: p itself, or the one that p, a rollback, restored.
func arrival(ctx context.Context, st *store.Store, p *Promoted, name string) (*Promoted, string, error) {
	if p.Restores == "" {
		return p, name, nil
	}
	name = p.Restores
	p, _, err := readRecord(ctx, st, name, "")
	return p, name, err
}

// swapByHand promotes the model that next returns, at this time.
func swapByHand(ctx context.Context, workdir string, next func(*store.Store) (Promoted, error)) (*Result, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	p, err := next(st)
	if err != nil {
		return nil, err
	}
	p.At = time.Now().UTC().Format(time.RFC3339)
	now, before, err := Swap(ctx, st, p)
	if err != nil {
		return nil, err
	}
	res := &Result{Promoted: store.Locate(workdir, now.Checkpoint)}
	if before != nil {
		res.Previous = store.Locate(workdir, before.Checkpoint)
	}
	return res, nil
}
