package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

// Retention says which checkpoints stay beside the pinned ones. The newest
// checkpoint always stays, and so does that of best.json.
type Retention struct {
	KeepLast int  // newest checkpoints that stay; 0 is 1
	KeepBest bool // the lowest validation loss stays, and best.json follows it
}

// of returns the part of a journal that stays.
func (k Retention) of(j journal, best checkpoint.Pointer, pinned map[int64]bool) journal {
	kept := map[int64]bool{best.Step: best.Name != ""}
	for _, p := range j.Checkpoints[max(0, len(j.Checkpoints)-max(1, k.KeepLast)):] {
		kept[p.Step] = true
	}
	if p, ok := j.lowest(); ok && k.KeepBest {
		kept[p.Step] = true
	}
	gone := func(p checkpoint.Pointer) bool { return !kept[p.Step] && !pinned[p.Step] }
	return journal{Checkpoints: slices.DeleteFunc(slices.Clone(j.Checkpoints), gone)}
}

// PinsName is the file of a run in which a person lists the steps of checkpoints
// to keep, one a line. A # begins a comment.
const PinsName = "pins.txt"

// Pinned returns the steps that a person has pinned in the run in st.
func Pinned(ctx context.Context, st *store.Store) (map[int64]bool, error) { return pins(ctx, st) }

// pins reads the steps in PinsName.
func pins(ctx context.Context, st *store.Store) (map[int64]bool, error) {
	text, _, err := st.Read(ctx, PinsName)
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	steps := map[int64]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		step, err := strconv.ParseInt(line, 10, 64)
		if err != nil || step < 0 {
			return nil, fmt.Errorf("run: %s: line %d: %q is not the step of a checkpoint, for example 500", st.Join(PinsName), i+1, line)
		}
		steps[step] = true
	}
	return steps, nil
}
