package tfrecordio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/quire-ml/quire/transforms/dataset"
)

// TestOpenParts gathers from more parts than may be open, and counts those that are.
func TestOpenParts(t *testing.T) {
	st := openStore(t, t.TempDir())
	all := targets(0, 2*maxOpen, 1)
	var parts []part
	for rank := range int64(2 * maxOpen) {
		p, err := writePart(t.Context(), st, fmt.Sprintf(".parts/%04d", rank), []Entry{{Rank: rank, IDs: packed(rank)}}, []int32{0})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	g := new(gatherer)
	got, err := commit(g.write(t.Context(), st, all[0], parts, 1<<20))
	if err != nil || got != described(all[0]) {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(g.open) > maxOpen {
		t.Errorf("%d parts are open, want at most %d", len(g.open), maxOpen)
	}
	if err := g.close(); err != nil {
		t.Error(err)
	}
}

// TestScatterNothing scatters a range without sequences: there is no parcel and no
// file.
func TestScatterNothing(t *testing.T) {
	for _, way := range []Way{Files, Engine} {
		dir := t.TempDir()
		parcels, err := options(dir, way).Scatter(t.Context(), openStore(t, dir), "none", nil, targets(0, 8, 2))
		if len(parcels) != 0 || err != nil {
			t.Errorf("%s: got %v, %v", way, parcels, err)
		}
		if _, err := os.Stat(filepath.Join(dir, ".parts")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there are parts: %v", way, err)
		}
	}
}

// TestLaterBundle gives a DoFn a second bundle with another side input.
func TestLaterBundle(t *testing.T) {
	dir := t.TempDir()
	st := openStore(t, dir)
	o := options(dir, Files)
	f := &writeFn{Options: o}
	defer f.Teardown()
	for bundle, all := range [][]Target{targets(0, 3, 1), targets(10, 4, 1)} {
		all[0].Name = fmt.Sprintf("shard-%d", bundle)
		o.Temporary = fmt.Sprintf(".parts-%d/", bundle)
		var data [][]byte
		for _, p := range scatter(t, st, o, all, 2) {
			data = append(data, p.Data)
		}
		var got []dataset.Shard
		emit := func(s dataset.Shard) { got = append(got, s) }
		f.StartBundle(t.Context(), nil, nil)
		err := errors.Join(f.ProcessElement(t.Context(), all[0], iterate(data), emit), f.FinishBundle(nil, emit))
		if err != nil || !slices.Equal(got, []dataset.Shard{described(all[0])}) {
			t.Errorf("bundle %d: got %+v, %v", bundle, got, err)
		}
	}
}
