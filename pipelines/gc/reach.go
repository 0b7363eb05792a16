package gc

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// reach keeps what a round reaches.
func (p *plan) reach(st *store.Store, r *workflow.Record) {
	why := "of round " + r.Round
	for _, s := range r.Stages {
		if !s.Live {
			p.stayKey(s.Key, why)
		}
	}
	var c struct{ Train struct{ From string } }
	if json.Unmarshal(r.Config, &c) == nil {
		p.path(st, c.Train.From, "the training of round "+r.Round+" started from it")
	}
}

// path keeps the run or copy that a path or URL leads into; a relative path is below the workdir.
func (p *plan) path(st *store.Store, path, why string) {
	if path == "" {
		return
	}
	name, err := store.Below(real(st.URL()), real(store.Locate(st.URL(), path)))
	if err != nil {
		return // the working directory is unknown, and with it every relative path
	}
	_, _, key := belongs(name)
	if top, rest, _ := strings.Cut(name, "/"); key == "" && top == "runs" {
		key, _, _ = strings.Cut(rest, "/")
	}
	if key != "" {
		p.stayKey(key, why)
	}
}

// real returns a path of this machine without links: the workdir may have several names.
func real(path string) string {
	if store.IsURL(path) {
		return path
	}
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	return path
}

// sweeps keeps the sweeps that are named, and the runs of their tables.
func (p *plan) sweeps(ctx context.Context, st *store.Store, named []string) error {
	for _, name := range named {
		found := false
		for _, it := range p.items {
			if it.Kind != "sweep" || name != All && (len(name) < 4 || !strings.HasPrefix(it.key, name)) {
				continue
			}
			found = true
			if err := p.sweep(ctx, st, it, "named to stay"); err != nil {
				return err
			}
		}
		if !found && name != All {
			return &SweepError{name, p.sweepKeys()}
		}
	}
	return nil
}

// A SweepError says that no sweep of a workdir has a name.
type SweepError struct {
	Name string
	Have []string
}

func (e *SweepError) Error() string {
	have := "there are none"
	if len(e.Have) > 0 {
		have = "there are " + strings.Join(e.Have, ", ")
	}
	return fmt.Sprintf("gc: no sweep is called %q, nor begins so with 4 characters or more; %s", e.Name, have)
}

func (p *plan) sweepKeys() []string {
	var keys []string
	for _, it := range p.items {
		if it.Kind == "sweep" {
			keys = append(keys, it.key)
		}
	}
	slices.Sort(keys)
	return keys
}

// sweep keeps a sweep.
func (p *plan) sweep(ctx context.Context, st *store.Store, it *Item, why string) error {
	p.stay(it.Name, why)
	data, _, err := st.Read(ctx, it.Name+"/sweep.csv")
	if errors.Is(err, store.ErrNotExist) {
		return nil // killed before its table
	}
	if err != nil {
		return fmt.Errorf("gc: %w", err)
	}
	rows, err := csv.NewReader(strings.NewReader(string(data))).ReadAll()
	if err != nil || len(rows) == 0 || !slices.Contains(rows[0], "run") {
		return fmt.Errorf("gc: %s is no table of a sweep, so its runs are not known, and nothing goes: %v", st.Join(it.Name+"/sweep.csv"), err)
	}
	column := slices.Index(rows[0], "run")
	for _, row := range rows[1:] {
		key := strings.TrimPrefix(row[column], "runs/")
		why := "of sweep " + it.key
		p.stayKey(key, why)
		for name, m := range p.outcomes { // its loss
			trained := p.outcomes[workflow.OutcomeName("train", key)]
			if trained != nil && m.Inputs[trained.Artifact] == trained.Digest && m.Stage == "evaluate" {
				p.stay(name, why)
			}
		}
	}
	return nil
}

// apart is how far the clocks of machines may be apart: until then a run or set that its
// holder does not seem to renew keeps what it reaches.
const apart = time.Hour

// runs keeps pinned and held runs, and what every run that stays reaches. It comes last.
func (p *plan) runs(ctx context.Context, st *store.Store) error {
	for _, name := range slices.Sorted(maps.Keys(p.items)) {
		it := p.items[name]
		lease, ok := leases[it.Kind]
		if !ok {
			continue
		}
		held, err := claim.Holder(ctx, st, name+"/"+lease, new(json.RawMessage))
		switch {
		case errors.Is(err, store.ErrNotExist):
		case err != nil:
			return fmt.Errorf("gc: %w", err)
		case held != nil && p.now.Sub(held.Until) < apart:
			p.held = true
			p.stayKey(it.key, fmt.Sprintf("process %d on %s works on it", held.PID, held.Host))
		}
		if it.Kind == "run" {
			if err := p.pinned(ctx, st, it); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.items)) {
		if it := p.items[name]; it.Kind == "run" && len(it.Why) > 0 {
			if err := p.setOf(ctx, st, it); err != nil {
				return err
			}
		}
	}
	return nil
}

// pinned keeps a run with pinned checkpoints, or with pins that cannot be read.
func (p *plan) pinned(ctx context.Context, st *store.Store, it *Item) error {
	dir, err := st.Sub(it.Name)
	if err != nil {
		return err
	}
	pins, err := run.Pinned(ctx, dir)
	switch {
	case ctx.Err() != nil || store.Transient(err):
		return fmt.Errorf("gc: %w", err)
	case err != nil:
		p.stayKey(it.key, fmt.Sprintf("its pins cannot be read: %v", err))
	case len(pins) > 0:
		p.stayKey(it.key, fmt.Sprintf("checkpoints of it are pinned: %d", len(pins)))
	}
	return nil
}

// setOf keeps the set of a run.
func (p *plan) setOf(ctx context.Context, st *store.Store, it *Item) error {
	why := "set of " + it.Name
	digest := ""
	if m := p.outcomes[workflow.OutcomeName("train", it.key)]; m != nil {
		digest = m.Inputs["set"]
	}
	if digest == "" { // a training that has not ended, or a stage of a program's own
		c, _, err := run.Open(ctx, st.Join(it.Name), run.Latest)
		switch {
		case err == nil:
			digest = c.Set
		case ctx.Err() != nil || store.Transient(err):
			return fmt.Errorf("gc: %w", err)
		default:
			return nil // it has no checkpoint, or none that can be used: there is nothing to go on with
		}
	}
	for _, m := range p.outcomes {
		if m.Artifact == "set" && m.Digest == digest {
			p.stayKey(m.Key, why)
		}
	}
	return nil
}
