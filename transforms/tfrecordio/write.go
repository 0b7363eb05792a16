package tfrecordio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/dataset"
)

func init() {
	beam.RegisterType(reflect.TypeFor[Ref]())
	beam.RegisterType(reflect.TypeFor[Refs]())
	beam.RegisterType(reflect.TypeFor[Target]())
	beam.RegisterType(reflect.TypeFor[dataset.Shard]())
	register.DoFn5x1[context.Context, int64, func(*Target) bool, func(*Refs) bool, func(dataset.Shard), error](&writeFn{})
	register.Iter1[Target]()
	register.Iter1[Refs]()
	register.Emitter1[dataset.Shard]()
}

// Write writes shards into the folder or URL dir, each from windows of at most
// windowBytes.
//
// It takes a PCollection<KV<int64, Target>> with one element a shard and a
// PCollection<KV<int64, Refs>>, both keyed by the shard's number, and returns a
// PCollection<dataset.Shard> in no order. It panics if windowBytes < 1.
func Write(s beam.Scope, dir string, windowBytes int64, targets, refs beam.PCollection) beam.PCollection {
	s = s.Scope("tfrecordio.Write")
	if windowBytes < 1 {
		panic(fmt.Sprintf("tfrecordio.Write: windows of %d bytes", windowBytes))
	}
	return beam.ParDo(s, &writeFn{Dir: dir, WindowBytes: windowBytes}, beam.CoGroupByKey(s, targets, refs))
}

// writeFn writes shards, as many at a time as there are cores, and emits what the
// manifest says of them.
//
// Order: none across shards; records by rank. Dropped: nothing; a rank that is
// missing or comes twice is an error. Retry: the bytes depend on the element
// alone, and a shard that is there with these bytes counts as written. Memory,
// for each core: one window, and 100 bytes a part.
type writeFn struct {
	Dir         string `json:"dir"`
	WindowBytes int64  `json:"window_bytes"`

	st        *store.Store
	group     bundle.Group[dataset.Shard]
	gatherers bundle.Pool[gatherer]
}

// StartBundle forgets what an earlier, failed bundle may have left.
func (f *writeFn) StartBundle(ctx context.Context, _ func(dataset.Shard)) { f.group.Begin(ctx) }

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

func (f *writeFn) ProcessElement(ctx context.Context, number int64, targets func(*Target) bool, refs func(*Refs) bool, emit func(dataset.Shard)) error {
	if f.st == nil {
		st, err := store.Open(ctx, f.Dir)
		if err != nil {
			return err
		}
		f.st = st
	}
	var t, other Target
	if !targets(&t) || targets(&other) {
		return fmt.Errorf("tfrecordio: shard number %d has no target, or two", number)
	}
	var all []Ref
	var r Refs
	for refs(&r) {
		all = append(all, r.All...)
		r = Refs{}
	}
	slices.SortFunc(all, func(a, b Ref) int {
		return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Offset, b.Offset))
	})
	done, err := f.group.Do(func(ctx context.Context) (dataset.Shard, error) {
		g := f.gatherers.Take()
		defer f.gatherers.Put(g)
		return g.write(ctx, f.st, t, all, f.WindowBytes)
	})
	for _, s := range done {
		emit(s)
	}
	return err
}

// FinishBundle emits the last shards.
func (f *writeFn) FinishBundle(emit func(dataset.Shard)) error {
	done, err := f.group.Finish()
	for _, s := range done {
		emit(s)
	}
	return errors.Join(err, f.closeParts())
}
