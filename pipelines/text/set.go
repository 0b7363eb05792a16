package text

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
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

// ReadManifest reads the manifest of the set below st called name.
func ReadManifest(ctx context.Context, st *store.Store, name string) (*dataset.Manifest, error) {
	sub, err := st.Sub(name)
	if err != nil {
		return nil, err
	}
	m, _, err := dataset.ReadManifest(ctx, sub)
	return m, err
}
