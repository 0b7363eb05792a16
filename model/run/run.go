// Package run is the directory in which one training lives:
//
//	run.json                 lease and journal: who may write here, and which checkpoints are kept
//	checkpoints/step-….safetensors
//	latest.json, best.json   pointers to the newest checkpoint and to that with the lowest validation loss
//	pins.txt                 steps that a person wants kept
//
// The holder of the lease saves a checkpoint (Save), then lists it in the journal
// (Commit). After that the pointers move, and files that the journal no longer
// lists are deleted. So a process may die between any two writes: the next holder
// finds the newest intact checkpoint (NewestIntact) and repairs the pointers
// (ResumeFrom). Readers need no lease; they believe the pointers (Open).
//
// The package knows files and steps. Training, and a checkpoint's content, are
// the business of packages train and checkpoint.
package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// A Dir is the directory of a run whose lease is held. It is for one goroutine at
// a time, except for Err.
type Dir struct {
	st           *store.Store
	lease        *store.Lease
	journal      journal
	goal         *Goal   // nil: unknown
	latest, best pointer // as last seen
}

// Acquire takes the lease of the run in st: the sole right to write there. Where
// the lease of another has expired, Acquire may take as long as a lease lasts. The
// error is a *store.HeldError while another process has the lease, and wraps
// store.ErrDamaged where run.json is damaged. o may be nil.
func Acquire(ctx context.Context, st *store.Store, o *store.LeaseOptions) (*Dir, error) {
	l, err := store.Acquire(ctx, st, JournalName, o)
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	d := &Dir{st: st, lease: l, latest: pointer{which: Latest}, best: pointer{which: Best}}
	var found journal
	if l.Value(&found) == nil { // NewestIntact has the error of another value
		d.goal = found.Goal
	}
	return d, nil
}

// Begin writes the journal of a run that has none: the directory then is a run's, see
// IsRun, also where no checkpoint follows.
func (d *Dir) Begin(ctx context.Context) error {
	var found *journal
	if err := d.lease.Value(&found); err != nil || found != nil {
		return err
	}
	return d.record(ctx, d.journal)
}

// Aim records where the training ends, for those who watch it. It is called after
// NewestIntact and while nothing is saved.
func (d *Dir) Aim(ctx context.Context, goal Goal) error {
	if d.goal != nil && *d.goal == goal {
		return nil
	}
	d.goal = &goal
	return d.record(ctx, d.journal)
}

// releaseTime bounds a release. Without one, the lease expires.
const releaseTime = 10 * time.Second

// Release gives up the lease, also when ctx is cancelled.
func (d *Dir) Release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := d.lease.Release(ctx); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// Err returns the error by which the lease was lost, nil while the lease is held.
// It does not wait.
func (d *Dir) Err() error { return d.lease.Err() }

// Join returns the path or URL of a file of the run.
func (d *Dir) Join(name string) string { return d.st.Join(name) }

// Latest is the pointer to the newest checkpoint, after NewestIntact or Commit;
// its name is empty where the run has none.
func (d *Dir) Latest() checkpoint.Pointer { return d.latest.Pointer }

// Keeps reports whether the run keeps the checkpoint of a step, after NewestIntact.
func (d *Dir) Keeps(step int64) bool {
	_, ok := d.journal.find(step)
	return ok
}

// Save writes a checkpoint, which Commit then makes part of the run. Saving the
// same content again succeeds. Other content for a step that is committed is
// store.ErrConflict.
func (d *Dir) Save(ctx context.Context, c *checkpoint.Checkpoint) (checkpoint.Pointer, error) {
	p, err := checkpoint.Save(ctx, d.st, c)
	if errors.Is(err, store.ErrConflict) {
		if err = d.removeLeftover(ctx, c.Step, err); err == nil {
			p, err = checkpoint.Save(ctx, d.st, c)
		}
	}
	return p, err
}

// removeLeftover deletes the file that is in the way of the checkpoint of a step,
// unless that file is committed: then it returns conflict. A process that was
// killed between Save and Commit leaves such a file. Its content may be damaged,
// or that of a training with other numbers.
func (d *Dir) removeLeftover(ctx context.Context, step int64, conflict error) error {
	name := checkpoint.Path(step)
	if _, ok := d.journal.find(step); ok || d.latest.Name == name || d.best.Name == name {
		return conflict
	}
	info, err := d.st.Stat(ctx, name)
	if err != nil {
		return err
	}
	if err := d.record(ctx, d.journal); err != nil { // another holder may have written the file by now
		return err
	}
	return d.st.Delete(ctx, name, info.Generation)
}

