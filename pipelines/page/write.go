package page

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/quire-ml/quire/pipelines/look"
	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/pipelines/round"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Kinds of pages.
const (
	KindRound = "round"
	KindRun   = "run"
	KindSweep = "sweep"
	KindRuns  = "runs" // side by side
)

// Result is a page that was written.
type Result struct {
	Report string   `json:"report"` // path or URL of the page
	Kind   string   `json:"kind"`
	Of     []string `json:"of"` // paths or URLs of what it shows
	Bytes  int      `json:"bytes"`
}

// An UnknownError says that a name is of no round, run or sweep.
type UnknownError struct{ Name, Workdir string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("page: %q is no round, run or sweep of %s, and no path of one", e.Name, e.Workdir)
}

// A ManyError says that several runs and sweeps have keys that begin so.
type ManyError struct {
	Begin string
	Names []string // below the workdir
}

func (e *ManyError) Error() string {
	names := strings.Join(e.Names[:min(len(e.Names), 4)], ", ")
	if len(e.Names) > 4 {
		names += ", …"
	}
	return fmt.Sprintf("page: %q begins the keys of %d runs and sweeps, %s", e.Begin, len(e.Names), names)
}

// An OccupiedError says that a file is there which is no page of quire's.
type OccupiedError struct{ Path string }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("page: %s is there, and is no report of quire's: it is not replaced", e.Path)
}

// RoundName is the name of a round's page, below the workdir.
func RoundName(id string) string {
	return strings.TrimSuffix(workflow.RecordName(id), ".json") + ".html"
}

// Round writes the page of a round beside its record, unless it is there, and returns its
// path; empty: the round has no record. It fails by an error alone: a round that has ended
// well does not fail for its page.
func Round(ctx context.Context, workdir, id string) (at string, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("page: round %s: %v", id, p)
		}
	}()
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	name := RoundName(id)
	if _, err := st.Stat(ctx, name); !errors.Is(err, store.ErrNotExist) {
		return st.Join(name), err
	}
	if _, err := st.Stat(ctx, workflow.RecordName(id)); errors.Is(err, store.ErrNotExist) {
		return "", nil
	}
	d, err := roundDocument(ctx, workdir, st, id)
	if err != nil {
		return "", err
	}
	data, err := rendered(d)
	if err != nil {
		return "", err
	}
	return st.Join(name), st.Replace(ctx, name, data)
}

// rendered is the page of a document. (A test makes it fail.)
var rendered = (*document).render

// Write writes a page of what the names are of: rounds, runs and sweeps of a workdir, whose
// keys may be cut short, or paths of such. Without a name it is the newest round. More than one, and a sweep, are
// shown side by side. out is the path or URL of the page; empty: it lies beside what it
// shows, that of several in the current directory. The error is an *UnknownError, a
// *ManyError, an *OccupiedError, or that of a file.
func Write(ctx context.Context, workdir string, names []string, out string) (*Result, error) {
	w := &writer{workdir: workdir}
	st, err := store.Open(ctx, workdir)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if len(names) == 0 {
		names = []string{round.Newest}
	}
	var found []*target
	for _, name := range names {
		t, err := w.find(ctx, st, name)
		if err != nil {
			return nil, err
		}
		defer t.st.Close()
		found = append(found, t)
	}
	d, err := w.document(ctx, found)
	if err != nil {
		return nil, err
	}
	for _, err := range w.notes {
		d.tell(err)
	}
	data, err := rendered(d)
	if err != nil {
		return nil, err
	}
	res := &Result{Kind: KindRuns, Bytes: len(data)}
	if len(found) == 1 {
		res.Kind = found[0].kind
	}
	for _, t := range found {
		res.Of = append(res.Of, t.path())
	}
	if out == "" {
		out = report.PageName
		if len(found) == 1 {
			out = found[0].page()
		}
	}
	res.Report, err = put(ctx, out, data)
	return res, err
}

// generator is the name of this package's pages in their heads.
const generator = "quire report"

// put writes a page, in place of none or of another page.
func put(ctx context.Context, out string, data []byte) (string, error) {
	st, name, err := store.OpenAt(ctx, out)
	if err != nil {
		return "", err
	}
	defer st.Close()
	old, _, err := st.ReadUpTo(ctx, name, 64<<20)
	switch {
	case errors.Is(err, store.ErrNotExist):
	case err != nil:
		return "", err
	case look.Generator(old) != generator:
		return "", &OccupiedError{st.Join(name)}
	}
	return st.Join(name), st.Replace(ctx, name, data)
}

// writer makes the document of a page.
type writer struct {
	workdir string
	notes   []error // of files that cannot be read
}

func (w *writer) tell(err error) { w.notes = append(w.notes, err) }

// document describes what was found.
func (w *writer) document(ctx context.Context, found []*target) (*document, error) {
	if len(found) == 1 && found[0].kind == KindRound {
		return roundDocument(ctx, found[0].workdir, found[0].st, found[0].id)
	}
	var runs []*runFacts
	var keys []string
	for _, t := range found {
		list, varied, err := w.runs(ctx, t)
		if err != nil {
			return nil, err
		}
		runs, keys = append(runs, list...), varied
	}
	if len(found) == 1 && found[0].kind == KindRun {
		if err := runs[0].findBaselines(ctx, found[0].workdir, w.workdir); err != nil {
			return nil, err
		}
		return oneRun(runs[0]), nil
	}
	if len(found) > 1 {
		keys = nil // those of one sweep
		for _, r := range runs {
			r.Values = nil
			if err := r.readSet(ctx); err != nil {
				return nil, err
			}
		}
		name(runs)
	}
	d := sideBySide(runs, keys)
	if len(found) == 1 {
		d.Kicker = "sweep " + path.Base(strings.TrimRight(found[0].st.URL(), "/"))
	}
	return d, nil
}

// runs reads the trainings of a target.
func (w *writer) runs(ctx context.Context, t *target) (runs []*runFacts, keys []string, err error) {
	switch t.kind {
	case KindSweep:
		dir, err := store.Open(ctx, t.workdir)
		if err != nil {
			return nil, nil, err
		}
		defer dir.Close()
		return readSweep(ctx, t.st, dir, w.tell)
	case KindRound:
		record, err := workflow.ReadRecord(ctx, t.st, t.id)
		if err != nil {
			return nil, nil, err
		}
		d := &document{}
		r, err := d.roundRun(ctx, t.st, record)
		if err != nil || r == nil {
			return nil, nil, errors.Join(err, fmt.Errorf("page: round %s has no training to show", t.id))
		}
		r.Label = t.id
		r.loss()
		return []*runFacts{r}, nil, nil
	}
	r, err := readRun(ctx, t.st, w.tell)
	if err != nil {
		return nil, nil, err
	}
	r.loss()
	return []*runFacts{r}, nil, nil
}

// name gives runs names to tell them apart by: what the user called them, else those of
// their directories, else numbers.
func name(runs []*runFacts) {
	for _, of := range []func(r *runFacts) string{
		func(r *runFacts) string { return r.Label },
		func(r *runFacts) string { return r.Config["name"] },
		func(r *runFacts) string { return r.Name[:min(len(r.Name), 8)] },
	} {
		var seen []string
		for _, r := range runs {
			if s := plain(of(r)); s != "" && !slices.Contains(seen, s) {
				seen = append(seen, s)
			}
		}
		if len(seen) == len(runs) {
			for i, r := range runs {
				r.Label = seen[i]
			}
			return
		}
	}
	for i, r := range runs {
		r.Label = fmt.Sprintf("training %d", i+1)
	}
}
