package sweep

import (
	"context"
	"errors"

	"github.com/quire-ml/quire/runners/store"
)

// divergenceName is the note in the directory of a run that diverged. The training
// would diverge again, at the same step.
const divergenceName = "diverged.json"

// divergence is the note's content.
type divergence struct {
	Step   int64  `json:"step"`
	Reason string `json:"reason"`
}

// writeDivergence writes the note of a run, a directory below st.
func writeDivergence(ctx context.Context, st *store.Store, run string, d divergence) error {
	data, err := store.MarshalSealed(d)
	if err != nil {
		return err
	}
	_, err = st.Put(ctx, run+"/"+divergenceName, data)
	return err
}

// readDivergence reads the note of a run, a directory below st; nil without a note.
func readDivergence(ctx context.Context, st *store.Store, run string) (*divergence, error) {
	d := new(divergence)
	_, err := st.ReadSealed(ctx, run+"/"+divergenceName, d, store.Sealed{Else: "delete it: the trial is then trained again"})
	if errors.Is(err, store.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}
