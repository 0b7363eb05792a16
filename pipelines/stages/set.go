package stages

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/charset"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/prepare"
)

// An OtherSetError names a finished set that came from other inputs.
type OtherSetError struct {
	Set         string   // its directory
	Differences []string // each with the input, its value in the set, and its value now
}

func (e *OtherSetError) Error() string {
	return fmt.Sprintf("stages: %s holds a set from other inputs (%s)", e.Set, strings.Join(e.Differences, "; "))
}

// A ForeignError says that a directory holds files that neither Prep nor Train has made.
type ForeignError struct {
	Dir  string
	File string // one of them
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("stages: %s holds %s, and no sign that quire has made it: nothing there is changed", e.Dir, e.File)
}

// A mark is the sets of which files may be in a directory: the number of shards of each
// split. A file that no mark covers is not deleted.
type mark struct {
	Sets []map[string]int `json:"sets"`
}

// anySet is the mark of a directory by programs that wrote none.
var anySet = mark{Sets: []map[string]int{nil}}

// has reports whether a name is one of a file of these sets.
func (m mark) has(name string) bool {
	return slices.ContainsFunc(m.Sets, func(shards map[string]int) bool {
		split, rest, _ := strings.Cut(name, "-")
		return shards == nil || name == dataset.VocabName || strings.HasSuffix(rest, fmt.Sprintf("-of-%05d.tfrecord", shards[split]))
	})
}

// noFile is for a prepare.Clean that deletes temporary files alone.
func noFile(string) bool { return false }

// A holding is what the directory of a set holds before prep.
type holding struct {
	exists  bool   // there is a manifest
	missing string // a file that the manifest names and that is gone; empty: none
	made    mark   // the sets whose files prep has made
}

// finished reports whether the directory holds a whole set.
func (h holding) finished() bool { return h.exists && h.missing == "" }

// look reads what the directory holds. The error is nil where there is no set, or one of
// these inputs whose files are intact or gone. It is an *OtherSetError for a set of
// other inputs, a *ForeignError for files that are not of a set, and wraps
// dataset.ErrDamaged for a damaged set.
func look(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions) (h holding, err error) {
	marked, markErr := readMark(ctx, st, &h.made)
	m, data, err := dataset.ReadManifest(ctx, st)
	switch {
	case errors.Is(err, store.ErrNotExist) && markErr != nil:
		return h, markErr
	case errors.Is(err, store.ErrNotExist) && (marked || o.Owned):
		return h, nil
	case errors.Is(err, store.ErrNotExist):
		return h, empty(ctx, st)
	case err != nil && !errors.Is(err, dataset.ErrDamaged):
		return h, err
	case err != nil && !marked && !o.Owned && !bytes.Contains(data, []byte(`"format": "`+dataset.Format[:len(dataset.Format)-1])):
		return h, &ForeignError{st.URL(), dataset.ManifestName}
	}
	h.exists = true
	if err != nil {
		if !marked {
			h.made = anySet
		}
		return h, err
	}
	shards := map[string]int{}
	for _, s := range m.Splits {
		shards[s.Name] = len(s.Shards)
	}
	h.made.Sets = append(h.made.Sets, shards)
	if diffs := setDifferences(m, c, found); len(diffs) > 0 {
		return h, &OtherSetError{o.Out, diffs}
	}
	if h.missing, err = text.CheckSet(ctx, st, m, o.Replace); err == nil && o.Fresh {
		err = errors.New("asked to make it again")
	}
	return h, err
}

// replaceable reports whether Replace makes the set again that has this error. A set that
// cannot be read is not known to be damaged.
func replaceable(err error) bool {
	var other *OtherSetError
	return errors.As(err, &other) || errors.Is(err, dataset.ErrDamaged)
}

// readMark reads the mark of a directory; ok: there is one.
func readMark(ctx context.Context, st *store.Store, m *mark) (ok bool, err error) {
	_, err = store.ReadLeased(ctx, st, leaseName, m)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("stages: prep: %w", err)
	case m.Sets == nil:
		*m = anySet
	}
	return true, nil
}

// empty returns a *ForeignError where a directory holds files beside those of these
// names. Names that start with a dot are not looked at.
func empty(ctx context.Context, st *store.Store, but ...string) error {
	var names []string
	if dir, ok := st.Local(); ok {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stages: %w", err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	} else {
		infos, err := st.List(ctx, "")
		if err != nil {
			return err
		}
		for _, info := range infos {
			names = append(names, info.Name)
		}
	}
	for _, name := range names {
		if (name[0] != '.' || strings.HasPrefix(name, ".parts")) && !slices.Contains(append(but, "lost+found"), name) {
			return &ForeignError{st.URL(), name}
		}
	}
	return nil
}

