// Package tfrecordio writes the TFRecord shards of a set.
//
// A record has a rank: its place in the set. A shard holds consecutive ranks, in
// order. Every byte range of the corpus has records of every shard. Records get to
// their shards in one of two ways, with the same bytes. Both divide a shard into
// slabs: consecutive ranks whose records fit in memory.
//
//	files   Each byte range, or several small documents together, writes its records
//	        to one part file, ordered by rank.
//	        A shard's writer fills one slab after another. From every part it takes
//	        the entries whose rank is in the slab, which follow one another, and puts
//	        each at its rank. The engine carries the parts' names alone. This way is
//	        for engines that keep a GroupByKey in memory.
//	engine  Each byte range sends its entries, bundled by slab, through a GroupByKey.
//	        Each slab becomes a file. A second GroupByKey, of these files' names,
//	        puts shards together. This way is for engines whose workers share no
//	        fast disk, and which group on disk.
//
// In both ways,
//
//	entry = crc (4B) + rank (8B) + the record's ids
//
// with little-endian numbers and the CRC-32C of the record's payload and of the rank behind
// it. All records of a set have one size, so an entry's place is its number times a constant.
// What surrounds the ids is the same in all records, apart from the payload's checksum, which
// is known on the way to the entry's.
//
// Files are written whole or not at all. Writing the same bytes again succeeds, so
// any attempt may be repeated.
package tfrecordio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/opaque"
)

func init() {
	opaque.Register[Target]()
	opaque.Register[dataset.Shard]()
	beam.RegisterFunction(number)
	beam.RegisterDoFn(&writeFn{})
}

// A Way is how records get from byte ranges to shards.
type Way string

// The ways, which the package comment explains.
const (
	Files  Way = "files"
	Engine Way = "engine"
)

// Options are the same for all writers of one set.
type Options struct {
	Dir       string `json:"dir"` // the set's folder or gs:// URL
	Way       Way    `json:"way"`
	SlabBytes int64  `json:"slab_bytes"` // of a slab's records, about; a slab has at least one record
	Temporary string `json:"temporary"`  // prefix of the names of files that the caller deletes afterwards
}

// A Target describes a shard to be written.
type Target struct {
	Number  int64 // in the set, from 0
	Name    string
	Lo, Hi  int64 // its ranks: Lo ≤ rank < Hi
	Ranks   int64 // of the whole set
	IDBytes int64 // of the ids of a record
}

// Write writes shards.
//
// It takes a PCollection<Target> with one element a shard and a
// PCollection<KV<int64, []byte>> of the parcels that Scatter returns, and
// returns a PCollection<dataset.Shard> in no order. It panics if o has a slab of
// less than a byte, or an unknown way.
func Write(s beam.Scope, o Options, targets, parcels beam.PCollection) beam.PCollection {
	s = s.Scope("tfrecordio.Write")
	switch {
	case o.SlabBytes < 1:
		panic(fmt.Sprintf("tfrecordio.Write: slabs of %d bytes", o.SlabBytes))
	case o.Way == Files:
		return beam.ParDo(s, &writeFn{Options: o}, beam.Reshuffle(s, targets), beam.SideInput{Input: beam.DropKey(s, parcels)})
	case o.Way == Engine:
		files := beam.ParDo(s, &slabFn{Options: o}, beam.GroupByKey(s, parcels), beam.SideInput{Input: targets})
		return beam.ParDo(s, &joinFn{Options: o}, beam.CoGroupByKey(s, beam.ParDo(s, number, targets), files))
	}
	panic(fmt.Sprintf("tfrecordio.Write: way %q", o.Way))
}

// number keys a target by its number.
func number(t Target) (int64, Target) { return t.Number, t }

// writeFn writes shards from part files, as many at a time as there are cores, and
// emits their entries of the manifest. Its side input are the parts.
//
// Order: none across shards; records by rank. Dropped: nothing; a rank that is
// missing or comes twice is an error. Retry: the bytes depend on the input alone,
// and a shard that is there with these bytes counts as written. Memory, for each
// core: one slab and 8 bytes a part; besides, 80 bytes a part, and the open files or
// upload buffers of up to 4 more shards that wait for the disk or the network (see
// bundle.Wait).
type writeFn struct {
	Options Options `json:"options"`

	st        *store.Store
	parts     []part // nil before the first element
	group     bundle.Group[dataset.Shard]
	gatherers bundle.Pool[gatherer]
}

// StartBundle forgets the state of an earlier bundle.
func (f *writeFn) StartBundle(ctx context.Context, _ func(*[]byte) bool, _ func(dataset.Shard)) {
	f.group.Begin(ctx)
	f.parts = nil
}

// Teardown closes what is open.
func (f *writeFn) Teardown() error {
	f.group.Stop()
	errs := []error{f.closeParts()}
	if f.st != nil {
		errs = append(errs, f.st.Close())
	}
	f.st = nil
	return errors.Join(errs...)
}

// closeParts closes the parts that are open, so that they can be deleted.
func (f *writeFn) closeParts() error {
	var errs []error
	for _, g := range f.gatherers.Empty() {
		errs = append(errs, g.close())
	}
	return errors.Join(errs...)
}

func (f *writeFn) ProcessElement(ctx context.Context, t Target, parcels func(*[]byte) bool, emit func(dataset.Shard)) (err error) {
	if f.st == nil {
		if f.st, err = store.Open(ctx, f.Options.Dir); err != nil {
			return err
		}
	}
	if f.parts == nil {
		if f.parts, err = decodeParts(parcels); err != nil {
			return err
		}
	}
	parts := f.parts
	done, err := f.group.Do(func(ctx context.Context) (shard dataset.Shard, err error) {
		w, err := f.gather(ctx, t, parts)
		if err != nil {
			return shard, err
		}
		bundle.Wait(func() { shard, err = w.commit() })
		return shard, err
	})
	for _, s := range done {
		emit(s)
	}
	return err
}

// gather writes a shard with one of the gatherers.
func (f *writeFn) gather(ctx context.Context, t Target, parts []part) (*shardWriter, error) {
	g := f.gatherers.Take()
	defer f.gatherers.Put(g)
	return g.write(ctx, f.st, t, parts, f.Options.SlabBytes)
}

// FinishBundle emits the last shards.
func (f *writeFn) FinishBundle(_ func(*[]byte) bool, emit func(dataset.Shard)) error {
	done, err := f.group.Finish()
	for _, s := range done {
		emit(s)
	}
	return errors.Join(err, f.closeParts())
}

// decodeParts returns the parts that parcels name, ordered by name.
func decodeParts(parcels func(*[]byte) bool) ([]part, error) {
	parts := []part{}
	var data []byte
	for parcels(&data) {
		p, err := decodePart(data)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
		data = nil
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.name, b.name) })
	return parts, nil
}
