package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/quire-ml/quire/runners/store"
)

const outcomeFormat = "quire-outcome/1"

// outcome is what a stage made of its inputs, and how it did.
type outcome struct {
	Format  string                     `json:"format"`
	Stage   string                     `json:"stage"`
	Key     string                     `json:"key"`
	Version int                        `json:"version"`
	Config  map[string]json.RawMessage `json:"config"`
	Inputs  map[string]string          `json:"inputs"` // digests by name
	Output  product                    `json:"output"`
	Seconds float64                    `json:"seconds"`
	Cost    Cost                       `json:"cost"`
}

// OutcomeName is where the outcome of a stage with that key lies, below the store.
func OutcomeName(stage, key string) string { return "stages/" + stage + "/" + key + ".json" }

// readOutcome returns the outcome of a key and its generation, nil where there
// is none.
func readOutcome(ctx context.Context, st *store.Store, stage, key string) (*outcome, string, error) {
	name := OutcomeName(stage, key)
	o := &outcome{}
	generation, err := readSealed(ctx, st, name, o)
	if errors.Is(err, store.ErrNotExist) {
		return nil, "", nil
	}
	if err == nil && (o.Format != outcomeFormat || o.Stage != stage || o.Key != key) {
		err = fmt.Errorf("workflow: %s: it is the outcome of %s with key %s, format %q; want that of %s with key %s, %q",
			st.Join(name), o.Stage, o.Key, o.Format, stage, key, outcomeFormat)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w; put back an intact copy, or delete it: stage %s then runs again", err, stage)
	}
	return o, generation, nil
}

// write stores an outcome in place of the one of that generation.
func (o *outcome) write(ctx context.Context, st *store.Store, generation string) error {
	data, err := store.MarshalSealed(o)
	if err != nil {
		return fmt.Errorf("workflow: outcome of %s: %w", o.Stage, err)
	}
	_, err = st.Swap(ctx, OutcomeName(o.Stage, o.Key), data, generation)
	return err
}

// readSealed decodes a sealed object.
func readSealed(ctx context.Context, st *store.Store, name string, v any) (generation string, err error) {
	data, info, err := st.Read(ctx, name)
	if err != nil {
		return "", err
	}
	return info.Generation, store.UnmarshalSealed(st.Join(name), data, v)
}

// absence is the reason of a stage whose artifact is not there.
type absence struct{ reason string }

func (a *absence) Error() string { return a.reason }

// verify compares the files of an artifact with what they were: their sizes and
// generations, and their bytes where the generation is another, or all are to
// be read. It notes the new generation of a file that is the same. The error is
// an *absence, a *DamageError, or one of reading.
func (p *product) verify(ctx context.Context, st *store.Store, all bool) (noted bool, err error) {
	for i := range p.Files {
		f := &p.Files[i]
		info, err := st.Stat(ctx, f.Name)
		switch {
		case errors.Is(err, store.ErrNotExist) && i == 0:
			return noted, &absence{st.Join(f.Name) + " is missing"}
		case errors.Is(err, store.ErrNotExist):
			return noted, &DamageError{Path: st.Join(f.Name), Reason: "it is missing"}
		case err != nil:
			return noted, err
		case info.Bytes != f.Bytes:
			return noted, &DamageError{Path: st.Join(f.Name), Reason: fmt.Sprintf("it has %d bytes, not %d", info.Bytes, f.Bytes)}
		case info.Generation == f.Generation && !all:
			continue
		}
		sum, err := digestOf(ctx, st, f.Name)
		if err != nil {
			return noted, err
		}
		if sum != f.SHA256 {
			return noted, &DamageError{Path: st.Join(f.Name), Reason: fmt.Sprintf("its sha256 is %s, not %s", sum, f.SHA256)}
		}
		noted = noted || f.Generation != info.Generation
		f.Generation = info.Generation
	}
	return noted, nil
}

// DamageError says that a file of an artifact is not what its stage has made.
type DamageError struct {
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
