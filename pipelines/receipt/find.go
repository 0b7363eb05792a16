package receipt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
)

// A MissingError says that no checkpoint with a sha256 was found.
type MissingError struct {
	SHA256 string
	Looked []string // files, runs and workdirs
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("receipt: the model with sha256 %s is not there: looked at %s", e.SHA256, strings.Join(e.Looked, ", "))
}

// Find reads the model whose file has a sha256. Each place is a file, the directory of a
// run, or a workdir: there, Find looks at the models that are or were in service, and at
// the checkpoints that its runs keep. The error is a *MissingError where there is none. A
// journal that is damaged is told to damaged, and the rest is looked at.
func Find(ctx context.Context, sha256 string, places []string, damaged func(error)) (*text.Model, error) {
	for _, place := range places {
		found, err := locate(ctx, sha256, place, damaged)
		if err != nil {
			return nil, err
		}
		for _, at := range found {
			m, err := text.OpenModel(ctx, at, run.Best)
			switch {
			case err == nil && m.SHA256 == sha256:
				return m, nil
			case err != nil && (ctx.Err() != nil || len(places) == 1 && len(found) == 1):
				return nil, err
			case err != nil:
				damaged(err)
			}
		}
	}
	return nil, &MissingError{SHA256: sha256, Looked: places}
}

// locate returns the paths of checkpoints that should have the sha256.
func locate(ctx context.Context, sha256, place string, damaged func(error)) (found []string, err error) {
	if run.IsFile(place) {
		return []string{place}, nil
	}
	st, err := store.Open(ctx, place)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if _, err := st.Stat(ctx, promotion.Copy(sha256)); err == nil {
		found = append(found, st.Join(promotion.Copy(sha256)))
	} else if !errors.Is(err, store.ErrNotExist) {
		return nil, err
	}
	runs, err := runsBelow(ctx, st)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		saved, err := run.Checkpoints(ctx, r)
		switch {
		case errors.Is(err, store.ErrNotExist):
		case errors.Is(err, store.ErrDamaged):
			damaged(err)
		case err != nil:
			return nil, err
		}
		for _, p := range saved {
			if p.SHA256 == sha256 {
				found = append(found, r.Join(p.Name))
			}
		}
	}
	return found, nil
}

// runsBelow returns the directories that may be runs: the store's own, and those below its
// folder runs.
func runsBelow(ctx context.Context, st *store.Store) ([]*store.Store, error) {
	list, err := st.List(ctx, "runs/")
	if err != nil {
		return nil, err
	}
	runs := []*store.Store{st}
	for _, o := range list {
		if dir, file := path.Split(o.Name); file == run.JournalName {
			sub, err := st.Sub(strings.TrimSuffix(dir, "/"))
			if err != nil {
				return nil, err
			}
			runs = append(runs, sub)
		}
	}
	return runs, nil
}
