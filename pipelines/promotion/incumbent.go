package promotion

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// Incumbent is the model that a candidate must be better than. A promotion takes its
// place on the generation: whoever makes an Incumbent sets the generation of Read.
type Incumbent struct {
	Checkpoint string `json:"checkpoint"`           // name below the workdir, or a path or URL elsewhere; empty: there is none
	SHA256     string `json:"sha256,omitempty"`     // of the checkpoint; empty in records of earlier programs
	Withdrawn  string `json:"withdrawn"`            // why a round must not bring the candidate back; empty: it may
	Generation string `json:"generation,omitempty"` // of promoted.json when it was read; empty: there was none
}

// Digest identifies what a decision depends on: the incumbent's digest and the
// withdrawal, and neither places nor generations. The digest is that of earlier
// programs where there is no incumbent.
func (b *Incumbent) Digest() (string, error) {
	data, err := json.Marshal(Incumbent{Checkpoint: cmp.Or(b.SHA256, b.Checkpoint), Withdrawn: b.Withdrawn})
	return fmt.Sprintf("%x", sha256.Sum256(data)), err
}

// Check returns why the incumbent cannot be read; nil where it can, or where there is none.
// The error is a *ModelError where it is the model in service, unless the error may pass.
func (b *Incumbent) Check(ctx context.Context, st *store.Store) error {
	if b.Checkpoint == "" {
		return nil
	}
	_, err := text.OpenModel(ctx, store.Locate(st.URL(), b.Checkpoint), "best")
	if err == nil || ctx.Err() != nil || store.Transient(err) {
		return err
	}
	if now, _, rerr := Read(ctx, st); rerr == nil && now.is(b.SHA256, b.Checkpoint) {
		return now.unusable(ctx, st, err)
	}
	return err
}

// FindIncumbent returns the model that a candidate must be better than: the promoted
// one, or, where that is the candidate, the one that it replaced. So the incumbent
// stays the same when the candidate is promoted, and a round that is repeated finds
// its decision. The candidate is its digest; its name below the workdir is for
// records of earlier programs.
//
// A candidate is withdrawn when a person has replaced it since it was last promoted.
func FindIncumbent(ctx context.Context, st *store.Store, sha256, name string) (b Incumbent, err error) {
	now, generation, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	b.Generation = generation
	if now.is(sha256, name) {
		if now, _, err = arrival(ctx, st, now, ""); err != nil || now.Previous == "" {
			return b, err
		}
		before, _, err := readRecord(ctx, st, now.Previous, "")
		if err == nil {
			b.Checkpoint, b.SHA256 = before.Checkpoint, before.SHA256
		}
		return b, err
	}
	b.Checkpoint, b.SHA256 = now.Checkpoint, now.SHA256
	var newer *Promoted // the promotion after the one that is visited
	known := false
	err = history(ctx, st, now, func(p *Promoted) bool {
		found := p.is(sha256, name)
		if found && newer.By != ByRound {
			b.Withdrawn = withdrawal{By: newer.By, Number: newer.Number, At: newer.At}.String()
		}
		known = known || found
		newer = p
		return !found
	}, nil) // a person may have withdrawn the candidate with any of them
	if err != nil || known {
		return b, err
	}
	c, _, err := readCut(ctx, st)
	for _, w := range c.Withdrawn {
		if w.SHA256 == sha256 {
			b.Withdrawn = w.String()
		}
	}
	return b, err
}
