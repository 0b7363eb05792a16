package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// checkSet reports whether the directory has a manifest. The error is nil where the
// set is of these inputs, and all but the bytes of shards is intact; with Replace,
// those too. It is an *OtherSetError for a set of other inputs.
func checkSet(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus, o PrepOptions) (exists bool, err error) {
	diffs, err := setDifferences(ctx, st, c, found)
	switch {
	case errors.Is(err, store.ErrNotExist):
		return false, nil
	case err != nil:
		return true, err
	case len(diffs) > 0:
		return true, &OtherSetError{o.Out, diffs}
	}
	set, done, err := text.OpenSet(ctx, o.Out)
	if err != nil {
		return true, err
	}
	defer done()
	if o.Replace {
		return true, set.Verify(ctx)
	}
	return true, nil
}

// setDifferences compares the inputs of the finished set in st with the inputs of
// Prep. The error wraps store.ErrNotExist where st has no set.
func setDifferences(ctx context.Context, st *store.Store, c *configs.Config, found *text.Corpus) ([]string, error) {
	m, _, err := dataset.ReadManifest(ctx, st)
	if err != nil {
		return nil, err
	}
	old, now := *c, *c
	old.Prep = prepOf(m)
	old.Corpus.Encoding, old.Corpus.Newlines = cmp.Or(m.Encoding, charset.UTF8), cmp.Or(m.Newlines, charset.Keep)
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
	return diffs, nil
}

// prepOf returns the section that a set was made with; Shards is the number that
// the set has. It needs a field for each key of the effect data: a key that is
// missing here makes every set differ.
func prepOf(m *dataset.Manifest) configs.Prep {
	p := configs.Prep{SeqLength: m.SeqLength, Stride: m.Stride, Unit: m.Unit, Normalize: m.Normalize, InvalidUTF8: m.InvalidUTF8,
		MinCount: m.MinCount, Validation: configs.Validation{Fraction: m.Validation.Fraction, By: m.Validation.By},
		Seed: m.Seed, Shards: len(m.Splits[0].Shards)}
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
	for name, n := range map[string]*int64{"train": &res.Sequences.Train, "validation": &res.Sequences.Validation, "test": &res.Sequences.Test} {
		if s := set.Split(name); s != nil {
			*n = s.Len()
		}
	}
	return res, nil
}

// reuseSet returns the figures of a finished set. It removes the temporary files of
// a job that was not waited for.
func reuseSet(ctx context.Context, st *store.Store, out string, began time.Time) (*PrepResult, error) {
	if err := prepare.Clean(ctx, st); err != nil {
		return nil, err
	}
	res, err := describeSet(ctx, out, began)
	if err == nil {
		res.Skipped = true
	}
	return res, err
}
