package tfrecordio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/opaque"
)

func init() {
	opaque.Register[slabFile]()
	beam.RegisterDoFn(&slabFn{})
	beam.RegisterDoFn(&joinFn{})
}

// A slabFile is a file that holds the records of one slab.
type slabFile struct {
	Slab  int64 // number in its shard
	Name  string
	Bytes int64
	CRC   uint32 // CRC-32C
}

// slabKey returns a slab's key: its shard's number, and its own in the shard.
func slabKey(shard, slab int64) int64 { return shard<<32 | slab }

// A grouper writes slabs to files and joins files into shards. It is for one
// goroutine at a time.
type grouper struct {
	options Options
	st      *store.Store // nil before the first use
	slab    slab
	buf     []byte
}

// open opens the set's folder, unless it is open.
func (g *grouper) open(ctx context.Context, o Options) (err error) {
	if g.options = o; g.st == nil {
		g.st, err = store.Open(ctx, o.Dir)
	}
	return err
}

// close closes what is open.
func (g *grouper) close() error {
	if g.st == nil {
		return nil
	}
	err := g.st.Close()
	g.st = nil
	return err
}

// write writes the records of a shard's slab, which parcels bring, to a file.
func (g *grouper) write(ctx context.Context, t Target, number int64, parcels func(*[]byte) bool) (p slabFile, err error) {
	lo, hi := t.slab(number, g.options.SlabBytes)
	g.slab.begin(t, lo, hi)
	var data []byte
	for parcels(&data) {
		taken, err := g.slab.place(data, 0)
		if end := taken * t.entryBytes(); err == nil && end != int64(len(data)) {
			err = fmt.Errorf("entry at byte %d: is cut, or its rank is not less than %d", end, hi)
		}
		if err != nil {
			return p, fmt.Errorf("tfrecordio: shard %s: slab %d: %w", t.Name, number, err)
		}
		data = nil
	}
	if err := g.slab.complete(); err != nil {
		return p, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
	}
	records := g.slab.records
	p = slabFile{Slab: number, Name: fmt.Sprintf("%sslab-%05d-%08d", g.options.Temporary, t.Number, number),
		Bytes: int64(len(records)), CRC: crc32.Checksum(records, castagnoli)}
	if err := g.st.PutTemporary(ctx, p.Name, records); err != nil {
		return p, fmt.Errorf("tfrecordio: %w", err)
	}
	return p, nil
}

// join writes a shard from all its files.
func (g *grouper) join(ctx context.Context, t Target, files []slabFile) (dataset.Shard, error) {
	slices.SortFunc(files, func(a, b slabFile) int { return int(a.Slab - b.Slab) })
	w, err := create(ctx, g.st, t)
	if err != nil {
		return dataset.Shard{}, err
	}
	defer w.abort()
	for i, p := range files {
		if p.Slab != int64(i) {
			return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: slab %d is missing, or slab %d comes twice", t.Name, i, p.Slab)
		}
		if err := g.copy(ctx, w, p); err != nil {
			return dataset.Shard{}, err
		}
	}
	return w.commit()
}

