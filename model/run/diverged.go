package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// DivergedName is the note in the directory of a run that diverged.
const DivergedName = "diverged.json"

// A Divergence is the note that a training diverged. It would diverge again, at the same
// step.
type Divergence struct {
	Step   int64  `json:"step"`
	Reason string `json:"reason"`
}

// WriteDivergence writes the note of a run.
func WriteDivergence(ctx context.Context, st *store.Store, d Divergence) error {
	data, err := store.MarshalSealed(d)
	if err == nil {
		_, err = st.Put(ctx, DivergedName, data)
	}
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// ReadDivergence reads the note of a run; nil without a note.
func ReadDivergence(ctx context.Context, st *store.Store) (*Divergence, error) {
	d := new(Divergence)
	_, err := st.ReadSealed(ctx, DivergedName, d, store.Sealed{Else: "delete it: the trial is then trained again"})
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	return d, nil
}
