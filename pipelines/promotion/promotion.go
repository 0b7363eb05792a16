// Package promotion keeps which model is in service, and which ones were.
//
// promoted.json, below the workdir, is the record of the model in service. It moves
// by compare-and-swap. Every record also lies in promotions/, under a name that is
// written once, before the pointer moves, and each names the record before it: that
// chain is the history. A record outside of the chain was never in service.
//
// A round promotes what passed the gate; a person promotes or rolls back by hand.
// Functions are for any number of processes at a time.
package promotion

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

const (
	pointerName = "promoted.json"
	format      = "quire-promoted/1"
)

// Who promoted a model.
const (
	ByRound    = "round"
	ByHand     = "hand"
	ByRollback = "rollback"
)

// Promoted is the record of a promotion.
type Promoted struct {
	Format     string  `json:"format"`
	Number     int64   `json:"number"`     // from 1, by one more each time
	Checkpoint string  `json:"checkpoint"` // name below the workdir, or a path or URL elsewhere
	By         string  `json:"by"`         // ByRound, ByHand or ByRollback
	Round      string  `json:"round"`      // key of the stage that promoted it; empty: no stage did
	Nats       float64 `json:"nats"`       // the loss that passed the gate; 0: no gate was asked
	Previous   string  `json:"previous"`   // name of the record that it replaced; empty: it is the first
	Restores   string  `json:"restores"`   // by rollback: name of the record whose model is back; else empty
	At         string  `json:"at"`         // time by hand or rollback, as RFC 3339; a round's record has its times
}

// encode returns the bytes of a record and its name, which follows from them.
func (p *Promoted) encode() (data []byte, name string, err error) {
	if data, err = store.MarshalSealed(p); err != nil {
		return nil, "", err
	}
	return data, fmt.Sprintf("promotions/%08d-%.12x.json", p.Number, sha256.Sum256(data)), nil
}

// Read reads promoted.json and returns its generation. The error wraps
// store.ErrNotExist where no model is promoted.
func Read(ctx context.Context, st *store.Store) (p *Promoted, generation string, err error) {
	return readRecord(ctx, st, pointerName, "delete it and run a round")
}

// readRecord reads promoted.json or a record of the history. otherwise is the
// remedy besides an intact copy.
func readRecord(ctx context.Context, st *store.Store, name, otherwise string) (*Promoted, string, error) {
	p := &Promoted{}
	generation, err := st.ReadSealed(ctx, name, p, store.Sealed{Format: format, Else: otherwise})
	if err != nil {
		return nil, "", err
	}
	return p, generation, nil
}

// Swap makes next the promoted model. It sets the number of next and the record
// before it, and returns the new record and the one that it replaced, nil where
// there was none. Where next's model is promoted already, nothing changes, and both
// are its record. Where another promotion came between, the error wraps
// store.ErrConflict, and nothing has changed.
func Swap(ctx context.Context, st *store.Store, next Promoted) (now, before *Promoted, err error) {
	before, generation, err := Read(ctx, st)
	switch {
	case errors.Is(err, store.ErrNotExist):
	case err != nil:
		return nil, nil, err
	case before.Checkpoint == next.Checkpoint:
		return before, before, nil
	default:
		if next.Previous, _, err = put(ctx, st, before); err != nil {
			return nil, nil, err
		}
		next.Number = before.Number
	}
	next.Format = format
	next.Number++
	_, data, err := put(ctx, st, &next)
	if err != nil {
		return nil, nil, err
	}
	if _, err := st.Swap(ctx, pointerName, data, generation); err != nil {
		return nil, nil, err
	}
	return &next, before, nil
}

// put writes a record into the history.
func put(ctx context.Context, st *store.Store, p *Promoted) (name string, data []byte, err error) {
	if data, name, err = p.encode(); err == nil {
		_, err = st.Put(ctx, name, data)
	}
	return name, data, err
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

// history visits the records from the promoted model's back to the first, until
// visit returns false.
func history(ctx context.Context, st *store.Store, visit func(p *Promoted) bool) error {
	p, _, err := Read(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	}
	for ; err == nil && visit(p) && p.Previous != ""; p, _, err = readRecord(ctx, st, p.Previous, "") {
	}
	return err
}

// Path returns the path or URL of the promoted checkpoint of a workdir. The error
// wraps store.ErrNotExist where no model is promoted.
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
