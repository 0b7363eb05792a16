package text

import (
	"context"
	"errors"
	"fmt"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
)

// ErrNoSet is wrapped by errors about a directory that has no manifest.
var ErrNoSet = errors.New("there is no set")

// shardCacheBytes is how much of remote sets is kept on this machine.
const shardCacheBytes = 20e9

// OpenSet opens the set at a path. The error wraps errNoSet where there is
// none, and else says what to do. Call done in the end.
func OpenSet(ctx context.Context, path string) (set *dataset.Set, done func(), err error) {
	st, err := store.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	if _, err := st.Stat(ctx, dataset.ManifestName); errors.Is(err, store.ErrNotExist) {
		st.Close()
		return nil, nil, fmt.Errorf("text: %w at %s; run prep first, or set prep.out to where one is", ErrNoSet, path)
	}
	if set, err = dataset.OpenCached(ctx, st, cacheFolder("shards"), shardCacheBytes); err != nil {
		st.Close()
		return nil, nil, SetRemedy(ctx, err)
	}
	return set, func() { set.Close(); st.Close() }, nil
}

// badSet adds to an error of reading a set what to do, unless ctx is the cause.
func SetRemedy(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w; make the set anew: prep --replace, or delete its directory", err)
}

// SplitData is a split of a set as training data: epoch 1 visits the sequences
// in the order of the shards, every other epoch in a permutation of its own.
type SplitData struct {
	Split *dataset.SplitReader
	Seed  int64 // of the permutations

	epoch int
	order dataset.Permutation
}

// Len returns the number of sequences; 0 for a nil split.
func (d *SplitData) Len() int64 {
	if d == nil || d.Split == nil {
		return 0
	}
	return d.Split.Len()
}

// Read fills dst with the sequence that epoch visits at a position.
func (d *SplitData) Read(ctx context.Context, epoch int, position int64, dst []int32) error {
	if d.epoch != epoch {
		d.epoch, d.order = epoch, dataset.EpochOrder(d.Split.Len(), d.Seed, epoch)
	}
	return SetRemedy(ctx, d.Split.Read(ctx, d.order.At(position), dst))
}

// ReadManifest reads the manifest of the set below st called name.
func ReadManifest(ctx context.Context, st *store.Store, name string) (*dataset.Manifest, error) {
	at := name + "/" + dataset.ManifestName
	data, _, err := st.Read(ctx, at)
	if err != nil {
		return nil, err
	}
	m, err := dataset.DecodeManifest(st.Join(at), data)
	return m, SetRemedy(ctx, err)
}
