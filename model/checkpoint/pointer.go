package checkpoint

import (
	"context"
	"fmt"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

const pointerFormat = "quire-pointer/1"

// Pointer is what latest.json and best.json say: which checkpoint, and how to
// know that it is the one. Readers believe pointers, never a listing.
type Pointer struct {
	Format string   `json:"format"`
	Name   string   `json:"name"` // below the run's directory
	Bytes  int64    `json:"bytes"`
	SHA256 string   `json:"sha256"`
	Step   int64    `json:"step"`
	Loss   *float64 `json:"loss"` // validation loss in nats a character, null before it is known
}

// check compares what a pointer says with itself.
func (p Pointer) check() error {
	switch {
	case p.Format != pointerFormat:
		return fmt.Errorf("format is %q, want %q", p.Format, pointerFormat)
	case p.Step < 0:
		return fmt.Errorf("step is %d, want 0 or more", p.Step)
	case p.Name != Path(p.Step):
		return fmt.Errorf("name is %q, want %q for step %d", p.Name, Path(p.Step), p.Step)
	case p.Bytes < 1:
		return fmt.Errorf("bytes is %d, want 1 or more", p.Bytes)
	case len(p.SHA256) != hexBytes || strings.Trim(p.SHA256, "0123456789abcdef") != "":
		return fmt.Errorf("sha256 is %q, want %d hex digits", p.SHA256, hexBytes)
	}
	return nil
}

// file returns the file of the pointer which.
func file(which string) (string, error) {
	if which != "latest" && which != "best" {
		return "", fmt.Errorf("checkpoint: there is no pointer %q; want latest or best", which)
	}
	return which + ".json", nil
}

// ReadPointer reads the pointer which, "latest" or "best", and the generation
// to replace it by SwapPointer. The error wraps store.ErrNotExist when there is
// none yet.
func ReadPointer(ctx context.Context, st *store.Store, which string) (p Pointer, generation string, err error) {
	name, err := file(which)
	if err != nil {
		return Pointer{}, "", err
	}
	data, info, err := st.Read(ctx, name)
	if err != nil {
		return Pointer{}, "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := store.UnmarshalSealed(st.Join(name), data, &p); err != nil {
		return Pointer{}, "", fmt.Errorf("checkpoint: %w", err)
	}
	if err := p.check(); err != nil {
		return Pointer{}, "", fmt.Errorf("checkpoint: %s: %w", st.Join(name), err)
	}
	return p, info.Generation, nil
}

// SwapPointer replaces the pointer which, if it still has the generation that
// ReadPointer returned; "" means that there is none yet. Otherwise someone else
// has moved it, and the error wraps store.ErrConflict.
func SwapPointer(ctx context.Context, st *store.Store, which string, p Pointer, generation string) error {
	name, err := file(which)
	if err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return fmt.Errorf("checkpoint: %s: %w", st.Join(name), err)
	}
	data, err := store.MarshalSealed(p)
	if err != nil {
		return fmt.Errorf("checkpoint: %s: %w", st.Join(name), err)
	}
	if _, err := st.Swap(ctx, name, data, generation); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