// copy appends a file to a shard.
func (g *grouper) copy(ctx context.Context, w *shardWriter, p slabFile) (err error) {
	fail := func(err error) error {
		return fmt.Errorf("tfrecordio: shard %s: file %s: %w", w.target.Name, p.Name, err)
	}
	o, err := g.st.OpenObject(ctx, p.Name)
	if err != nil {
		return fail(err)
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if o.Size() != p.Bytes {
		return fail(fmt.Errorf("has %d bytes, want %d", o.Size(), p.Bytes))
	}
	if g.buf == nil {
		g.buf = make([]byte, bufferBytes)
	}
	crc := uint32(0)
	for at := int64(0); at < p.Bytes; {
		if err := ctx.Err(); err != nil {
			return err
		}
		buf := g.buf[:min(p.Bytes-at, bufferBytes)]
		if n, err := o.ReadAt(buf, at); n < len(buf) {
			return fail(cmp.Or(err, io.ErrUnexpectedEOF))
		}
		crc = crc32.Update(crc, castagnoli, buf)
		if err := w.write(buf); err != nil {
			return err
		}
		at += int64(len(buf))
	}
	if crc != p.CRC {
		return fail(fmt.Errorf("crc is %08x, want %08x", crc, p.CRC))
	}
	bundle.Done(p.Bytes)
	return nil
}

// slabFn writes the records of a slab to a file and emits the file, keyed by
// shard. Its side input are all targets.
//
// Order: none. Dropped: nothing; a rank that is missing or comes twice is an
// error. Retry: the file's name is the slab's, and its bytes depend on the
// entries alone, whatever order they come in. Memory: a slab, what the engine
// takes for its entries, and the targets.
type slabFn struct {
	Options Options `json:"options"`

	grouper grouper
	targets []Target // by number; nil before the first element
}

// StartBundle forgets the targets of an earlier bundle.
func (f *slabFn) StartBundle(_ func(*Target) bool, _ func(int64, slabFile)) { f.targets = nil }

// Teardown closes what is open.
func (f *slabFn) Teardown() error { return f.grouper.close() }

func (f *slabFn) ProcessElement(ctx context.Context, key int64, parcels func(*[]byte) bool,
	targets func(*Target) bool, emit func(int64, slabFile)) error {
	if err := f.grouper.open(ctx, f.Options); err != nil {
		return err
	}
	if f.targets == nil {
		f.targets = byNumber(targets)
	}
	shard, number := key>>32, key&(1<<32-1)
	if shard >= int64(len(f.targets)) {
		return fmt.Errorf("tfrecordio: shard number %d has no target", shard)
	}
	p, err := f.grouper.write(ctx, f.targets[shard], number, parcels)
	if err == nil {
		emit(shard, p)
	}
	return err
}

// byNumber returns targets ordered by number.
func byNumber(each func(*Target) bool) []Target {
	targets := []Target{}
	var t Target
	for each(&t) {
		targets = append(targets, t)
		t = Target{}
	}
	slices.SortFunc(targets, func(a, b Target) int { return int(a.Number - b.Number) })
	return targets
}

// joinFn joins a shard's files and emits the shard's entry of the manifest.
//
// Order: none across shards; files by slab. Dropped: nothing; a file that is
// missing, damaged or comes twice is an error. Retry: the bytes depend on the
// element alone, and a shard that is there with these bytes counts as written.
// Memory: a buffer, and 100 bytes a file.
type joinFn struct {
	Options Options `json:"options"`

	grouper grouper
}

// Teardown closes what is open.
func (f *joinFn) Teardown() error { return f.grouper.close() }

func (f *joinFn) ProcessElement(ctx context.Context, number int64, targets func(*Target) bool,
	each func(*slabFile) bool, emit func(dataset.Shard)) error {
	if err := f.grouper.open(ctx, f.Options); err != nil {
		return err
	}
	var t, other Target
	if !targets(&t) || targets(&other) {
		return fmt.Errorf("tfrecordio: shard number %d has no target, or two", number)
	}
	var files []slabFile
	var p slabFile
	for each(&p) {
		files = append(files, p)
		p = slabFile{}
	}
	shard, err := f.grouper.join(ctx, t, files)
	if err == nil {
		emit(shard)
	}
	return err
}

// Collect does the work of Write in this process, without an engine: it writes one
// shard from the parcels of all byte ranges, which may be in any order.
func (o Options) Collect(ctx context.Context, t Target, parcels []Parcel) (shard dataset.Shard, err error) {
	var g grouper
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.open(ctx, o); err != nil {
		return shard, err
	}
	if o.Way == Files {
		var data [][]byte
		for _, p := range parcels {
			data = append(data, p.Data)
		}
		parts, err := decodeParts(iterate(data))
		if err != nil {
			return shard, err
		}
		return gatherAll(ctx, g.st, t, parts, o.SlabBytes)
	}
	slabs := map[int64][][]byte{}
	for _, p := range parcels {
		if p.Key>>32 == t.Number {
			slabs[p.Key&(1<<32-1)] = append(slabs[p.Key&(1<<32-1)], p.Data)
		}
	}
	var files []slabFile
	for number, data := range slabs {
		p, err := g.write(ctx, t, number, iterate(data))
		if err != nil {
			return shard, err
		}
		files = append(files, p)
	}
	return g.join(ctx, t, files)
}

// gatherAll writes a shard from part files.
func gatherAll(ctx context.Context, st *store.Store, t Target, parts []part, slabBytes int64) (shard dataset.Shard, err error) {
	var g gatherer
	defer func() { err = errors.Join(err, g.close()) }()
	w, err := g.write(ctx, st, t, parts, slabBytes)
	if err != nil {
		return shard, err
	}
	return w.commit()
}

// iterate returns an iterator like those of engines.
func iterate[T any](all []T) func(*T) bool {
	return func(x *T) bool {
		if len(all) == 0 {
			return false
		}
		*x, all = all[0], all[1:]
		return true
	}
}
