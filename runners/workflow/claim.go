package workflow

import (
	"context"
	"errors"

	"github.com/quire-ml/quire/runners/claim"
)

// errAgain says that the claim of the round was gone: the outcomes that it has found may
// be gone too.
var errAgain = errors.New("workflow: the round's claim was removed while this process could not renew it")

// newClaim returns the claim of a round, with the keys of the last round: a round that has
// nothing to do needs no others.
func (x *pass) newClaim(id string) *claim.Claim {
	var expected []string
	if x.last != nil {
		for _, s := range x.last.Stages {
			if !s.Live && s.Key != "" {
				expected = append(expected, s.Key)
			}
		}
	}
	c := claim.New(x.st, "round "+id, expected...)
	c.Waits = func(held error) { x.o.observe("", Waits, "gc removes what the round needs: "+held.Error()) }
	return c
}

// take claims a key before its outcome and files are looked at.
func (x *pass) take(ctx context.Context, keys ...string) error {
	again, err := x.claim.Take(ctx, keys...)
	if err == nil && again {
		return errAgain
	}
	return err
}

// restarts reports whether the round begins once more after an error: its claim was
// removed, and with it perhaps what the round had found.
func (x *pass) restarts(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil || x.returns >= maxReturns {
		return false
	}
	if !errors.Is(err, errAgain) && !errors.Is(x.take(ctx), errAgain) {
		return false
	}
	x.returns++
	x.made = map[string]product{}
	x.o.observe("", Warns, errAgain.Error()+"; it begins once more")
	return true
}

// unclaim ends the claim of a round. The keys of one that ends without a record, and is to
// be started again, go on to be claimed.
func (x *pass) unclaim(ctx context.Context, r *Record) {
	end := x.claim.Release
	if !x.recorded && r.Error != nil && (r.Error.Stage != "" || r.Exit == Interrupted) {
		end = x.claim.Leave
	}
	if err := end(ctx); err != nil {
		x.o.damaged(err)
	}
}
