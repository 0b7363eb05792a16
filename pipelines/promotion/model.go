package promotion

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// A ModelError says that the model in service cannot be used. It wraps the cause.
type ModelError struct {
	Number int64  // of the promotion
	From   string // path or URL of a file of the model, from which Promote makes the copy again; empty: there is none
	Back   bool   // Rollback restores the model before it
	Err    error  // names the copy
}

func (e *ModelError) Error() string {
	return fmt.Sprintf("promotion: the model in service, promotion %d: %v", e.Number, e.Err)
}

// Unwrap returns the cause.
func (e *ModelError) Unwrap() error { return e.Err }

// Open reads the model in service of a workdir, and compares it with promoted.json.
// The error wraps store.ErrNotExist where no model is promoted, and is a *ModelError
// where one is and its copy is missing, damaged or another. An error that may pass
// (store.Transient) is neither.
func Open(ctx context.Context, workdir string) (*text.Model, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	p, _, err := Read(ctx, st)
	if err != nil {
		return nil, err
	}
	m, err := p.model(ctx, st)
	if err != nil && ctx.Err() == nil && !store.Transient(err) {
		err = p.unusable(ctx, st, err)
	}
	return m, err
}

// unusable returns the error about the model in service, p's, with what mends it.
func (p *Promoted) unusable(ctx context.Context, st *store.Store, err error) *ModelError {
	e := &ModelError{Number: p.Number, Err: err}
	from := store.Locate(st.URL(), cmp.Or(p.From, p.Checkpoint))
	if m, err := text.OpenModel(ctx, from, "best"); err == nil && p.is(m.SHA256, p.Checkpoint) {
		e.From = from
	}
	_, _, err = p.before(ctx, st)
	e.Back = err == nil
	return e
}

// model reads the model of a record.
func (p *Promoted) model(ctx context.Context, st *store.Store) (*text.Model, error) {
	m, err := text.OpenModel(ctx, store.Locate(st.URL(), p.Checkpoint), "best")
	switch {
	case err != nil:
		return nil, err
	case p.SHA256 != "" && (m.SHA256 != p.SHA256 || m.Bytes != p.Bytes || m.Set != p.Set):
		return nil, fmt.Errorf("promotion: %s: %w: it has %d bytes with sha256 %s, of the set %s; its record says %d with %s, of %s",
			m.Path, store.ErrDamaged, m.Bytes, m.SHA256, m.Set, p.Bytes, p.SHA256, p.Set)
	}
	return m, nil
}

// Install keeps a copy of the model m and then makes it the promoted one; see Swap. It
// fills next's facts of the model. Where next has the digest of a model that was judged,
// m must be that model. A copy that is damaged is replaced.
func Install(ctx context.Context, st *store.Store, m *text.Model, next Promoted, seen string) (now, before *Promoted, err error) {
	if next.SHA256 != "" && next.SHA256 != m.SHA256 {
		return nil, nil, fmt.Errorf("promotion: %s: %w: its sha256 is %s, and the model that was judged has %s",
			m.Path, store.ErrDamaged, m.SHA256, next.SHA256)
	}
	c := claim.New(st, "promotion")
	defer func() { err = errors.Join(err, c.Release(ctx)) }()
	if _, err := c.Take(ctx, m.SHA256); err != nil { // nobody removes the copy before the record names it
		return nil, nil, err
	}
	if err := next.keep(ctx, st, m); err != nil {
		return nil, nil, err
	}
	switch again, err := c.Take(ctx); {
	case err != nil:
		return nil, nil, err
	case again:
		if err := next.keep(ctx, st, m); err != nil {
			return nil, nil, err
		}
	}
	return Swap(ctx, st, next, seen)
}

// keep writes the copy of a model, and its facts into the record.
func (p *Promoted) keep(ctx context.Context, st *store.Store, m *text.Model) (err error) {
	if p.From == "" {
		if p.From, err = store.Below(st.URL(), m.Path); err != nil {
			return err
		}
	}
	p.Checkpoint, p.Bytes, p.SHA256, p.Set = checkpoint.Named(copies, m.SHA256), m.Bytes, m.SHA256, m.Set
	_, err = checkpoint.Keep(ctx, st, copies, m.Checkpoint)
	if errors.Is(err, store.ErrConflict) { // other bytes under the name of these
		if err = st.Delete(ctx, p.Checkpoint, ""); err == nil {
			_, err = checkpoint.Keep(ctx, st, copies, m.Checkpoint)
		}
	}
	return err
}

// Adopt gives a model that an earlier program promoted its copy, and promoted.json the
// digest. Where the model in service has both, or there is none, Adopt changes nothing.
func Adopt(ctx context.Context, st *store.Store) (err error) {
	p, generation, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) || err == nil && p.Format == format {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := p.model(ctx, st)
	if err != nil {
		return fmt.Errorf("promotion: no copy of the model in service can be made: %w", err)
	}
	c := claim.New(st, "promotion")
	defer func() { err = errors.Join(err, c.Release(ctx)) }()
	if _, err := c.Take(ctx, m.SHA256); err != nil {
		return err
	}
	p.Format, p.From = format, p.Checkpoint
	if err := p.keep(ctx, st, m); err != nil {
		return err
	}
	if err := move(ctx, st, p, generation); !errors.Is(err, store.ErrConflict) {
		return err
	}
	return nil // another promotion came between
}
