package workflow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/quire-ml/quire/runners/store"
)

const outcomeFormat = "quire-outcome/1"

// outcome is a stage's product for one key, with the cost of making it.
type outcome struct {
	Format  string                     `json:"format"`
	Stage   string                     `json:"stage"`
	Key     string                     `json:"key"`
	Version int                        `json:"version"`
	Config  map[string]json.RawMessage `json:"config"`
	Inputs  map[string]string          `json:"inputs"` // digests by name
	Product product                    `json:"output"`
	Seconds float64                    `json:"seconds"`
	Cost    Cost                       `json:"cost"`
}

// OutcomeName is the name, below the store, of the outcome of a stage for a key.
func OutcomeName(stage, key string) string { return "stages/" + stage + "/" + key + ".json" }

// readOutcome returns the outcome of a key and its generation; nil: there is
// none.
func readOutcome(ctx context.Context, st *store.Store, stage, key string) (*outcome, string, error) {
	o := &outcome{}
	generation, err := st.ReadSealed(ctx, OutcomeName(stage, key), o, store.Sealed{Format: outcomeFormat, Check: func() error {
		if o.Stage != stage || o.Key != key {
			return fmt.Errorf("outcome of stage %s with key %s, want that of %s with key %s", o.Stage, o.Key, stage, key)
		}
		if !o.Product.made() {
			return fmt.Errorf("outcome of stage %s with key %s: the product has no value", o.Stage, o.Key)
		}
		return nil
	}, Else: "delete it: stage " + stage + " then runs again"})
	switch {
	case errors.Is(err, store.ErrNotExist):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	return o, generation, nil
}

// write stores an outcome in place of that of a generation, and returns the
// outcome that is stored. Where another process was quicker, that is the other's
// if its product is the same; else the error wraps store.ErrConflict.
func (o *outcome) write(ctx context.Context, st *store.Store, generation string) (*outcome, error) {
	data, err := store.MarshalSealed(o)
	if err != nil {
		return nil, fmt.Errorf("workflow: outcome of %s: %w", o.Stage, err)
	}
	_, err = st.Swap(ctx, OutcomeName(o.Stage, o.Key), data, generation)
	if !errors.Is(err, store.ErrConflict) {
		return o, err
	}
	other, _, rerr := readOutcome(ctx, st, o.Stage, o.Key)
	switch {
	case rerr != nil:
		return nil, rerr
	case other == nil: // the other makes the artifact again, and writes the outcome then
		return o, nil
	case !other.Product.equal(&o.Product):
		return nil, fmt.Errorf("workflow: stage %s: another process has changed its outcome meanwhile: %w", o.Stage, err)
	}
	return other, nil
}

// made reports whether a product has a value: a stage makes one.
func (p *product) made() bool { return len(p.Value) > 0 && string(p.Value) != "null" }

// equal reports whether two products have the same content: digest and files.
// Their values may differ, in times and speeds.
func (p *product) equal(other *product) bool {
	return p.Name == other.Name && p.Digest == other.Digest && slices.EqualFunc(p.Files, other.Files, func(a, b File) bool {
		return a.Name == b.Name && a.Bytes == b.Bytes && a.SHA256 == b.SHA256
	})
}

// missingError says that a file of a product is missing: nothing is damaged, and the
// stage makes the file again.
type missingError struct{ path string }

func (e *missingError) Error() string { return e.path + " is missing" }

// verify compares the files of a product with its record of them: sizes and
// generations, and the bytes of a file with another generation, or of all. It
// adopts the new generation of an intact file. The error is a *DamageError, a
// *missingError where no file is damaged, or one of reading.
func (p *product) verify(ctx context.Context, st *store.Store, all bool) (regenerated bool, err error) {
	var missing error
	for i := range p.Files {
		f := &p.Files[i]
		info, err := st.Stat(ctx, f.Name)
		switch {
		case errors.Is(err, store.ErrNotExist):
			missing = cmp.Or(missing, error(&missingError{st.Join(f.Name)}))
			continue
		case err != nil:
			return regenerated, err
		case info.Bytes != f.Bytes:
			return regenerated, &DamageError{Path: st.Join(f.Name), Reason: fmt.Sprintf("it has %d bytes, not %d", info.Bytes, f.Bytes)}
		case info.Generation == f.Generation && !all:
			continue
		}
		sum, err := digestOf(ctx, st, f.Name)
		if err != nil {
			return regenerated, err
		}
		if sum != f.SHA256 {
			return regenerated, &DamageError{Path: st.Join(f.Name), Reason: fmt.Sprintf("its sha256 is %s, not %s", sum, f.SHA256)}
		}
		regenerated = regenerated || f.Generation != info.Generation
		f.Generation = info.Generation
	}
	return regenerated, missing
}

// DamageError says that a file of an artifact differs from the one that its stage
// has made.
type DamageError struct {
	Stage  string // that made the file; forced, it makes the file again
	Path   string
	Reason string
}

func (e *DamageError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Reason) }

// digestOf returns the sha256 (hex) of an object.
func digestOf(ctx context.Context, st *store.Store, name string) (string, error) {
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return "", err
	}
	defer o.Close()
	sum, buf := sha256.New(), make([]byte, min(4<<20, o.Size()+1))
	for at := int64(0); at < o.Size(); {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := o.ReadAt(buf[:min(int64(len(buf)), o.Size()-at)], at)
		sum.Write(buf[:n])
		at += int64(n)
		if err != nil && err != io.EOF {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
