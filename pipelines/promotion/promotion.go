// Package promotion keeps which model is in service, and which ones were.
//
//	promoted.json                   the record of the model in service
//	promoted/<sha256>.safetensors   a copy of every model that was in service, written once
//	promotions/<number>-….json      the records of all promotions, each written once
//	promotions/cut.json             what is known of the records that were removed; absent: none were
//
// A model is its digest: the path from which it was promoted is in its record for
// people, and nothing reads it. The copy is written first, then the record; then
// promoted.json moves by compare-and-swap. Each record names the record before it:
// that chain is the history. A record outside of the chain was never in service.
//
// A round promotes what passed the gate; a person promotes or rolls back by hand.
// Functions are for any number of processes at a time.
package promotion

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// PointerName is the record of the model in service.
const PointerName = "promoted.json"

const (
	copies = "promoted" // the folder of the copies
	format = "quire-promoted/2"
	older  = "quire-promoted/1" // its records name a file without its digest, see Adopt
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
	Number     int64   `json:"number"`             // from 1, by one more each time
	Checkpoint string  `json:"checkpoint"`         // name of the copy, below the workdir
	Bytes      int64   `json:"bytes,omitempty"`    // of the copy
	SHA256     string  `json:"sha256,omitempty"`   // of the copy: the identity of the model
	Set        string  `json:"set,omitempty"`      // sha256 of the manifest of the set that it was trained on
	From       string  `json:"from,omitempty"`     // the file that was promoted: a name below the workdir, or a path or URL elsewhere
	By         string  `json:"by"`                 // ByRound, ByHand or ByRollback
	Round      string  `json:"round"`              // key of the stage that promoted it; empty: no stage did
	Decision   string  `json:"decision,omitempty"` // digest of the gate's decision; empty: no gate was asked
	Nats       float64 `json:"nats"`               // the loss that passed the gate; 0: no gate was asked
	Previous   string  `json:"previous"`           // name of the record that it replaced; empty: it is the first
	Restores   string  `json:"restores"`           // by rollback: name of the record whose model is back; else empty
	At         string  `json:"at"`                 // time by hand or rollback, as RFC 3339; a round's record has its times
}

// encode returns the bytes of a record and its name, which follows from them.
func (p *Promoted) encode() (data []byte, name string, err error) {
	if data, err = store.MarshalSealed(p); err != nil {
		return nil, "", err
	}
	return data, fmt.Sprintf("promotions/%08d-%.12x.json", p.Number, sha256.Sum256(data)), nil
}

// is reports whether a record is of the model with a digest. Records of earlier
// programs have no digest: there the file's name, below the workdir, decides.
func (p *Promoted) is(sha256, name string) bool {
	if p.SHA256 == "" {
		return p.Checkpoint == name
	}
	return p.SHA256 == sha256
}

// Read reads promoted.json and returns its generation, which is empty where no model
// is promoted: the error then wraps store.ErrNotExist.
func Read(ctx context.Context, st *store.Store) (p *Promoted, generation string, err error) {
	return readRecord(ctx, st, PointerName, "delete it and run a round")
}

// readRecord reads promoted.json or a record of the history. otherwise is the
// remedy besides an intact copy.
func readRecord(ctx context.Context, st *store.Store, name, otherwise string) (*Promoted, string, error) {
	p := &Promoted{}
	generation, err := st.ReadSealed(ctx, name, p, store.Sealed{Format: format, Older: older, Else: otherwise,
		Check: func() error { return p.check(name) }})
	if err != nil {
		return nil, "", err
	}
	return p, generation, nil
}

// check refuses a record that is not consistent, or is not the one of its name.
func (p *Promoted) check(name string) error {
	if want := checkpoint.Named(copies, p.SHA256); p.Format == format && (p.SHA256 == "" || p.Bytes < 1 || p.Checkpoint != want) {
		return fmt.Errorf("the checkpoint is %q with %d bytes and sha256 %q, want %q", p.Checkpoint, p.Bytes, p.SHA256, want)
	}
	_, own, err := p.encode()
	if err == nil && name != PointerName && name != own {
		err = fmt.Errorf("the record is intact, but another: it is %s", own)
	}
	return err
}

// Copy returns the name, below the workdir, of the copy of a model that is or was in
// service.
func Copy(sha256 string) string { return checkpoint.Named(copies, sha256) }

// Swap makes next the promoted model where promoted.json still has the generation
// seen; empty is none. Its copy exists, see Install. Swap sets the number of next and
// the record before it, and returns the new record and the one that it replaced, nil
// where there was none. Where next's model is promoted already, nothing changes, and
// both are its record. Where another promotion came between, the error wraps
// store.ErrConflict, and nothing has changed.
func Swap(ctx context.Context, st *store.Store, next Promoted, seen string) (now, before *Promoted, err error) {
	before, generation, err := Read(ctx, st)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotExist):
		return nil, nil, err
	case err == nil && before.is(next.SHA256, next.From):
		return before, before, nil
	case generation != seen:
		return nil, nil, fmt.Errorf("promotion: %s: %w: %s", st.Join(PointerName), store.ErrConflict, between(before))
	case err == nil:
		if next.Previous, err = put(ctx, st, before); err != nil {
			return nil, nil, err
		}
		next.Number = before.Number
	}
	next.Format = format
	next.Number++
	if err := move(ctx, st, &next, seen); err != nil {
		return nil, nil, err
	}
	return &next, before, nil
}

// between says what came between; p is nil where no model is promoted any more.
func between(p *Promoted) string {
	if p == nil {
		return "it was deleted meanwhile"
	}
	return fmt.Sprintf("promotion %d, by %s, came between", p.Number, p.By)
}

// move writes a record into the history, and makes promoted.json that record.
func move(ctx context.Context, st *store.Store, next *Promoted, generation string) error {
	if _, err := put(ctx, st, next); err != nil {
		return err
	}
	data, _, err := next.encode()
	if err == nil {
		_, err = st.Swap(ctx, PointerName, data, generation)
	}
	return err
}

// put writes a record into the history.
func put(ctx context.Context, st *store.Store, p *Promoted) (name string, err error) {
	data, name, err := p.encode()
	if err == nil {
		_, err = st.Put(ctx, name, data)
	}
	return name, err
}

// History returns the promotions of a workdir, the last one first.
// damaged is told of a record that cannot be read; the older ones follow.
func History(ctx context.Context, workdir string, damaged func(error)) ([]Promoted, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	all := []Promoted{}
	now, _, err := Read(ctx, st)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return all, nil
	case err != nil:
		return all, err
	}
	err = history(ctx, st, now, func(p *Promoted) bool {
		all = append(all, *p)
		return true
	}, damaged)
	return all, err
}

// history visits the records from p, which promoted.json had, back to the first, until
// visit returns false. damaged is told of a record that is damaged; the visits go on at the
// record with the number before, if there is one such record. With nil, damage is an error.
func history(ctx context.Context, st *store.Store, p *Promoted, visit func(p *Promoted) bool, damaged func(error)) (err error) {
	for err == nil && visit(p) && p.Previous != "" {
		number, name := p.Number-1, p.Previous
		for {
			if p, _, err = readRecord(ctx, st, name, ""); errors.Is(err, store.ErrNotExist) {
				return missing(ctx, st, number, err)
			}
			if damaged == nil || !errors.Is(err, store.ErrDamaged) {
				break
			}
			damaged(err)
			number--
			list, listed := st.List(ctx, fmt.Sprintf("promotions/%08d-", number))
			if listed != nil || len(list) != 1 {
				return listed // a record outside of the chain was never in service
			}
			name = list[0].Name
		}
	}
	return err
}
