package train

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// PinsName is the file of a run in which a person lists checkpoints that are to
// be kept: their steps, one a line. What follows a # is a comment.
const PinsName = "pins.txt"

// pins reads the steps in PinsName.
func pins(ctx context.Context, st *store.Store) (map[int64]bool, error) {
	text, _, err := st.Read(ctx, PinsName)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	steps := map[int64]bool{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		step, err := strconv.ParseInt(line, 10, 64)
		if err != nil || step < 0 {
			return nil, fmt.Errorf("train: %s: line %d: %q is not the step of a checkpoint, for example 500", st.Join(PinsName), n, line)
		}
		steps[step] = true
	}
	return steps, lines.Err()
}

// keep returns what stays of a journal: the last KeepLast checkpoints, the best
// BestCount, those that are pinned, and in any case the newest and best. It drops
// nothing when it cannot read what is pinned.
func (r *run) keep(ctx context.Context, j checkpoint.Journal, best checkpoint.Pointer) (checkpoint.Journal, error) {
	pinned, err := pins(ctx, r.st)
	if err != nil {
		if ctx.Err() != nil {
			return j, ctx.Err()
		}
		return j, r.tell(Report{Step: j.Checkpoints[len(j.Checkpoints)-1].Step, Warning: fmt.Errorf("%w; no checkpoint is deleted until that is mended", err)})
	}
	list := j.Checkpoints
	kept := map[int64]bool{best.Step: best.Name != ""}
	for _, p := range list[max(0, len(list)-max(1, r.o.KeepLast)):] {
		kept[p.Step] = true
	}
	if r.o.KeepBest {
		list := ranked(j)
		for _, p := range list[:min(len(list), max(1, r.o.BestCount))] {
			kept[p.Step] = true
		}
	}
	list = slices.DeleteFunc(slices.Clone(list), func(p checkpoint.Pointer) bool { return !kept[p.Step] && !pinned[p.Step] })
	return checkpoint.Journal{Checkpoints: list}, nil
}

// ranked returns the checkpoints with a validation loss, the best first.
func ranked(j checkpoint.Journal) []checkpoint.Pointer {
	list := slices.DeleteFunc(slices.Clone(j.Checkpoints), func(p checkpoint.Pointer) bool { return p.Loss == nil })
	slices.SortStableFunc(list, func(a, b checkpoint.Pointer) int { return cmp.Compare(*a.Loss, *b.Loss) })
	return list
}

// lowest returns the best checkpoint; ok is false where none has a loss.
func lowest(j checkpoint.Journal) (p checkpoint.Pointer, ok bool) {
	if list := ranked(j); len(list) > 0 {
		return list[0], true
	}
	return checkpoint.Pointer{}, false
}

// beats reports whether a checkpoint is better than the best one.
func (r *run) beats(p checkpoint.Pointer) bool {
	return r.best.generation == "" || r.best.Loss == nil || *p.Loss < *r.best.Loss
}

// commit makes j the journal, less what is not kept, moves the pointers and
// deletes the files of what is not kept. With the journal it is done: a training
// that has lost its lease gets no further, and one that is killed leaves the
// pointers to the next. Deleted is only what was listed before, generation by
// generation, and is no newer than the last: the training that has taken a lost
// lease over loses nothing.
func (r *run) commit(ctx context.Context, j checkpoint.Journal) error {
	files, err := r.st.List(ctx, "checkpoints/")
	if err != nil {
		return err
	}
	newest := j.Checkpoints[len(j.Checkpoints)-1]
	best, better := lowest(j)
	if better = better && r.o.KeepBest && r.beats(best); !better {
		best = r.best.Pointer
	}
	kept, err := r.keep(ctx, j, best)
	if err != nil {
		return err
	}
	if err := r.record(ctx, kept); err != nil {
		return err
	}
	if better {
		if err := r.point(ctx, &r.best, best); err != nil {
			return err
		}
	}
	if !r.latest.is(newest) {
		if err := r.point(ctx, &r.latest, newest); err != nil {
			return err
		}
	}
	return r.sweep(ctx, files)
}

// record replaces the journal, if this training still has the lease.
func (r *run) record(ctx context.Context, j checkpoint.Journal) error {
	if err := r.o.Lease.Commit(ctx, j); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	r.journal = j
	return nil
}

// sweep deletes checkpoints that the journal does not list, of those files.
func (r *run) sweep(ctx context.Context, files []store.Info) error {
	pinned, err := pins(ctx, r.st)
	if err != nil {
		return nil // keep has said it
	}
	for _, f := range files {
		step, ok := stepOf(f.Name)
		if _, listed := r.journal.Find(step); !ok || listed || pinned[step] || f.Name == r.best.Name || step >= r.latest.Step {
			continue
		}
		if err := r.st.Delete(ctx, f.Name, f.Generation); err != nil {
			return err
		}
	}
	return nil
}

// stepOf returns the step of a checkpoint's file.
func stepOf(name string) (step int64, ok bool) {
	text, ok := strings.CutSuffix(path.Base(name), ".safetensors")
	if !ok || !strings.HasPrefix(text, "step-") {
		return 0, false
	}
	step, err := strconv.ParseInt(strings.TrimPrefix(text, "step-"), 10, 64)
	return step, err == nil
}
