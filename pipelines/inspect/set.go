package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/quire-ml/quire/pipelines/text"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/tfexample"
	"github.com/quire-ml/quire/transforms/tfrecord"
)

// SetFacts are what a set says of itself, and its first sequences.
type SetFacts struct {
	ManifestSHA256 string            `json:"manifest_sha256"`
	Manifest       *dataset.Manifest `json:"manifest"`
	First          []Example         `json:"first"`
}

// Example is a sequence as a training step sees it.
type Example struct {
	Input  string `json:"input"`
	Target string `json:"target"`
}

// ShardFacts are what is in a shard.
type ShardFacts struct {
	Records int64         `json:"records"`
	Bytes   int64         `json:"bytes"`
	SHA256  string        `json:"sha256"`
	Lengths map[int]int64 `json:"lengths"` // records by their number of ids
	Listed  bool          `json:"listed"`  // the manifest beside it lists these bytes
	First   [][]int32     `json:"first"`   // ids of the first records
}

func inspectSet(ctx context.Context, path string, first int) (*Result, error) {
	set, done, err := text.OpenSet(ctx, path)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := set.Verify(ctx); err != nil {
		return nil, err
	}
	m := set.Manifest()
	f := &SetFacts{ManifestSHA256: set.SHA256(), Manifest: m}
	if f.First, err = examples(ctx, set, first); err != nil {
		return nil, err
	}
	return &Result{Kind: "set", Path: path, Set: f}, nil
}

// examples returns the first sequences of the training part as text.
func examples(ctx context.Context, set *dataset.Set, first int) ([]Example, error) {
	out := []Example{}
	split := set.Split("train")
	ids := make([]int32, set.Manifest().SeqLength+1)
	for rank := int64(0); rank < min(int64(first), split.Len()); rank++ {
		if err := split.Read(ctx, rank, ids); err != nil {
			return nil, err
		}
		var text []byte
		var ends []int // where each character ends
		for _, id := range ids {
			text = set.Vocab().AppendText(text, id)
			ends = append(ends, len(text))
		}
		out = append(out, Example{Input: string(text[:ends[len(ends)-2]]), Target: string(text[ends[0]:])})
	}
	return out, nil
}

// inspectShard reads a shard. The checksums of its records do not show whether
// whole records are missing at its end; a manifest beside it does.
func inspectShard(ctx context.Context, path string, first int) (*Result, error) {
	st, name, err := store.OpenAt(ctx, path)
	if err != nil {
		return nil, err
	}
	defer st.Close()
	f, err := readShard(ctx, st, name, first)
	if err != nil {
		return nil, err
	}
	if f.Listed, err = listed(ctx, st, name, f); err != nil {
		return nil, err
	}
	return &Result{Kind: "shard", Path: st.Join(name), Shard: f}, nil
}

func readShard(ctx context.Context, st *store.Store, name string, first int) (*ShardFacts, error) {
	o, err := st.OpenObject(ctx, name)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	f := &ShardFacts{Bytes: o.Size(), Lengths: map[int]int64{}, First: [][]int32{}}
	sum := sha256.New()
	r := tfrecord.NewReader(st.Join(name), io.TeeReader(io.NewSectionReader(o, 0, o.Size()), sum))
	for offset := int64(0); ; f.Records++ {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		payload, err := r.Next()
		if err == io.EOF {
			f.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("inspect: %w: %w", dataset.ErrDamaged, err)
		}
		ids, err := tfexample.ParseIDs(nil, payload)
		if err != nil {
			return nil, fmt.Errorf("inspect: %w: %w",
				dataset.ErrDamaged, &tfrecord.Error{Name: st.Join(name), Record: f.Records, Offset: offset, Err: err})
		}
		if f.Records < int64(first) {
			f.First = append(f.First, ids)
		}
		f.Lengths[len(ids)]++
		offset += int64(len(payload)) + tfrecord.Overhead
	}
}

// listed compares a shard with the manifest beside it; false without one.
func listed(ctx context.Context, st *store.Store, name string, f *ShardFacts) (bool, error) {
	m, _, err := dataset.ReadManifest(ctx, st)
	if errors.Is(err, store.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, s := range m.Splits {
		for _, h := range s.Shards {
			if h.Name != name {
				continue
			}
			if h.Bytes != f.Bytes || h.SHA256 != f.SHA256 {
				return false, fmt.Errorf("inspect: %w: %s: has %d bytes with sha256 %s, the manifest says %d with %s",
					dataset.ErrDamaged, st.Join(name), f.Bytes, f.SHA256, h.Bytes, h.SHA256)
			}
			return true, nil
		}
	}
	return false, fmt.Errorf("inspect: %s: the manifest beside it does not list this shard; it is a remainder of another set",
		st.Join(name))
}
