package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/quire-ml/quire/runners/store"
)

// A ForeignError says that a folder holds files that are no export.
type ForeignError struct {
	Dir  string
	File string // one of them
	Own  bool   // it is of a set, a run or a workdir: no export goes there
}

func (e *ForeignError) Error() string {
	if e.Own {
		return fmt.Sprintf("export: %s holds %s: it is a set, a run or a workdir, and nothing there is changed", e.Dir, e.File)
	}
	return fmt.Sprintf("export: %s holds %s, which is no file of an export: nothing there is changed", e.Dir, e.File)
}

// An OtherError says that a folder holds a file of an export with other bytes: another
// model, or a card that was edited or tells of another round.
type OtherError struct {
	Dir, File string
	Err       error // wraps store.ErrConflict
}

func (e *OtherError) Error() string {
	return fmt.Sprintf("export: %s holds another %s: nothing there is replaced", e.Dir, e.File)
}

// Unwrap returns the cause.
func (e *OtherError) Unwrap() error { return e.Err }

// own are names that tell a set, a run and a workdir. Files of a set have a name of ours.
var own = []string{"manifest.json", ".prep.json", "run.json", "latest.json", "promoted.json", "rounds", "sets"}

// checkFolder returns a *ForeignError where a folder holds other files, and may not, or is
// one of quire's own.
func checkFolder(ctx context.Context, st *store.Store, others bool) error {
	names, err := list(ctx, st)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.Contains(own, name) {
			return &ForeignError{Dir: st.URL(), File: name, Own: true}
		}
	}
	for _, name := range names {
		ours := slices.Contains([]string{weightsName, vocabName, codeName, autoName, cardName, configName}, name)
		if !ours && !others && name[0] != '.' { // .git and .gitattributes are of every repository
			return &ForeignError{Dir: st.URL(), File: name}
		}
	}
	return nil
}

// list returns the names directly in a store.
func list(ctx context.Context, st *store.Store) (names []string, err error) {
	if dir, ok := st.Local(); ok {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("export: %w", err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names, nil
	}
	infos, err := st.List(ctx, "")
	for _, info := range infos {
		name, _, _ := strings.Cut(info.Name, "/")
		names = append(names, name)
	}
	return names, err
}
