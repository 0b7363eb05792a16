// Package gc removes from a workdir what nothing that stays can reach.
//
// A Policy chooses rounds that stay. What stays reaches, in turn:
//
//	a round          the outcomes of its stages, and sets, runs and corpora of the same keys; where its training
//	                 started from a run or a promoted model, that one
//	a run            its outcome, and the set that it was trained on
//	the promotions   the last ones, and those to which rollbacks lead: the copy of the model, the outcome of its
//	                 promotion, the gate's decision, and the set (a training may start from the model)
//	a claim          every key that a round, sweep or promotion uses, which runs or was interrupted (package claim)
//	a sweep          that is named: the runs of its table, with their outcomes
//
// These stay by themselves, too: runs with a pinned checkpoint, runs and sets that a living
// process holds by a lease, the run at the start of the config's training, the round of a slot
// that runs, rounds/latest.json's round, and the state of schedule, promotions and gc. What was
// asked of other machines stays for a day, and while anybody uses the workdir.
//
// Everything else goes that quire has made: rounds, outcomes, sets, runs, corpora, copies of
// models and records of promotions, slots, sweeps, requests, claims; with Options.Cache downloads and
// caches of the user too. Quire knows its files by their names. Others are listed, and stay.
//
// # Order
//
// A record goes before its outcomes, an outcome before its artifact, and of an artifact the
// file first that is written last: manifest.json, latest.json. So one that is killed leaves
// no pointer to nothing. What is left has no pointer any more: the next Run removes it.
//
// # Beside others
//
// Run announces what goes, by package claim, and looks at everything once more; only what
// would go both times goes. A run and a set are removed under their own lease, and a file
// only in the generation that was seen.
package gc

import (
	"context"
	"fmt"
	"time"

	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// Options say what stays, and whether the rest goes.
type Options struct {
	Policy     Policy
	Zone       *time.Location // of calendar days; nil is UTC
	Promotions int            // that stay, and rollbacks that stay possible; below 2 is 2
	Sweeps     []string       // keys, or their beginnings, of sweeps that stay; All: all
	Start      string         // path or URL of the run or checkpoint that trainings start from; empty: none
	Delete     bool           // false: nothing goes, the result says what would
	Cache      bool           // also the user's downloads and caches, as old as a day

	Now func() time.Time                 // nil is time.Now
	Say func(format string, args ...any) // takes a line per event; nil: nobody
}

// All names all sweeps, in Options.Sweeps.
const All = "all"

// An Item is what goes or stays as one.
type Item struct {
	Kind  string   `json:"kind"` // round, outcome, set, run, corpus, copy, promotion, slot, sweep, request, claim or cache
	Name  string   `json:"name"` // below the workdir
	Files int      `json:"files"`
	Bytes int64    `json:"bytes"`
	Why   []string `json:"why,omitempty"` // it stays

	key    string // of package claim; empty: it has none
	files  []store.Info
	folder bool // Name is a folder
}

// Foreign is what quire has not made, or does not know by its name.
type Foreign struct {
	Name  string `json:"name"` // of a file, or of a folder with a slash
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Result is what Run has found and done.
type Result struct {
	Deleted bool      `json:"deleted"` // what goes is gone; false: it is there still
	At      time.Time `json:"at"`
	Goes    []Item    `json:"goes"`
	Stays   []Item    `json:"stays"`
	Left    []Item    `json:"left"` // they were to go, and stay: somebody uses them
	Foreign []Foreign `json:"foreign"`

	GoesBytes    int64 `json:"goes_bytes"`
	StaysBytes   int64 `json:"stays_bytes"`
	ForeignBytes int64 `json:"foreign_bytes"`
}

// Run looks at a workdir, and removes what goes where o says so. The error wraps
// ErrNoPolicy where no round would stay, and is a *store.HeldError while another removes.
// Where a record cannot be read, what it reaches is not known: it is an error, and nothing
// goes. After an error in the middle the result says what is gone; Run again to go on.
func Run(ctx context.Context, st *store.Store, o Options) (*Result, error) {
	if o.Policy == (Policy{}) {
		return nil, ErrNoPolicy
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if !o.Delete {
		p, err := look(ctx, st, o, false)
		if err != nil {
			return nil, err
		}
		return p.result(o), nil
	}
	right, err := claim.Begin(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("gc: %w", err)
	}
	res, err := remove(ctx, st, o, right)
	if endErr := right.End(ctx); err == nil {
		err = endErr
	}
	return res, err
}

// remove looks, announces, looks again, and removes.
func remove(ctx context.Context, st *store.Store, o Options, right *claim.Removal) (*Result, error) {
	held, stop := right.Hold(ctx)
	defer stop()
	first, err := look(held, st, o, false)
	if err != nil {
		return nil, err
	}
	if err := first.dropClaims(held, st); err != nil {
		return nil, err
	}
	if err := right.Announce(held, first.keys()); err != nil {
		return nil, err
	}
	second, err := look(held, st, o, true) // whose claim could not be dropped lives, whatever the clocks show
	if err != nil {
		return nil, err
	}
	second.spare(first)
	r := &remover{ctx: held, st: st, p: second, o: o, right: right}
	err = r.all()
	res := second.result(o)
	res.Deleted = true
	res.settle(r, second.state)
	if err == nil {
		err = res.write(held, st)
	}
	return res, err
}