// Commit adds a saved checkpoint to the journal, or changes the loss of a listed
// checkpoint. It removes the checkpoints that keep lets go from the journal, moves
// the pointers, and deletes the files that are no longer listed. Where pins.txt
// cannot be read, warning says so and nothing is deleted.
//
// The commit is done once the journal is written. A process that has lost its
// lease fails there. A process that is killed later leaves the pointers to the
// next holder. Commit deletes only files that were there before the journal was
// written, in the same generation, and none newer than the newest checkpoint: so a
// process that has lost its lease deletes no file of its successor.
func (d *Dir) Commit(ctx context.Context, p checkpoint.Pointer, keep Retention) (warning, err error) {
	files, err := d.st.List(ctx, checkpoint.Folder)
	if err != nil {
		return nil, err
	}
	j := d.journal.with(p)
	newest := j.Checkpoints[len(j.Checkpoints)-1]
	best, better := j.lowest()
	if better = better && keep.KeepBest && d.best.worse(best); !better {
		best = d.best.Pointer
	}
	pinned, warning := pins(ctx, d.st)
	switch {
	case warning == nil:
		j = keep.of(j, best, pinned)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	if err := d.record(ctx, j); err != nil {
		return warning, err
	}
	if better {
		if err := d.best.move(ctx, d.st, best); err != nil {
			return warning, err
		}
	}
	if err := d.latest.move(ctx, d.st, newest); err != nil {
		return warning, err
	}
	if warning != nil {
		return fmt.Errorf("%w; no checkpoint is deleted until this file is mended", warning), nil
	}
	return nil, d.sweep(ctx, files, pinned)
}

// record replaces the journal, if this process still has the lease.
func (d *Dir) record(ctx context.Context, j journal) error {
	j.Goal = d.goal
	if err := d.lease.Commit(ctx, j); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	d.journal = j
	return nil
}

// sweep deletes the checkpoints among files that are neither listed nor pinned.
func (d *Dir) sweep(ctx context.Context, files []store.Info, pinned map[int64]bool) error {
	for _, f := range files {
		step, ok := checkpoint.StepOf(f.Name)
		if _, listed := d.journal.find(step); !ok || listed || pinned[step] || f.Name == d.best.Name || step >= d.latest.Step ||
			f.Generation == "" { // a link that is no object
			continue
		}
		if err := d.st.Delete(ctx, f.Name, f.Generation); err != nil {
			return err
		}
	}
	return nil
}

// Discard deletes the checkpoints and pointers of the run, so that a training
// starts from zero, and the files whose names begin with an element of more. The
// lease stays held, and pins.txt stays, as do files that are no checkpoints by name.
func (d *Dir) Discard(ctx context.Context, more ...string) error {
	if err := d.lease.Commit(ctx, nil); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	d.journal, d.goal = journal{}, nil
	for _, p := range []*pointer{&d.latest, &d.best} {
		*p = pointer{which: p.which}
		if err := d.st.Delete(ctx, p.file(), ""); err != nil {
			return err
		}
	}
	for _, prefix := range append([]string{checkpoint.Folder}, more...) {
		list, err := d.st.List(ctx, prefix)
		if err != nil {
			return err
		}
		for _, info := range list {
			if _, ok := checkpoint.StepOf(info.Name); !ok && prefix == checkpoint.Folder {
				continue
			}
			if err := d.st.Delete(ctx, info.Name, ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// A File is a file of a run, by its name below the directory.
type File struct {
	Name   string
	SHA256 string // hex; empty for a pointer
}

// Files lists the files of a finished run: the pointers and their checkpoints.
// latest.json, which is written last, comes first.
func Files(ctx context.Context, st *store.Store) ([]File, error) {
	latest, best := pointer{which: Latest}, pointer{which: Best}
	if err := latest.read(ctx, st); err != nil {
		return nil, err
	}
	files := []File{{Name: latest.file()}, {Name: latest.Name, SHA256: latest.SHA256}}
	if err := best.read(ctx, st); errors.Is(err, store.ErrNotExist) {
		return files, nil
	} else if err != nil {
		return nil, err
	}
	files = append(files, File{Name: best.file()})
	if best.Name != latest.Name {
		files = append(files, File{Name: best.Name, SHA256: best.SHA256})
	}
	return files, nil
}
