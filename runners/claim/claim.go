// Package claim says which keys of a workdir are in use, so that what they name is not
// removed beside its users.
//
// A key is a digest that names what a stage or a promotion makes. Files of a workdir:
//
//	gc/claims/<id>.json   the keys that a round, a sweep or a promotion uses: a Claim, under its lease
//	gc/lease.json         the keys that are being removed: a Removal, under its lease
//
// A user writes a key into its claim, then reads what is being removed. A remover writes
// what it removes, then reads the claims. Each writes before it reads. So where both want
// one key, the remover sees the claim and leaves the key alone, or the user sees the
// removal and waits for its end; then it finds that nothing is there, and makes it again.
// A store gives the order: what is written is read and listed from then on.
//
// A Claim looks first and trusts later: keys are taken before their files are looked at.
// A claim that its holder could not renew may be removed. Take then says that what was
// looked at before must be looked at again.
//
// The claim of a user that was interrupted stays, without a holder: it says which keys
// go on to be used when it is started again. Who removes decides how long that holds.
package claim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// Folder holds all files of this package.
const Folder = "gc"

// LeaseName is the lease of a Removal.
const LeaseName = Folder + "/lease.json"

const prefix = Folder + "/claims/"

// Use is the value of a claim.
type Use struct {
	What  string    `json:"what"` // who uses the keys: round, sweep, promotion
	Began time.Time `json:"began"`
	Keys  []string  `json:"keys"`
}

// A Claim is the keys that one user uses. It is safe for concurrent use. A nil Claim
// takes nothing.
type Claim struct {
	// Waits is told of the removal that Take waits for, once; nil: nobody.
	Waits func(held error)

	st   *store.Store
	name string

	mu    sync.Mutex
	lease *store.Lease // nil before the first Take
	use   Use
}

// New returns a claim that has no file before its first Take, which takes expected too:
// keys that the user will probably need. One write then serves for all.
func New(st *store.Store, what string, expected ...string) *Claim {
	return &Claim{st: st, name: prefix + strings.ToLower(rand.Text()) + ".json", use: Use{What: what, Keys: slices.Clone(expected)}}
}

// Take claims keys, and waits while one of them is being removed. again says that the
// claim was gone: what was looked at under it may be gone too.
func (c *Claim) Take(ctx context.Context, keys ...string) (again bool, err error) {
	if c == nil {
		return false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil && len(keys) == 0 {
		return false, nil
	}
	use := c.use
	use.Keys = slices.Clone(c.use.Keys)
	for _, key := range keys {
		if !slices.Contains(use.Keys, key) {
			use.Keys = append(use.Keys, key)
		}
	}
	for {
		switch {
		case c.lease == nil:
			use.Began = time.Now().UTC().Truncate(time.Second)
			err = c.acquire(ctx, &use)
		case c.lease.Err() != nil:
			var gone bool
			gone, err = c.regain(ctx, use)
			again = again || gone
		case len(use.Keys) == len(c.use.Keys):
			return again, nil
		default:
			err = c.lease.Commit(ctx, use)
		}
		if errors.Is(err, store.ErrLost) {
			continue
		}
		if err != nil {
			return again, fmt.Errorf("claim: %w", err)
		}
		c.use = use
		return again, c.wait(ctx, use.Keys)
	}
}

// acquire takes the lease of the claim's file. Where that is absent, it is made with a
// use; nil is none.
func (c *Claim) acquire(ctx context.Context, use *Use) error {
	value, err := json.Marshal(use)
	if err != nil {
		return err
	}
	lease, err := store.Acquire(ctx, c.st, c.name, &store.LeaseOptions{Value: value})
	if err == nil {
		c.lease = lease
	}
	return err
}

// regain takes the lease again after it was lost. gone says that a remover has deleted
// the claim meanwhile.
func (c *Claim) regain(ctx context.Context, use Use) (gone bool, err error) {
	if err := c.lease.Release(ctx); err != nil {
		return false, err
	}
	for {
		err := c.acquire(ctx, nil)
		var held *store.HeldError
		if errors.As(err, &held) { // by a remover, which is about to delete it
			if err := store.Wait(ctx, lookMin); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, err
		}
		var was *Use
		if err := c.lease.Value(&was); err != nil {
			return false, err
		}
		return was == nil, c.lease.Commit(ctx, use)
	}
}

// Time between two looks at a removal that a claim waits for.
const (
	lookMin = time.Second / 4
	lookMax = 5 * time.Second
)

// wait returns when none of the keys is being removed.
func (c *Claim) wait(ctx context.Context, keys []string) error {
	told := false
	for pause := lookMin; ; pause = min(2*pause, lookMax) {
		var r removing
		_, err := store.ReadLeased(ctx, c.st, LeaseName, &r)
		switch {
		case errors.Is(err, store.ErrNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("claim: %w", err)
		case !slices.ContainsFunc(r.Keys, func(key string) bool { return slices.Contains(keys, key) }):
			return nil
		}
		left, err := Begin(ctx, c.st)
		var held *store.HeldError
		switch {
		case err == nil: // the remover has died
			return left.End(ctx)
		case !errors.As(err, &held):
			return err
		case !told && c.Waits != nil:
			told = true
			c.Waits(held)
		}
		if err := store.Wait(ctx, pause); err != nil {
			return err
		}
	}
}

// releaseTime bounds the end of a claim. A claim that is not ended expires.
const releaseTime = 10 * time.Second

// Release ends the use of all keys, also when ctx is cancelled.
func (c *Claim) Release(ctx context.Context) error { return c.end(ctx, true) }

// Leave ends the claim and leaves its keys as those of an interrupted user.
func (c *Claim) Leave(ctx context.Context) error { return c.end(ctx, false) }

func (c *Claim) end(ctx context.Context, drop bool) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if drop {
		return c.lease.Discard(ctx)
	}
	return c.lease.Release(ctx)
}