// setDifferences compares the inputs of a finished set with the inputs of Prep.
func setDifferences(m *dataset.Manifest, c *configs.Config, found *text.Corpus) []string {
	old, now := *c, *c
	old.Prep = prepOf(m)
	old.Corpus.Encoding, old.Corpus.Newlines = cmp.Or(m.Encoding, charset.UTF8), cmp.Or(m.Newlines, charset.Keep)
	old.Corpus.Records = cmp.Or(m.Records, corpus.RecordFile)
	if c.Prep.Stride == c.Prep.SeqLength+1 {
		now.Prep.Stride = 0 // as in a manifest
	}
	now.Prep.Shards = prepareOptions(c, "").TrainShards(corpus.Bytes(found.Documents))
	var diffs []string
	add := func(input string, has, now any) {
		if has != now {
			diffs = append(diffs, fmt.Sprintf("%s: the set has %v, now %v", input, has, now))
		}
	}
	for _, d := range now.Differences(&old, configs.Data) {
		add(d.Key, d.Was, d.Is)
	}
	add("documents", len(m.Documents), len(found.Documents))
	for i := 0; i < min(len(m.Documents), len(found.Documents)); i++ {
		add("document "+found.Documents[i].Name, m.Documents[i].SHA256, found.Digests[i])
		add("document", m.Documents[i].Name, found.Documents[i].Name)
	}
	return diffs
}

// prepOf returns the section that a set was made with; Shards is the number that
// the set has. It needs a field for each key of the effect data: a key that is
// missing here makes every set differ.
func prepOf(m *dataset.Manifest) configs.Prep {
	p := configs.Prep{SeqLength: m.SeqLength, Stride: m.Stride, Unit: m.Unit, Normalize: m.Normalize, InvalidUTF8: m.InvalidUTF8,
		MinCount: m.MinCount, Pack: cmp.Or(m.Pack, corpus.PackNone),
		Validation: configs.Validation{Fraction: m.Validation.Fraction, By: m.Validation.By}, Seed: m.Seed, Shards: len(m.Splits[0].Shards)}
	if m.Test != nil {
		p.Test.Fraction = m.Test.Fraction
	}
	return p
}

// describeSet opens the set, which checks every size, and returns its figures.
func describeSet(ctx context.Context, out string, began time.Time) (*PrepResult, error) {
	set, done, err := text.OpenSet(ctx, out)
	if err != nil {
		return nil, err
	}
	defer done()
	m := set.Manifest()
	res := &PrepResult{Set: store.Path(out), ManifestSHA256: set.SHA256(), Chars: m.Chars, Vocab: set.Vocab().Size(),
		DroppedChars: m.DroppedChars, UnigramNats: m.Entropy.UnigramNats, BigramNats: m.Entropy.BigramNats,
		TrigramNats: m.Entropy.TrigramNats, Seconds: time.Since(began).Seconds()}
	res.documents, res.byTail = len(m.Documents), m.Validation.By == "tail"
	for _, d := range m.Documents {
		res.Records += d.Records
	}
	n := &res.Sequences
	for name, n := range map[string]*int64{"train": &n.Train, "validation": &n.Validation, "test": &n.Test} {
		if s := set.Split(name); s != nil {
			*n = s.Len()
		}
	}
	return res, res.compare(ctx, set)
}

// comparedChars bounds the corpora whose parts prep compares passage by passage, in
// about a second. The gate compares those of every corpus.
const comparedChars = 16e6

// compare finds how the validation part is related to the training part.
func (r *PrepResult) compare(ctx context.Context, set *dataset.Set) (err error) {
	if r.Drift, err = set.Drift(ctx); err != nil || r.Drift == nil || r.Chars > comparedChars {
		return err
	}
	h, err := text.SketchHeld(ctx, set)
	if err != nil {
		return err
	}
	repeated := h.Repeated()
	r.Repeated = &repeated
	return nil
}

// reuseSet returns the figures of a finished set. It removes the temporary files of
// a job that was not waited for.
func reuseSet(ctx context.Context, st *store.Store, o PrepOptions, began time.Time) (*PrepResult, error) {
	if err := prepare.Clean(ctx, st, noFile); err != nil {
		return nil, err
	}
	res, err := describeSet(ctx, o.Out, began)
	if err == nil {
		res.Skipped = true
		warnOfSet(o.Console, res)
	}
	return res, err
}
