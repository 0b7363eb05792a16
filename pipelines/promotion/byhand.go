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

// Promote puts a checkpoint into service without asking the gate. path is a file, a
// run directory (which is best or latest) or a gs:// URL of either; everything in it
// is verified. The model that it replaces is withdrawn: rounds do not bring it back.
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

// Rollback puts the model back that was in service before the promoted one came;
// once more, the one before that. The model that was promoted is withdrawn.
func Rollback(ctx context.Context, workdir string) (*Result, error) {
	return swapByHand(ctx, workdir, func(st *store.Store) (Promoted, error) {
		now, _, err := Read(ctx, st)
		if errors.Is(err, store.ErrNotExist) {
			return Promoted{}, fmt.Errorf("promotion: no model is promoted: there is nothing to roll back from")
		}
		if err == nil {
			now, _, err = restored(ctx, st, now, "")
		}
		if err != nil {
			return Promoted{}, err
		}
		if now.Previous == "" {
			return Promoted{}, fmt.Errorf("promotion: %s is the first model that was promoted: there is none to roll back to", now.Checkpoint)
		}
		before, _, err := readPromotion(ctx, st, now.Previous, "")
		if err != nil {
			return Promoted{}, err
		}
		before, name, err := restored(ctx, st, before, now.Previous)
		if err != nil {
			return Promoted{}, err
		}
		if _, err := text.OpenModel(ctx, store.Locate(workdir, before.Checkpoint), "best"); err != nil {
			return Promoted{}, err
		}
		return Promoted{Checkpoint: before.Checkpoint, By: ByRollback, Round: before.Round, Nats: before.Nats, Restores: name}, nil
	})
}

// restored returns the record, called name, whose model a record's is: of a
// rollback, that of the promotion which it restored.
func restored(ctx context.Context, st *store.Store, p *Promoted, name string) (*Promoted, string, error) {
	if p.Restores == "" {
		return p, name, nil
	}
	name = p.Restores
	p, _, err := readPromotion(ctx, st, name, "")
	return p, name, err
}

// byHand promotes what next returns.
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

// History returns the promotions of a workdir, the last one first.
func History(ctx context.Context, workdir string) ([]Promoted, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	all := []Promoted{}
	err = history(ctx, st, func(p *Promoted) bool {
		all = append(all, *p)
		return true
	})
	return all, err
}

// Incumbent is what a candidate must be better than.
type Incumbent struct {
	Checkpoint string `json:"checkpoint"` // of the promoted model, or, where that is the candidate, of the one before; empty: none
	Withdrawn  string `json:"withdrawn"`  // why the candidate must not come back by itself; empty: it may
}

// FindIncumbent finds what a candidate must be better than. It stays the same when the
// candidate is promoted: a round that has nothing to do then finds its decision.
func FindIncumbent(ctx context.Context, st *store.Store, candidate string) (b Incumbent, err error) {
	now, _, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	if now.Checkpoint == candidate {
		if now, _, err = restored(ctx, st, now, ""); err != nil || now.Previous == "" {
			return b, err
		}
		before, _, err := readPromotion(ctx, st, now.Previous, "")
		if err == nil {
			b.Checkpoint = before.Checkpoint
		}
		return b, err
	}
	b.Checkpoint = now.Checkpoint
	var newer *Promoted // the promotion after the one that is visited
	err = history(ctx, st, func(p *Promoted) bool {
		if p.Checkpoint == candidate && newer.By != ByRound {
			b.Withdrawn = fmt.Sprintf("it was withdrawn by %s, promotion %d, at %s; to bring it back, promote it by hand", newer.By, newer.Number, newer.At)
		}
		newer = p
		return p.Checkpoint != candidate
	})
	return b, err
}
