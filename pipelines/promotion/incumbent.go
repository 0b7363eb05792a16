package promotion

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// Incumbent is the model that a candidate must be better than.
type Incumbent struct {
	Checkpoint string `json:"checkpoint"` // name below the workdir, or a path or URL elsewhere; empty: there is none
	Withdrawn  string `json:"withdrawn"`  // why a round must not bring the candidate back; empty: it may
}

// FindIncumbent returns the model that a candidate must be better than: the promoted
// one, or, where that is the candidate, the one that it replaced. So the incumbent
// stays the same when the candidate is promoted, and a round that is repeated finds
// its decision.
//
// A candidate is withdrawn when a person has replaced it since it was last promoted.
func FindIncumbent(ctx context.Context, st *store.Store, candidate string) (b Incumbent, err error) {
	now, _, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	if now.Checkpoint == candidate {
		if now, _, err = arrival(ctx, st, now, ""); err != nil || now.Previous == "" {
			return b, err
		}
		before, _, err := readRecord(ctx, st, now.Previous, "")
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
