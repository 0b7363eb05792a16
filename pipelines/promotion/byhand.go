package promotion

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Result is the outcome of Promote and Rollback: paths of copies.
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
	return byHand(ctx, workdir, func(*store.Store, *Promoted) (*text.Model, Promoted, error) { return m, Promoted{By: ByHand}, nil })
}

// Rollback restores the model that was in service before the promoted one. A second
// rollback restores the model before that, and so on. The model that it replaces is
// withdrawn. Errors are those of Promote, and one where there is no model to restore.
func Rollback(ctx context.Context, workdir string) (*Result, error) {
	return byHand(ctx, workdir, func(st *store.Store, now *Promoted) (*text.Model, Promoted, error) { return now.before(ctx, st) })
}

// before returns the model that a rollback from p, the model in service, restores, and its
// record. A nil p is none in service.
func (p *Promoted) before(ctx context.Context, st *store.Store) (m *text.Model, next Promoted, err error) {
	if p == nil {
		return nil, next, errors.New("promotion: no model is promoted: there is nothing to roll back from")
	}
	now, _, err := arrival(ctx, st, p, "")
	if err != nil {
		return nil, next, err
	}
	if now.Previous == "" {
		return nil, next, fmt.Errorf("promotion: %s is the first model that was promoted: there is none to roll back to",
			now.Checkpoint)
	}
	before, _, err := readRecord(ctx, st, now.Previous, "")
	if errors.Is(err, store.ErrNotExist) && missing(ctx, st, now.Number-1, err) == nil {
		err = fmt.Errorf("promotion: the promotions before number %d were removed, with their models: there is none to roll back to", now.Number)
	}
	if err != nil {
		return nil, next, err
	}
	before, name, err := arrival(ctx, st, before, now.Previous)
	if err != nil {
		return nil, next, err
	}
	if m, err = before.model(ctx, st); err != nil {
		return nil, next, err
	}
	return m, Promoted{By: ByRollback, From: before.From, Round: before.Round, Decision: before.Decision, Nats: before.Nats,
		Restores: name}, nil
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

// byHand promotes the model that choose returns, at this time. choose is given the
// record of the model in service; nil: there is none.
func byHand(ctx context.Context, workdir string, choose func(*store.Store, *Promoted) (*text.Model, Promoted, error)) (*Result, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	var gone *text.ModelError
	if err := Adopt(ctx, st); err != nil && !errors.As(err, &gone) { // a model that is gone can be replaced
		return nil, err
	}
	now, seen, err := Read(ctx, st)
	if err != nil && !errors.Is(err, store.ErrNotExist) {
		return nil, err
	}
	m, next, err := choose(st, now)
	if err != nil {
		return nil, err
	}
	next.At = time.Now().UTC().Format(time.RFC3339)
	now, before, err := Install(ctx, st, m, next, seen)
	if err != nil {
		return nil, err
	}
	res := &Result{Promoted: st.Join(now.Checkpoint)}
	if before != nil {
		res.Previous = store.Locate(workdir, before.Checkpoint)
	}
	return res, nil
}
