package stages

import (
	"context"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
)

// promotedName is the pointer to the model in service, below the workdir.
const promotedName = "promoted.json"

const promotedFormat = "quire-promoted/1"

// Promoted is what promoted.json says.
type Promoted struct {
	Format     string  `json:"format"`
	Checkpoint string  `json:"checkpoint"` // name below the workdir
	Round      string  `json:"round"`      // the round that promoted it
	Nats       float64 `json:"nats"`       // the loss that passed the gate
}

// readPromoted reads promoted.json; the error wraps store.ErrNotExist when no
// model was promoted.
func readPromoted(ctx context.Context, st *store.Store) (*Promoted, string, error) {
	data, info, err := st.Read(ctx, promotedName)
	if err != nil {
		return nil, "", err
	}
	p := &Promoted{}
	err = store.UnmarshalSealed(st.Join(promotedName), data, p)
	if err == nil && p.Format != promotedFormat {
		err = fmt.Errorf("stages: %s: format %q, want %q", st.Join(promotedName), p.Format, promotedFormat)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w; put back an intact copy, or delete it and run a round", err)
	}
	return p, info.Generation, nil
}

func writePromoted(ctx context.Context, st *store.Store, p *Promoted, generation string) error {
	data, err := store.MarshalSealed(p)
	if err != nil {
		return err
	}
	_, err = st.Swap(ctx, promotedName, data, generation)
	return err
}

// PromotedPath returns the path of the promoted checkpoint of a workdir; the
// error wraps store.ErrNotExist when there is none.
func PromotedPath(ctx context.Context, workdir string) (string, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	p, _, err := readPromoted(ctx, st)
	if err != nil {
		return "", err
	}
	return Locate(workdir, p.Checkpoint), nil
}
