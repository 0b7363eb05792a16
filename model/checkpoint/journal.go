package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/quire-ml/quire/runners/store"
)

// JournalName is the object of a run that holds its lease and, as the lease's
// value, its journal.
const JournalName = "run.json"

// A Journal lists the checkpoints of a run that are kept, by step. The last is
// the newest; those before it are what there is when the newest is damaged. Who
// holds the lease of a run commits a checkpoint by adding it here, and moves the
// pointers after that.
type Journal struct {
	Checkpoints []Pointer `json:"checkpoints"`
}

// Add puts p in the place of its step.
func (j *Journal) Add(p Pointer) {
	at, ok := slices.BinarySearchFunc(j.Checkpoints, p.Step, func(q Pointer, step int64) int { return int(max(-1, min(1, q.Step-step))) })
	if ok {
		j.Checkpoints = slices.Clone(j.Checkpoints)
		j.Checkpoints[at] = p
		return
	}
	j.Checkpoints = slices.Insert(slices.Clone(j.Checkpoints), at, p)
}

// Find returns the checkpoint of a step.
func (j Journal) Find(step int64) (Pointer, bool) {
	for _, p := range j.Checkpoints {
		if p.Step == step {
			return p, true
		}
	}
	return Pointer{}, false
}

// Check compares a journal with itself.
func (j Journal) Check() error {
	for i, p := range j.Checkpoints {
		if err := p.check(); err != nil {
			return fmt.Errorf("checkpoint %d of the journal: %w", i, err)
		}
		if i > 0 && p.Step <= j.Checkpoints[i-1].Step {
			return fmt.Errorf("checkpoint %d of the journal: step %d comes after %d", i, p.Step, j.Checkpoints[i-1].Step)
		}
	}
	return nil
}

// ReadJournal reads the journal of a run, which is empty where there is none.
func ReadJournal(ctx context.Context, st *store.Store) (Journal, error) {
	var j Journal
	_, err := store.ReadLeased(ctx, st, JournalName, &j)
	if errors.Is(err, store.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = j.Check()
	}
	if err != nil {
		return Journal{}, fmt.Errorf("checkpoint: %s: %w", st.Join(JournalName), err)
	}
	return j, nil
}
