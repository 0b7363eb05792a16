package claim

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// removing is the value of a Removal's lease.
type removing struct {
	Keys []string `json:"keys"`
}

// A Removal is the sole right to remove what keys name.
type Removal struct{ lease *store.Lease }

// Begin takes the right to remove. The error is a *store.HeldError while another has it.
func Begin(ctx context.Context, st *store.Store) (*Removal, error) {
	lease, err := store.Acquire(ctx, st, LeaseName, nil)
	if err != nil {
		return nil, fmt.Errorf("claim: %w", err)
	}
	return &Removal{lease}, nil
}

// Announce says which keys are removed from now on. Read the claims afterwards, and leave
// alone what they have.
func (r *Removal) Announce(ctx context.Context, keys []string) error {
	if err := r.lease.Commit(ctx, removing{keys}); err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return nil
}

// Hold returns a context for the work of the removal; see store.Lease.
func (r *Removal) Hold(ctx context.Context) (held context.Context, stop func()) {
	return r.lease.Hold(ctx)
}

// Err returns the error by which the right was lost, nil while it is held.
func (r *Removal) Err() error { return r.lease.Err() }

// End gives the right up, also when ctx is cancelled.
func (r *Removal) End(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	return r.lease.Discard(ctx)
}

// A Claimed is a claim as a remover sees it.
type Claimed struct {
	Use
	Name  string         // of its file
	Held  *store.Holding // by whom; nil: its user was interrupted
	Stale bool           // Held has not renewed it for two leases: only an attempt to take it shows whether Held lives
}

// List reads all claims. now decides which are stale.
func List(ctx context.Context, st *store.Store, now time.Time) ([]Claimed, error) {
	infos, err := st.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var all []Claimed
	for _, info := range infos {
		if !IsClaim(info.Name) {
			continue
		}
		c := Claimed{Name: info.Name}
		c.Held, err = Holder(ctx, st, info.Name, &c.Use)
		if errors.Is(err, store.ErrNotExist) {
			continue // its user has ended
		}
		if err != nil {
			return nil, fmt.Errorf("claim: %w; or delete it, where no round runs", err)
		}
		c.Stale = c.Held != nil && now.Sub(c.Held.Until) > c.Held.Length
		all = append(all, c)
	}
	return all, nil
}

// Holder returns who holds the lease of an object, and decodes its value into v. held is
// nil where nobody does, or where the holder is known to have ended.
func Holder(ctx context.Context, st *store.Store, name string, v any) (held *store.Holding, err error) {
	held, _, err = store.ReadHolder(ctx, st, name, v)
	if err != nil || held == nil || held.Dead {
		return nil, err
	}
	return held, nil
}

// IsClaim reports whether a name is that of a claim's file.
func IsClaim(name string) bool {
	id, ok := strings.CutPrefix(name, prefix)
	return ok && strings.HasSuffix(id, ".json") && !strings.Contains(id, "/")
}

// Drop deletes a claim whose user has ended. The error is a *store.HeldError where the
// user lives after all.
func Drop(ctx context.Context, st *store.Store, name string) error {
	lease, err := store.Acquire(ctx, st, name, nil)
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	return (&Removal{lease}).End(ctx)
}
