package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/rnn"
	"github.com/quire-ml/quire/runners/store"
)

// Acquire takes the lease of the run in st: its sole right to save. The error is
// a *store.HeldError while another training has it.
func Acquire(ctx context.Context, st *store.Store) (*store.Lease, error) {
	l, err := store.Acquire(ctx, st, checkpoint.JournalName, nil)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	return l, nil
}

// standing is what a run directory holds.
type standing struct {
	latest, best pointer
	journal      checkpoint.Journal
	newest       checkpoint.Pointer     // of c
	c            *checkpoint.Checkpoint // the newest that is intact, nil where there is none yet
	damaged      []error                // of those that are newer
}

// look finds the newest checkpoint that is intact. Where there are checkpoints
// and none is, that is an error.
func look(ctx context.Context, st *store.Store, j checkpoint.Journal) (*standing, error) {
	s := &standing{latest: pointer{which: "latest"}, best: pointer{which: "best"}, journal: j}
	for _, p := range []*pointer{&s.latest, &s.best} {
		if err := p.read(ctx, st); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	for _, p := range []pointer{s.latest, s.best} { // the run may be older than journals, or have lost its own
		if _, ok := j.Find(p.Step); p.generation != "" && !ok && p.Step <= s.latest.Step {
			s.journal.Add(p.Pointer)
		}
	}
	list := s.journal.Checkpoints
	for i := len(list) - 1; i >= 0; i-- {
		c, err := load(ctx, st, list[i])
		if err == nil {
			s.c, s.newest, s.journal.Checkpoints = c, list[i], list[:i+1]
			return s, nil
		}
		if !checkpoint.Damaged(err) {
			return nil, err
		}
		s.damaged = append(s.damaged, err)
	}
	if n := len(s.damaged); n > 1 {
		return nil, fmt.Errorf("%w; nor is one of the %d before it intact", s.damaged[0], n-1)
	} else if n == 1 {
		return nil, s.damaged[0]
	}
	return s, nil
}

// load reads a checkpoint, and reads it again before it says that it is damaged:
// a byte may have changed on its way here.
func load(ctx context.Context, st *store.Store, p checkpoint.Pointer) (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.Load(ctx, st, p)
	if err != nil && checkpoint.Damaged(err) {
		c, err = checkpoint.Load(ctx, st, p)
	}
	return c, err
}

// Compatible reports whether Run would go on with what is in st: nil when there
// is no checkpoint, or when the newest one that is intact came from the same
// inputs; else why not.
func Compatible(ctx context.Context, st *store.Store, o Options) error {
	j, err := checkpoint.ReadJournal(ctx, st)
	if err != nil {
		return err
	}
	s, err := look(ctx, st, j)
	if err != nil || s.c == nil {
		return err
	}
	return o.sameIdentity(s.c.Metadata)
}

// start builds the trainer and goes on from the newest checkpoint that is
// intact.
func (r *run) start(ctx context.Context) error {
	w := rnn.NewWeights(r.o.Shape)
	if start := r.o.Start; start == nil {
		w.Init(r.o.Seed)
	} else if start.Shape != r.o.Shape {
		return fmt.Errorf("train: to start from weights of shape %+v, the network must have the same, not %+v", start.Shape, r.o.Shape)
	} else {
		copy(w.Flat, start.Flat)
	}
	var err error
	if r.trainer, err = NewTrainer(w, r.o.SeqLength, r.o.Batch, r.o.LR, r.o.trainer()); err != nil {
		return err
	}
	if err := r.o.Lease.Value(&r.journal); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := r.journal.Check(); err != nil {
		return fmt.Errorf("train: %s: %w", r.st.Join(checkpoint.JournalName), err)
	}
	s, err := look(ctx, r.st, r.journal)
	if err != nil {
		return err
	}
	r.latest, r.best = s.latest, s.best
	if s.c == nil {
		return nil
	}
	if err := r.restore(s); err != nil {
		return err
	}
	for _, err := range s.damaged {
		if err := r.report(Report{Warning: fmt.Errorf("%w; the one of step %d is taken instead", err, r.step)}); err != nil {
			return err
		}
	}
	if err := r.settlePointers(ctx, s); err != nil {
		return err
	}
	if r.judged {
		r.stopEarly()
	}
	return r.report(Report{Resumed: true, EpochEnd: r.due()})
}

// restore sets the state of the training to that of a checkpoint.
func (r *run) restore(s *standing) error {
	at := r.st.Join(s.newest.Name)
	if err := r.o.sameIdentity(s.c.Metadata); err != nil {
		return fmt.Errorf("train: %s: %w", at, err)
	}
	if err := json.Unmarshal(s.c.Metrics, &r.past); err != nil {
		return fmt.Errorf("train: %s: metrics: %w", at, err)
	}
	if err := r.trainer.restore(s.c); err != nil {
		return err
	}
	r.step, r.saved, r.first, r.judged = s.c.Step, s.c.Step, s.c.Step, s.newest.Loss != nil
	if n := len(r.past.Epochs); n > 0 && r.past.Epochs[n-1].Step == r.step {
		r.past.Epochs[n-1].Validation = s.newest.Loss
	}
	return nil
}

// settlePointers lets the journal and the pointers name what the run goes on
// from. They do not where a checkpoint is damaged, or where the last training was
// killed between two of them. It also takes the pointers from a training that
// has lost its lease and is about to move them.
func (r *run) settlePointers(ctx context.Context, s *standing) error {
	if len(s.damaged) > 0 {
		if err := r.record(ctx, s.journal); err != nil {
			return err
		}
	}
	r.journal = s.journal
	if !r.latest.is(s.newest) {
		if err := r.point(ctx, &r.latest, s.newest); err != nil {
			return err
		}
	}
	best, ok := lowest(r.journal)
	switch {
	case r.best.generation != "" && r.best.Step > r.step && !ok:
		if err := r.st.Delete(ctx, "best.json", r.best.generation); err != nil {
			return err
		}
		r.best = pointer{which: "best"}
	case ok && (r.best.Step > r.step || r.o.KeepBest && r.beats(best)):
		return r.point(ctx, &r.best, best)
	}
	return nil
}
