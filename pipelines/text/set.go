package text

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
)

// ErrNoSet is wrapped by the error about a directory that has no manifest.
var ErrNoSet = errors.New("there is no set")

// shardCacheBytes bounds the shards of remote sets that are kept on this machine.
const shardCacheBytes = 20e9

// OpenSet opens the set at a path. The error wraps ErrNoSet where the directory
// has no manifest, and dataset.ErrDamaged where its files are not as the manifest
// states. The caller calls done when the set is no longer read.
func OpenSet(ctx context.Context, path string) (set *dataset.Set, done func(), err error) {
	st, err := store.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if _, err := st.Stat(ctx, dataset.ManifestName); errors.Is(err, store.ErrNotExist) {
		st.Close()
		return nil, nil, fmt.Errorf("text: %w at %s", ErrNoSet, path)
	}
	if set, err = dataset.OpenCached(ctx, st, cacheFolder("shards"), shardCacheBytes); err != nil {
		st.Close()
		return nil, nil, err
	}
	return set, func() { set.Close(); st.Close() }, nil
}

// FindSet opens the set whose manifest has a sha256, hex. It looks in some
// directories, and in those below their folder sets, as rounds make them. set is nil
// where there is none that is intact. What may not be read is passed over.
func FindSet(ctx context.Context, digest string, dirs []string) (set *dataset.Set, done func(), err error) {
	for _, dir := range dirs {
		at, err := findManifest(ctx, digest, dir)
		if errors.Is(err, fs.ErrPermission) || err == nil && at == "" {
			continue
		}
		if err == nil {
			set, done, err = OpenSet(ctx, at)
		}
		if err == nil || !errors.Is(err, ErrNoSet) && !errors.Is(err, dataset.ErrDamaged) {
			return set, done, err
		}
	}
	return nil, nil, nil
}

// findManifest returns the directory, dir or one below its folder sets, whose manifest
// has a sha256; empty: none has.
func findManifest(ctx context.Context, digest, dir string) (at string, err error) {
	st, err := store.Open(ctx, dir)
	if err != nil {
		return "", err
	}
	defer st.Close()
	list, err := st.List(ctx, "sets/")
	if err != nil {
		return "", err
	}
	for _, o := range append([]store.Info{{Name: dataset.ManifestName}}, list...) {
		in, name := path.Split(o.Name)
		if name != dataset.ManifestName {
			continue
		}
		data, _, err := st.Read(ctx, o.Name)
		if err != nil && !errors.Is(err, store.ErrNotExist) {
			return "", err
		}
		if sum := sha256.Sum256(data); err == nil && hex.EncodeToString(sum[:]) == digest {
			return store.Locate(dir, strings.TrimSuffix(in, "/")), nil
		}
	}
	return "", nil
}

// ReadManifest reads the manifest of the set below st called name.
func ReadManifest(ctx context.Context, st *store.Store, name string) (*dataset.Manifest, error) {
	sub, err := st.Sub(name)
	if err != nil {
		return nil, err
	}
	m, _, err := dataset.ReadManifest(ctx, sub)
	return m, err
}

// CheckSet compares the files of the set in st with its manifest, and returns the name
// of one that is gone; empty: none. The error wraps dataset.ErrDamaged where a file has
// other bytes. On this machine CheckSet reads files that have changed since an earlier
// call, or all. In a bucket it compares sizes, or reads all.
func CheckSet(ctx context.Context, st *store.Store, m *dataset.Manifest, all bool) (missing string, err error) {
	missing, err = dataset.Missing(ctx, st, m)
	dir, local := st.Local()
	switch {
	case err != nil:
		return "", err
	case missing == "" && (all || !local):
		set, err := dataset.Open(ctx, st)
		if err != nil {
			return "", err
		}
		defer set.Close()
		if all {
			err = set.Verify(ctx)
		}
		return "", err
	case !local:
		return missing, nil
	}
	return missing, checkDigests(ctx, dir, m)
}

// checkDigests compares the files of a set in a local folder that are there with the
// digests in its manifest.
func checkDigests(ctx context.Context, dir string, m *dataset.Manifest) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	known, err := corpus.OpenDigestCache(ctx, cacheFolder("digests"), []string{"set", dir})
	if err != nil {
		return err
	}
	defer func() { _ = known.Close(context.WithoutCancel(ctx)) }() // what cannot be kept is read again
	var docs []corpus.Document
	var want []string
	add := func(name, sum string) {
		file := filepath.Join(dir, name)
		if info, err := os.Stat(file); err == nil {
			docs, want = append(docs, corpus.Document{Name: file, Path: file, Bytes: info.Size()}), append(want, sum)
		}
	}
	add(m.Vocab.Name, m.Vocab.SHA256)
	for _, split := range m.Splits {
		for _, h := range split.Shards {
			add(h.Name, h.SHA256)
		}
	}
	sums, err := known.Digests(ctx, docs)
	if err != nil {
		return err
	}
	for i, sum := range sums {
		if sum != want[i] {
			return fmt.Errorf("text: %s: sha256 is %s, the manifest says %s: %w", docs[i].Name, sum, want[i], dataset.ErrDamaged)
		}
	}
	return nil
}

// ErrNotContinuous is wrapped by the error about a set whose sequences do not
// continue one another, so that no hidden can be carried through them.
var ErrNotContinuous = errors.New("the sequences of the set do not follow one another")

// TrainData returns the training part of a set, in the order of the config's
// train.hidden and train.seed, and the validation part. The error wraps
// ErrNotContinuous where the config carries the hidden and the set does not allow it.
func TrainData(set *dataset.Set, c *configs.Config) (data train.Data, val *dataset.TextData, err error) {
	if val, err = set.Text("validation", 0); err != nil {
		return nil, nil, err
	}
	if c.Train.Hidden != string(train.Carry) {
		return &dataset.SplitData{Split: set.Split("train"), Seed: c.Train.Seed}, val, nil
	}
	if m := set.Manifest(); !m.Rule().Continuous() {
		return nil, nil, fmt.Errorf("text: %w: stride %d, validation by %s; the hidden cannot be carried through them",
			ErrNotContinuous, m.Stride, m.Validation.By)
	}
	data, err = set.Text("train", c.Train.Seed)
	return data, val, err
}
