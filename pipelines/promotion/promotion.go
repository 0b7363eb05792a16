// Package promotion keeps which model is in service, and which ones were.
package promotion

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// promotedName is the pointer to the model in service, below the workdir. It holds
// a copy of its record, promotions/<number>-<digest>.json, which is written before
// it and never replaced. Each record names the one before it: that is the history,
// and a record that no other names was never in service.
const promotedName = "promoted.json"

const promotedFormat = "quire-promoted/1"

// Who promoted a model.
const (
	ByRound    = "round"
	ByHand     = "hand"
	ByRollback = "rollback"
)

// Promoted is what promoted.json says.
type Promoted struct {
	Format     string  `json:"format"`
	Number     int64   `json:"number"`     // of promotions so far
	Checkpoint string  `json:"checkpoint"` // name below the workdir, or a path or URL elsewhere
	By         string  `json:"by"`         // ByRound, ByHand or ByRollback
	Round      string  `json:"round"`      // key of the stage that promoted it; empty where none did
	Nats       float64 `json:"nats"`       // the loss that passed the gate; 0 where none did
	Previous   string  `json:"previous"`   // record of the model that it replaced; empty: it is the first
	Restores   string  `json:"restores"`   // by rollback: the record whose model is back; else empty
	At         string  `json:"at"`         // when, by hand or rollback, as RFC 3339; a round's record has its times
}

// record returns the bytes of a record and its name.
func (p *Promoted) record() (data []byte, name string, err error) {
	if data, err = store.MarshalSealed(p); err != nil {
		return nil, "", err
	}
	return data, fmt.Sprintf("promotions/%08d-%.12x.json", p.Number, sha256.Sum256(data)), nil
}

// Read reads promoted.json; the error wraps store.ErrNotExist when no
// model was promoted.
func Read(ctx context.Context, st *store.Store) (*Promoted, string, error) {
	return readPromotion(ctx, st, promotedName, "delete it and run a round")
}

// readPromotion reads promoted.json or a record of the history. otherwise is the
// remedy besides an intact copy.
func readPromotion(ctx context.Context, st *store.Store, name, otherwise string) (*Promoted, string, error) {
	p := &Promoted{}
	generation, err := st.ReadSealed(ctx, name, p, store.Sealed{Format: promotedFormat, Else: otherwise})
	if err != nil {
		return nil, "", err
	}
	return p, generation, nil
}

// Swap makes next the promoted model and returns its record with what it
// replaced, nil where there was none. A model that is the promoted one already
// stays so. Of promotions at a time one wins; the error of the others wraps
// store.ErrConflict.
func Swap(ctx context.Context, st *store.Store, next Promoted) (now, before *Promoted, err error) {
	before, generation, err := Read(ctx, st)
	switch {
	case errors.Is(err, store.ErrNotExist):
	case err != nil:
		return nil, nil, err
	case before.Checkpoint == next.Checkpoint:
		return before, before, nil
	default:
		data, name, err := before.record()
		if err != nil {
			return nil, nil, err
		}
		if _, err := st.Put(ctx, name, data); err != nil {
			return nil, nil, err
		}
		next.Number, next.Previous = before.Number, name
	}
	next.Format = promotedFormat
	next.Number++
	data, name, err := next.record()
	if err != nil {
		return nil, nil, err
	}
	if _, err := st.Put(ctx, name, data); err != nil {
		return nil, nil, err
	}
	if _, err := st.Swap(ctx, promotedName, data, generation); err != nil {
		return nil, nil, err
	}
	return &next, before, nil
}

// history visits the records from the promoted model's back to the first, until
// visit returns false.
func history(ctx context.Context, st *store.Store, visit func(p *Promoted) bool) error {
	p, _, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	for ; err == nil && visit(p) && p.Previous != ""; p, _, err = readPromotion(ctx, st, p.Previous, "") {
	}
	return err
}

// Path returns the path of the promoted checkpoint of a workdir; the
// error wraps store.ErrNotExist when there is none.
func Path(ctx context.Context, workdir string) (string, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	p, _, err := Read(ctx, st)
	if err != nil {
		return "", err
	}
	return store.Locate(workdir, p.Checkpoint), nil
}
