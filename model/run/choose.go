package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// This file answers two questions: which checkpoint a reader gets (Open, Find),
// and which one a training goes on from (NewestIntact).

// Open reads a checkpoint for use, and returns the path or URL of its file. path
// is such a file, or the directory of a run, in which which chooses Best, Latest
// or "step:500"; or a gs:// URL of either. A run without best.json, which had no
// validation part, gives the latest for Best. The error wraps store.ErrNotExist
// where there is no such checkpoint.
func Open(ctx context.Context, path, which string) (c *checkpoint.Checkpoint, at string, err error) {
	dir, name := fileOf(path)
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, "", err
	}
	defer st.Close()
	if name != "" {
		c, err = checkpoint.Read(ctx, st, name)
		if errors.Is(err, checkpoint.ErrForeign) {
			return nil, "", err // there is no intact copy
		}
		return c, st.Join(name), remedy(err)
	}
	if step, ok, err := parseStep(which); ok {
		if err != nil {
			return nil, "", err
		}
		c, err = openStep(ctx, st, step)
		return c, st.Join(checkpoint.Path(step)), err
	}
	// A running training may delete a checkpoint after its pointer was read here.
	for seen := ""; ; {
		p, err := Find(ctx, st, which)
		if err != nil {
			return nil, "", err
		}
		c, err = checkpoint.Load(ctx, st, p)
		if err == nil || p.Name == seen {
			return c, st.Join(p.Name), remedy(err)
		}
		seen = p.Name
	}
}

// Bytes returns the size of the file that Open reads, without reading it. Where Open has
// no such file, neither has Bytes.
func Bytes(ctx context.Context, path, which string) (int64, error) {
	dir, name := fileOf(path)
	st, err := store.Open(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	if step, ok, err := parseStep(which); err != nil {
		return 0, err
	} else if name == "" && ok {
		name = checkpoint.Path(step)
	}
	if name == "" {
		p, err := Find(ctx, st, which)
		if err != nil {
			return 0, err
		}
		name = p.Name
	}
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return 0, err
	}
	defer o.Close()
	return o.Size(), nil
}

// Find reads the pointer Latest or Best of a run; where there is no best.json,
// Best is Latest. The error wraps store.ErrNotExist where there is no pointer.
func Find(ctx context.Context, st *store.Store, which string) (checkpoint.Pointer, error) {
	if which != Latest && which != Best {
		return checkpoint.Pointer{}, fmt.Errorf("run: %q names no pointer; want %s or %s", which, Latest, Best)
	}
	p := pointer{which: which}
	err := p.read(ctx, st)
	if which == Best && errors.Is(err, store.ErrNotExist) {
		p.which = Latest
		err = p.read(ctx, st)
	}
	if errors.Is(err, store.ErrNotExist) {
		err = fmt.Errorf("run: there is no checkpoint at %s: it is neither a %s file nor the directory of a run: %w",
			st.URL(), checkpoint.Suffix, err)
	}
	return p.Pointer, err
}

// CheckWhich refuses a choice that Open does not know.
func CheckWhich(which string) error {
	if which == Best || which == Latest {
		return nil
	}
	_, ok, err := parseStep(which)
	if !ok {
		err = fmt.Errorf("run: %q is neither %s nor %s nor a step such as step:500", which, Best, Latest)
	}
	return err
}

// parseStep reads "step:500". ok says whether which begins with "step:".
func parseStep(which string) (step int64, ok bool, err error) {
	text, ok := strings.CutPrefix(which, "step:")
	if !ok {
		return 0, false, nil
	}
	step, err = strconv.ParseInt(text, 10, 64)
	if err != nil || step < 0 {
		return 0, true, fmt.Errorf("run: %q names no step; want step:500, for example", which)
	}
	return step, true, nil
}

// openStep reads the checkpoint of a step, and compares it with the journal where
// the journal lists it.
func openStep(ctx context.Context, st *store.Store, step int64) (*checkpoint.Checkpoint, error) {
	j, err := readJournal(ctx, st)
	if err != nil {
		return nil, err
	}
	if p, ok := j.find(step); ok {
		c, err := checkpoint.Load(ctx, st, p)
		return c, remedy(err)
	}
	c, err := checkpoint.Read(ctx, st, checkpoint.Path(step))
	if errors.Is(err, store.ErrNotExist) && len(j.Checkpoints) > 0 {
		var steps []string
		for _, p := range j.Checkpoints {
			steps = append(steps, strconv.FormatInt(p.Step, 10))
		}
		err = fmt.Errorf("%w; the run has those of steps %s", err, strings.Join(steps, ", "))
	}
	return c, remedy(err)
}

// remedy adds to the error of a damaged checkpoint what store.ReadSealed says of
// other files.
func remedy(err error) error {
	if err != nil && checkpoint.Damaged(err) && !errors.Is(err, store.ErrNotExist) {
		return fmt.Errorf("%w; put back an intact copy", err)
	}
	return err
}

// IsFile reports whether Open reads a path as a checkpoint's file, not as the directory of
// a run.
func IsFile(path string) bool {
	isFile := strings.HasSuffix(path, checkpoint.Suffix)
	if !store.IsURL(path) {
		info, err := os.Stat(path)
		isFile = err == nil && info.Mode().IsRegular() || err != nil && isFile
	}
	return isFile
}

// fileOf splits the path of a checkpoint's file; name is empty for a directory.
func fileOf(path string) (dir, name string) {
	if !IsFile(path) {
		return path, ""
	}
	return store.Split(path)
}

