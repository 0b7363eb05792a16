package watch

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// runsFolder has the runs of rounds and sweeps, each named for its key, below the workdir.
const runsFolder = "runs/"

// runKey is what the key of a run looks like, or the beginning of one.
var runKey = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// A FindError says that there is no such run.
type FindError struct {
	Name string // as asked for; empty: the newest
	Why  string
}

func (e *FindError) Error() string {
	if e.Name == "" {
		return "watch: " + e.Why
	}
	return fmt.Sprintf("watch: %q: %s", e.Name, e.Why)
}

// Find returns the path or URL of a run: name is its folder or URL, its key or the beginning
// of one, or the id of a round of the workdir; empty is the run that was written last, of
// those of the workdir and the one at out. The error is a *FindError where there is none.
func Find(ctx context.Context, workdir, out, name string) (string, error) {
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	switch {
	case name == "":
		return newest(ctx, st, workdir, out)
	case store.IsURL(name) || strings.ContainsRune(name, filepath.Separator):
		return name, nil
	}
	if runKey.MatchString(name) {
		found, err := byKey(ctx, st, workdir, name)
		if found != "" || err != nil {
			return found, err
		}
	}
	found, err := ofRound(ctx, st, workdir, name)
	if !errors.Is(err, store.ErrNotExist) {
		return found, err
	}
	if there, err := isRun(ctx, name); there || err != nil {
		return name, err
	}
	return "", &FindError{name, "no run, key of a run or round of " + workdir + " is called so"}
}

// isRun reports whether a folder is a run's.
func isRun(ctx context.Context, dir string) (bool, error) {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return false, err
	}
	defer st.Close()
	return run.IsRun(ctx, st)
}

// byKey returns the run whose key begins so; empty: there is none.
func byKey(ctx context.Context, st *store.Store, workdir, key string) (string, error) {
	list, err := st.List(ctx, runsFolder+key)
	if err != nil {
		return "", err
	}
	var keys []string
	for _, info := range list {
		if k, ok := keyOf(info.Name); ok && (len(keys) == 0 || keys[len(keys)-1] != k) {
			keys = append(keys, k)
		}
	}
	switch len(keys) {
	case 0:
		return "", nil
	case 1:
		return store.Locate(workdir, runsFolder+keys[0]), nil
	}
	return "", &FindError{key, fmt.Sprintf("%d runs have keys that begin so: %s", len(keys), strings.Join(keys, ", "))}
}

// keyOf returns the key of the run that a run.json below the workdir belongs to.
func keyOf(name string) (key string, ok bool) {
	dir, file := path.Split(name)
	key, ok = strings.CutPrefix(strings.TrimSuffix(dir, "/"), runsFolder)
	return key, ok && file == run.JournalName && key != "" && !strings.Contains(key, "/")
}

// ofRound returns the run of a round.
func ofRound(ctx context.Context, st *store.Store, workdir, id string) (string, error) {
	r, err := workflow.ReadRecord(ctx, st, id)
	if err != nil {
		return "", err
	}
	model, s, err := workflow.Artifact[struct{ Run store.Path }]("model").Recorded(r)
	if err == nil && s == nil {
		err = &FindError{id, "this round has no model: it ended before (" + r.Exit + ")"}
	}
	return model.Run.In(workdir), err
}

// newest returns the run of which run.json was written last: that of a training that lives
// is written four times a minute.
func newest(ctx context.Context, st *store.Store, workdir, out string) (string, error) {
	all, err := Runs(ctx, st)
	if err != nil {
		return "", err
	}
	found, at := "", time.Time{}
	if len(all) > 0 {
		found, at = store.Locate(workdir, runsFolder+all[0].Key), all[0].Changed
	}
	own, err := store.Open(ctx, store.Locate(workdir, out))
	if err != nil {
		return "", err
	}
	defer own.Close()
	info, err := own.Stat(ctx, run.JournalName)
	switch {
	case errors.Is(err, store.ErrNotExist):
	case err != nil:
		return "", err
	case info.Changed.After(at):
		found = own.URL()
	}
	if found == "" {
		return "", &FindError{"", workdir + " has no runs yet"}
	}
	return found, nil
}

// A Run is a run of rounds or sweeps.
type Run struct {
	Key     string
	Changed time.Time // its run.json was written last
}

// Runs lists the runs of rounds and sweeps in a workdir, the newest first.
func Runs(ctx context.Context, st *store.Store) ([]Run, error) {
	list, err := st.List(ctx, runsFolder)
	if err != nil {
		return nil, err
	}
	var all []Run
	for _, info := range list {
		if key, ok := keyOf(info.Name); ok {
			all = append(all, Run{key, info.Changed})
		}
	}
	slices.SortStableFunc(all, func(a, b Run) int { return b.Changed.Compare(a.Changed) })
	return all, nil
}
