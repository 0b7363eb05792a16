package page

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// A target is something that a page shows.
type target struct {
	kind    string
	id      string       // of a round
	workdir string       // in which it lies
	st      *store.Store // its folder; of a round, the workdir
}

// path is where it lies.
func (t *target) path() string {
	if t.kind == KindRound {
		return t.st.Join(workflow.RecordName(t.id))
	}
	return t.st.URL()
}

// page is where its page lies.
func (t *target) page() string {
	if t.kind == KindRound {
		return t.st.Join(RoundName(t.id))
	}
	return t.st.Join(report.PageName)
}

// find returns what a name is of: a round, run or sweep of the workdir, or the path of one.
func (w *writer) find(ctx context.Context, st *store.Store, name string) (*target, error) {
	if name == round.Newest {
		return w.newest(ctx, st, w.workdir)
	}
	if !strings.ContainsAny(name, `/\`) {
		switch _, err := st.Stat(ctx, workflow.RecordName(name)); {
		case err == nil:
			return w.open(ctx, &target{kind: KindRound, id: name, workdir: w.workdir}, w.workdir)
		case !errors.Is(err, store.ErrNotExist):
			return nil, err
		}
	}
	paths := []string{name}
	if !strings.ContainsAny(name, `/\`) && name != "" {
		keys, err := keysOf(ctx, st, name)
		if err != nil {
			return nil, err
		}
		if len(keys) == 1 {
			paths = []string{store.Locate(w.workdir, keys[0])}
		}
		if len(keys) > 1 {
			return nil, &ManyError{name, keys}
		}
	}
	if at := store.Locate(w.workdir, name); at != name {
		paths = append(paths, at)
	}
	for _, at := range paths {
		t, err := w.at(ctx, at)
		if t != nil || err != nil {
			return t, err
		}
	}
	return nil, &UnknownError{name, w.workdir}
}

// keysOf returns the runs and sweeps of a workdir whose keys begin so, or the one of that key.
func keysOf(ctx context.Context, st *store.Store, begin string) (keys []string, err error) {
	for _, folder := range []string{"runs/", "sweeps/"} {
		list, err := st.List(ctx, folder+begin)
		if err != nil {
			return nil, err
		}
		for _, info := range list {
			key, _, below := strings.Cut(strings.TrimPrefix(info.Name, folder), "/")
			if below && key == begin {
				return []string{folder + key}, nil
			}
			if below && !slices.Contains(keys, folder+key) {
				keys = append(keys, folder+key)
			}
		}
	}
	return keys, nil
}

// open opens the folder of a target.
func (w *writer) open(ctx context.Context, t *target, at string) (*target, error) {
	var err error
	t.st, err = store.Open(ctx, at)
	return t, err
}

// newest is the newest round of a workdir.
func (w *writer) newest(ctx context.Context, st *store.Store, workdir string) (*target, error) {
	r, err := workflow.Latest(ctx, st, w.tell)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, &UnknownError{round.Newest, workdir}
	}
	return w.open(ctx, &target{kind: KindRound, id: r.Round, workdir: workdir}, workdir)
}

// at returns what lies at a path; nil: nothing that a page shows.
func (w *writer) at(ctx context.Context, at string) (*target, error) {
	if dir, file := store.Split(strings.TrimRight(at, "/")); strings.HasSuffix(file, ".json") {
		workdir, rounds := store.Split(strings.TrimRight(dir, "/"))
		if rounds != "rounds" {
			return nil, nil
		}
		t, err := w.open(ctx, &target{kind: KindRound, id: strings.TrimSuffix(file, ".json"), workdir: workdir}, workdir)
		if err != nil {
			return nil, err
		}
		if _, err = t.st.Stat(ctx, workflow.RecordName(t.id)); err == nil {
			return t, nil
		}
		if errors.Is(err, store.ErrNotExist) {
			err = nil
		}
		return nil, errors.Join(err, t.st.Close())
	}
	t, err := w.open(ctx, &target{workdir: w.workdir}, at)
	if err != nil {
		return nil, err
	}
	if err := w.look(ctx, t, at); err != nil || t.kind == "" {
		return nil, errors.Join(err, t.st.Close())
	}
	if t.kind == KindRound { // the path of a workdir
		defer t.st.Close()
		return w.newest(ctx, t.st, at)
	}
	return t, nil
}

// look sets the kind of what lies in a folder, and the workdir that the folder is in.
func (w *writer) look(ctx context.Context, t *target, at string) error {
	parent, _ := store.Split(strings.TrimRight(at, "/"))
	if dir, folder := store.Split(strings.TrimRight(parent, "/")); folder == "runs" || folder == "sweeps" {
		t.workdir = dir
	}
	for _, k := range []struct{ name, kind string }{
		{sweepTable, KindSweep}, {report.MetricsName, KindRun}, {run.DivergedName, KindRun}, {"rounds/latest.json", KindRound},
	} {
		switch _, err := t.st.Stat(ctx, k.name); {
		case err == nil:
			t.kind = k.kind
			return nil
		case !errors.Is(err, store.ErrNotExist):
			return err
		}
	}
	ours, err := run.IsRun(ctx, t.st)
	if ours {
		t.kind = KindRun
	}
	return err
}