// A Newest is the checkpoint that a training goes on from.
type Newest struct {
	*checkpoint.Checkpoint // nil where the run has none yet
	Pointer                checkpoint.Pointer
	Damaged                []error // errors of the newer checkpoints, which are passed over; the newest first

	kept journal // up to this checkpoint
}

// NewestIntact reads the newest intact checkpoint of the run that a training can go on
// from. Where the file of best.json is gone, that is one before it: the training makes
// it again. A run all of whose checkpoints are gone has none. One with a damaged
// checkpoint and no intact one is an error. A checkpoint that cannot be read is an error
// too: it is not taken for damaged. Nothing is written.
func (d *Dir) NewestIntact(ctx context.Context) (*Newest, error) {
	var j journal
	err := d.lease.Value(&j)
	if j, err = checked(d.st, j, err); err != nil {
		return nil, err
	}
	d.journal = j
	all, err := d.list(ctx)
	if err != nil {
		return nil, err
	}
	n := &Newest{kept: all}
	gone := 0
	for i := len(all.Checkpoints) - 1; i >= 0; i-- {
		p := all.Checkpoints[i]
		c, err := loadTwice(ctx, d.st, p)
		if err == nil {
			n.Checkpoint, n.Pointer, n.kept = c, p, journal{Checkpoints: all.Checkpoints[:i+1]}
			return n, nil
		}
		if !checkpoint.Damaged(err) {
			return nil, err
		}
		if errors.Is(err, store.ErrNotExist) {
			gone++
		}
		n.Damaged = append(n.Damaged, err)
	}
	n.kept = journal{}
	switch {
	case gone == len(n.Damaged):
		return n, nil
	case len(n.Damaged) == 1:
		return nil, fmt.Errorf("%w; put back an intact copy", n.Damaged[0])
	}
	return nil, fmt.Errorf("%w; nor is one of the %d before it intact; put back an intact copy", n.Damaged[0], len(n.Damaged)-1)
}

// list reads the pointers, and returns the checkpoints that a training may go on from:
// those of the journal and the pointers, up to that of best.json where its file is gone.
func (d *Dir) list(ctx context.Context) (journal, error) {
	latest, best := pointer{which: Latest}, pointer{which: Best}
	for _, p := range []*pointer{&latest, &best} {
		if err := p.read(ctx, d.st); err != nil && !errors.Is(err, store.ErrNotExist) {
			return journal{}, err
		}
	}
	j := d.journal
	d.latest, d.best = latest, best
	for _, p := range []pointer{latest, best} { // the run may be older than journals, or have lost its own
		if _, ok := d.journal.find(p.Step); p.generation != "" && !ok && p.Step <= latest.Step {
			j = j.with(p.Pointer)
		}
	}
	if best.generation == "" {
		return j, nil
	}
	switch _, err := d.st.Stat(ctx, best.Name); {
	case errors.Is(err, store.ErrNotExist):
		upTo := slices.IndexFunc(j.Checkpoints, func(p checkpoint.Pointer) bool { return p.Step > best.Step })
		if upTo >= 0 {
			j = journal{Checkpoints: j.Checkpoints[:upTo]}
		}
		return j, nil
	default:
		return j, err
	}
}

// Resumable returns the step that a training of the run would go on from, without its
// lease; 0: from zero. It believes the files that are there.
func Resumable(ctx context.Context, st *store.Store) (step int64, err error) {
	d := &Dir{st: st}
	if d.journal, err = readJournal(ctx, st); err != nil {
		return 0, err
	}
	j, err := d.list(ctx)
	if err != nil {
		return 0, err
	}
	for i := len(j.Checkpoints) - 1; i >= 0; i-- {
		if _, err := st.Stat(ctx, j.Checkpoints[i].Name); err == nil {
			return j.Checkpoints[i].Step, nil
		} else if !errors.Is(err, store.ErrNotExist) {
			return 0, err
		}
	}
	return 0, nil
}

// loadTwice reads a checkpoint, and reads it again before it reports damage: a
// byte may have changed on its way here.
func loadTwice(ctx context.Context, st *store.Store, p checkpoint.Pointer) (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.Load(ctx, st, p)
	if err != nil && checkpoint.Damaged(err) {
		c, err = checkpoint.Load(ctx, st, p)
	}
	return c, err
}

// ResumeFrom lets the journal and the pointers name the checkpoint that
// NewestIntact has found. They do not where a newer one is damaged, or where a
// process was killed within Commit. This also takes the pointers from a process
// that has lost its lease and is about to move them.
func (d *Dir) ResumeFrom(ctx context.Context, n *Newest, keep Retention) error {
	if len(n.Damaged) > 0 {
		if err := d.record(ctx, n.kept); err != nil {
			return err
		}
	}
	d.journal = n.kept
	if err := d.latest.move(ctx, d.st, n.Pointer); err != nil {
		return err
	}
	best, ok := d.journal.lowest()
	switch {
	case d.best.generation != "" && d.best.Step > n.Pointer.Step && !ok:
		if err := d.st.Delete(ctx, d.best.file(), d.best.generation); err != nil {
			return err
		}
		d.best = pointer{which: Best}
	case ok && (d.best.Step > n.Pointer.Step || keep.KeepBest && d.best.worse(best)):
		return d.best.move(ctx, d.st, best)
	}
	return nil
}
