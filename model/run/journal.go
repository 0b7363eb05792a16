package run

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// JournalName is the object that holds the lease of a run and, as the lease's
// value, the journal.
const JournalName = "run.json"

// A journal lists the checkpoints of a run that are kept, by step. The last is
// the newest. The others replace it where it is damaged. A checkpoint is
// committed once it is listed.
type journal struct {
	Checkpoints []checkpoint.Pointer `json:"checkpoints"`
	Goal        *Goal                `json:"goal,omitempty"` // as last recorded; see Dir.Aim
}

// A Goal is where the training of a run ends.
type Goal struct {
	Steps  int64 `json:"steps"`
	Epochs int   `json:"epochs"`
}

// with returns a copy of j in which p has the place of its step.
func (j journal) with(p checkpoint.Pointer) journal {
	byStep := func(q checkpoint.Pointer, step int64) int { return cmp.Compare(q.Step, step) }
	at, ok := slices.BinarySearchFunc(j.Checkpoints, p.Step, byStep)
	list := slices.Clone(j.Checkpoints)
	if ok {
		list[at] = p
	} else {
		list = slices.Insert(list, at, p)
	}
	return journal{Checkpoints: list}
}

// find returns the checkpoint of a step.
func (j journal) find(step int64) (checkpoint.Pointer, bool) {
	for _, p := range j.Checkpoints {
		if p.Step == step {
			return p, true
		}
	}
	return checkpoint.Pointer{}, false
}

// lowest returns the checkpoint with the lowest validation loss, of equal losses
// the earlier step; ok is false where no checkpoint has a loss.
func (j journal) lowest() (best checkpoint.Pointer, ok bool) {
	for _, p := range j.Checkpoints {
		if p.Loss != nil && (!ok || *p.Loss < *best.Loss) {
			best, ok = p, true
		}
	}
	return best, ok
}

// check refuses a journal that Commit cannot have written.
func (j journal) check() error {
	for i, p := range j.Checkpoints {
		if err := p.Check(); err != nil {
			return fmt.Errorf("checkpoint %d of the journal: %w", i, err)
		}
		if i > 0 && p.Step <= j.Checkpoints[i-1].Step {
			return fmt.Errorf("checkpoint %d of the journal: step %d comes after %d", i, p.Step, j.Checkpoints[i-1].Step)
		}
	}
	return nil
}

// checked returns j, or an error with its address where j or the reading was bad.
func checked(st *store.Store, j journal, err error) (journal, error) {
	if err == nil {
		err = j.check()
	}
	if err != nil {
		return journal{}, fmt.Errorf("run: %s: %w", st.Join(JournalName), err)
	}
	return j, nil
}

// readJournal reads the journal of a run without its lease. Where there is none,
// the journal is empty.
func readJournal(ctx context.Context, st *store.Store) (j journal, err error) {
	if _, err = store.ReadLeased(ctx, st, JournalName, &j); errors.Is(err, store.ErrNotExist) {
		return journal{}, nil
	}
	return checked(st, j, err)
}

// Checkpoints lists the checkpoints that a run keeps, by step. It needs no lease.
func Checkpoints(ctx context.Context, st *store.Store) ([]checkpoint.Pointer, error) {
	j, err := readJournal(ctx, st)
	return j.Checkpoints, err
}

// A State is what run.json says of a run. It needs one read, and no lease.
type State struct {
	Holder     *store.Holding // nil: nobody trains
	Generation string         // changes with every sign of life
	Goal       *Goal          // nil: no training of this version has begun here
	Latest     checkpoint.Pointer
	Best       checkpoint.Pointer // has the lowest validation loss; the zero value: none is known
}

// ReadState reads run.json. The error wraps store.ErrNotExist where there is none: the
// directory is no run's.
func ReadState(ctx context.Context, st *store.Store) (s State, err error) {
	var j journal
	s.Holder, s.Generation, err = store.ReadHolder(ctx, st, JournalName, &j)
	if j, err = checked(st, j, err); err != nil {
		return State{}, err
	}
	s.Goal = j.Goal
	if n := len(j.Checkpoints); n > 0 {
		s.Latest = j.Checkpoints[n-1]
	}
	s.Best, _ = j.lowest()
	return s, nil
}

// IsRun reports whether the directory st is a run's: it has a journal, intact or damaged,
// or the pointer of a program that wrote no journals.
func IsRun(ctx context.Context, st *store.Store) (bool, error) {
	data, _, err := st.Read(ctx, JournalName)
	switch {
	case err == nil && bytes.Contains(data, []byte(`"quire-`)):
		return true, nil
	case err != nil && !errors.Is(err, store.ErrNotExist):
		return false, err
	}
	p := pointer{which: Latest}
	return p.read(ctx, st) == nil, nil
}

// DropJournal deletes a damaged journal, and with it the lease, whoever holds it.
// The run can then be acquired, and has the checkpoints that the pointers name.
func DropJournal(ctx context.Context, st *store.Store) error {
	return st.Delete(ctx, JournalName, "")
}
