package gc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// workers is the number of items that are removed at a time.
const workers = 8

// each calls do for all items, n at a time, until the first error.
func each[T any](ctx context.Context, n int, items []T, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	next := make(chan T)
	for range min(n, len(items)) {
		group.Go(func() {
			for it := range next {
				if err := do(ctx, it); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, it := range items {
		if ctx.Err() != nil {
			break
		}
		next <- it
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}

// goes returns the items without a reason to stay, ordered by name.
func (p *plan) goes(kinds ...string) []*Item {
	var list []*Item
	for _, it := range p.items {
		if len(it.Why) == 0 && (len(kinds) == 0 || slices.Contains(kinds, it.Kind)) {
			list = append(list, it)
		}
	}
	slices.SortFunc(list, func(a, b *Item) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// keys returns the keys of what goes.
func (p *plan) keys() []string {
	keys := map[string]bool{}
	for _, it := range p.goes() {
		if it.key != "" {
			keys[it.key] = true
		}
	}
	return slices.AppendSeq([]string{}, maps.Keys(keys))
}

// dropClaims removes the claims of users that were interrupted, and are not needed. One
// whose user lives after all stays, with its keys.
func (p *plan) dropClaims(ctx context.Context, st *store.Store) error {
	return each(ctx, workers, p.expired, func(ctx context.Context, name string) error {
		err := claim.Drop(ctx, st, name)
		if errors.As(err, new(*store.HeldError)) {
			return nil // the second look sees the living claim
		}
		return err
	})
}

// announced is the reason to stay of what was not announced.
const announced = "new: it did not go at the first look"

// spare lets stay what an earlier look has not found to go.
func (p *plan) spare(first *plan) {
	for name, it := range p.items {
		if old := first.items[name]; len(it.Why) == 0 && (old == nil || len(old.Why) > 0) {
			it.Why = []string{announced}
		}
	}
}

// A remover removes what goes.
type remover struct {
	ctx   context.Context // ends with the right to remove
	st    *store.Store
	p     *plan
	o     Options
	right *claim.Removal

	mu   sync.Mutex
	gone map[string]bool   // items
	left map[string]string // items that stay after all, and why
}

// all removes what goes, in the order of the package comment.
func (r *remover) all() error {
	r.gone, r.left = map[string]bool{}, map[string]string{}
	// Requests have no key, so they go at once after the look: a round that begins writes its own.
	if err := each(r.ctx, workers, r.p.goes("request"), r.whole); err != nil {
		return err
	}
	if err := each(r.ctx, workers, r.p.goes("round", "sweep", "slot"), r.whole); err != nil {
		return err
	}
	groups := map[string][]*Item{}
	for _, it := range r.p.goes("outcome", "set", "run", "corpus") {
		groups[it.key] = append(groups[it.key], it)
	}
	var list [][]*Item
	for _, group := range groups {
		list = append(list, group)
	}
	slices.SortFunc(list, func(a, b []*Item) int { return strings.Compare(a[0].key, b[0].key) })
	if err := each(r.ctx, workers, list, r.group); err != nil {
		return err
	}
	if err := r.history(); err != nil {
		return err
	}
	return r.removeCaches()
}

// group removes what one key names: under the leases of its folders the outcomes, then
// the folders.
func (r *remover) group(ctx context.Context, items []*Item) (err error) {
	for _, it := range items {
		lease, ok := leases[it.Kind]
		if !ok {
			continue
		}
		held, err := store.Acquire(ctx, r.st, it.Name+"/"+lease, nil)
		var other *store.HeldError
		if errors.As(err, &other) {
			r.leave(items, fmt.Sprintf("process %d on %s works on it", other.PID, other.Host))
			return nil
		}
		if err != nil {
			return fmt.Errorf("gc: %w", err)
		}
		defer func() {
			end := held.Release
			if r.is(it) {
				end = held.Discard
			}
			if err = errors.Join(err, end(context.WithoutCancel(ctx))); err == nil && r.is(it) {
				err = r.st.Prune(ctx, it.Name)
			}
		}()
	}
	slices.SortStableFunc(items, func(a, b *Item) int { return strings.Compare(order(a), order(b)) })
	for _, it := range items {
		if err := r.files(ctx, it); err != nil {
			if errors.Is(err, store.ErrConflict) {
				r.leave(items, "it was changed meanwhile")
				return nil
			}
			return err
		}
		r.went(it)
	}
	return nil
}

// order sorts outcomes before folders.
func order(it *Item) string {
	if it.Kind == "outcome" {
		return "0"
	}
	return "1" + it.Kind
}

// whole removes an item that has no lease.
func (r *remover) whole(ctx context.Context, it *Item) error {
	err := r.files(ctx, it)
	if errors.Is(err, store.ErrConflict) {
		r.leave([]*Item{it}, "it was changed meanwhile")
		return nil
	}
	if err == nil && it.folder {
		err = r.st.Prune(ctx, it.Name)
	}
	if err == nil {
		r.went(it)
	}
	return err
}

// files deletes the objects of an item, without the leases.
func (r *remover) files(ctx context.Context, it *Item) error {
	for _, f := range it.files {
		if orderOf(it, f) == 9 && it.folder {
			continue
		}
		if err := r.right.Err(); err != nil {
			return fmt.Errorf("gc: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := r.st.Delete(ctx, f.Name, f.Generation); err != nil {
			return fmt.Errorf("gc: %w", err)
		}
	}
	if it.folder && it.Kind == "corpus" {
		return r.st.Prune(ctx, it.Name)
	}
	return nil
}

// history removes promotions, and then the copies that none of them names.
func (r *remover) history() error {
	if r.p.survey != nil && len(r.p.goes("promotion")) > 0 {
		err := r.p.survey.Cut(r.ctx, r.st)
		if errors.Is(err, store.ErrConflict) {
			r.leave(r.p.goes("promotion", "copy"), "the history was changed meanwhile")
			return nil
		}
		if err != nil {
			return fmt.Errorf("gc: %w", err)
		}
	}
	// The newest first: a reader of the history stops at the first that is missing.
	list := r.p.goes("promotion")
	slices.Reverse(list)
	if err := each(r.ctx, 1, list, r.whole); err != nil {
		return err
	}
	return each(r.ctx, workers, r.p.goes("copy"), r.whole)
}

func (r *remover) leave(items []*Item, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range items {
		if !r.gone[it.Name] {
			r.left[it.Name] = why
		}
	}
}

func (r *remover) went(it *Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone[it.Name] = true
}

func (r *remover) is(it *Item) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone[it.Name]
}
