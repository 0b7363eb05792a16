package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

// Open reads a checkpoint for use, and returns the path or URL where it was
// found. path is a checkpoint's file, or the directory of a run, of which which
// picks "best", "latest" or "step:500"; or a gs:// URL of either. A run that has
// no best one (it had nothing to validate on) gives the latest.
func Open(ctx context.Context, path, which string) (c *Checkpoint, at string, err error) {
	dir, name := split(path)
	st, err := store.Open(ctx, dir)
	if err != nil {
		return nil, "", err
	}
	defer st.Close()
	if name != "" {
		c, _, err = load(ctx, st, name)
		return c, st.Join(name), err
	}
	if step, ok, err := ParseStep(which); ok {
		if err != nil {
			return nil, "", err
		}
		return openStep(ctx, st, step)
	}
	// While the run goes on, a checkpoint may be deleted once its pointer was read.
	for seen := ""; ; {
		p, err := choose(ctx, st, which)
		if err != nil {
			return nil, "", err
		}
		c, err = Load(ctx, st, p)
		if err == nil || p.Name == seen {
			return c, st.Join(p.Name), err
		}
		seen = p.Name
	}
}

// ParseStep reads "step:500"; ok says whether which is of that kind.
func ParseStep(which string) (step int64, ok bool, err error) {
	text, ok := strings.CutPrefix(which, "step:")
	if !ok {
		return 0, false, nil
	}
	step, err = strconv.ParseInt(text, 10, 64)
	if err != nil || step < 0 {
		return 0, true, fmt.Errorf("checkpoint: %q is no step; use step:500, for example", which)
	}
	return step, true, nil
}

// openStep reads the checkpoint of a step, against the journal where it is
// there.
func openStep(ctx context.Context, st *store.Store, step int64) (*Checkpoint, string, error) {
	at := st.Join(Path(step))
	j, err := ReadJournal(ctx, st)
	if err != nil {
		return nil, "", err
	}
	if p, ok := j.Find(step); ok {
		c, err := Load(ctx, st, p)
		return c, at, err
	}
	c, _, err := load(ctx, st, Path(step))
	if errors.Is(err, fs.ErrNotExist) && len(j.Checkpoints) > 0 {
		var steps []string
		for _, p := range j.Checkpoints {
			steps = append(steps, strconv.FormatInt(p.Step, 10))
		}
		err = fmt.Errorf("%w; the run has those of steps %s", err, strings.Join(steps, ", "))
	}
	return c, at, err
}

// choose reads the pointer which, or latest when there is no best.
func choose(ctx context.Context, st *store.Store, which string) (Pointer, error) {
	p, _, err := ReadPointer(ctx, st, which)
	if which == "best" && errors.Is(err, fs.ErrNotExist) {
		p, _, err = ReadPointer(ctx, st, "latest")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("checkpoint: there is no checkpoint at %s: it is neither a %s file nor the directory of a run: %w", st.URL(), suffix, err)
	}
	return p, err
}

// split splits the path of a file; name is empty for a directory.
func split(path string) (dir, name string) {
	if strings.Contains(path, "://") {
		if i := strings.LastIndexByte(path, '/'); strings.HasSuffix(path, suffix) {
			return path[:i], path[i+1:]
		}
		return path, ""
	}
	info, err := os.Stat(path)
	isFile := err == nil && info.Mode().IsRegular() || err != nil && strings.HasSuffix(path, suffix)
	if !isFile {
		return path, ""
	}
	return filepath.Dir(path), filepath.Base(path)
}
