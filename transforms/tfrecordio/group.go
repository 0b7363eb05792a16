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
	opaque.Register[piece]()
	beam.RegisterDoFn(&pieceFn{})
	beam.RegisterDoFn(&joinFn{})
}

// A piece is a window's records in a file of their own.
type piece struct {
	Window int64 // number in its shard
	Name   string
	Bytes  int64
	CRC    uint32 // CRC-32C
}

// windowKey returns a window's key: the numbers of its shard and of it therein.
func windowKey(shard, window int64) int64 { return shard<<32 | window }

// A grouper is what windows become pieces with, and pieces shards. It is for one
// goroutine at a time.
type grouper struct {
	options Options
	st      *store.Store // nil before the first use
	window  window
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

// piece writes the records of a shard's window, which parcels bring, to a file.
func (g *grouper) piece(ctx context.Context, t Target, number int64, parcels func(*[]byte) bool) (p piece, err error) {
	lo, hi := t.window(number, g.options.WindowBytes)
	g.window.begin(lo, hi, t.RecordBytes)
	var data []byte
	for parcels(&data) {
		taken, err := g.window.place(data, 0)
		if end := taken * t.entryBytes(); err == nil && end != int64(len(data)) {
			err = fmt.Errorf("entry at byte %d: is cut, or its rank is not less than %d", end, hi)
		}
		if err != nil {
			return p, fmt.Errorf("tfrecordio: shard %s: window %d: %w", t.Name, number, err)
		}
		data = nil
	}
	if err := g.window.complete(); err != nil {
		return p, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
	}
	records := g.window.records
	p = piece{Window: number, Name: fmt.Sprintf("%swindow-%05d-%08d", g.options.Temporary, t.Number, number),
		Bytes: int64(len(records)), CRC: crc32.Checksum(records, castagnoli)}
	w, err := g.st.CreateTemporary(ctx, p.Name)
	if err != nil {
		return p, fmt.Errorf("tfrecordio: %w", err)
	}
	defer w.Abort()
	if _, err = w.Write(records); err == nil {
		_, err = w.Commit()
	}
	if err != nil {
		err = fmt.Errorf("tfrecordio: %w", err)
	}
	return p, err
}

// join writes a shard from all its pieces.
func (g *grouper) join(ctx context.Context, t Target, pieces []piece) (dataset.Shard, error) {
	slices.SortFunc(pieces, func(a, b piece) int { return int(a.Window - b.Window) })
	w, err := create(ctx, g.st, t)
	if err != nil {
		return dataset.Shard{}, err
	}
	defer w.abort()
	for i, p := range pieces {
		if p.Window != int64(i) {
			return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: window %d is missing, or window %d comes twice", t.Name, i, p.Window)
		}
		if err := g.copy(ctx, w, p); err != nil {
			return dataset.Shard{}, err
		}
	}
	return w.commit()
}

// copy adds a piece to a shard.
func (g *grouper) copy(ctx context.Context, w *shardWriter, p piece) (err error) {
	fail := func(err error) error {
		return fmt.Errorf("tfrecordio: shard %s: piece %s: %w", w.target.Name, p.Name, err)
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

// pieceFn writes the records of a window to a file and emits, keyed by shard, that
// it is there. Its side input are all targets.
//
// Order: none. Dropped: nothing; a rank that is missing or comes twice is an
// error. Retry: the file's name is the window's, and its bytes depend on the
// entries alone, whatever order they come in. Memory: a window, what the engine
// takes for its entries, and the targets.
type pieceFn struct {
	Options Options `json:"options"`

	grouper grouper
	targets []Target // by number; nil before the first element
}

// StartBundle forgets the targets of an earlier bundle.
func (f *pieceFn) StartBundle(_ func(*Target) bool, _ func(int64, piece)) { f.targets = nil }

// Teardown closes what is open.
func (f *pieceFn) Teardown() error { return f.grouper.close() }

func (f *pieceFn) ProcessElement(ctx context.Context, key int64, parcels func(*[]byte) bool, targets func(*Target) bool, emit func(int64, piece)) error {
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
	p, err := f.grouper.piece(ctx, f.targets[shard], number, parcels)
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

// joinFn puts a shard together from its pieces and emits what the manifest says of
// it.
//
// Order: none across shards; pieces by window. Dropped: nothing; a piece that is
// missing, damaged or comes twice is an error. Retry: the bytes depend on the
// element alone, and a shard that is there with these bytes counts as written.
// Memory: a buffer, and 100 bytes a piece.
type joinFn struct {
	Options Options `json:"options"`

	grouper grouper
}

// Teardown closes what is open.
func (f *joinFn) Teardown() error { return f.grouper.close() }

func (f *joinFn) ProcessElement(ctx context.Context, number int64, targets func(*Target) bool, each func(*piece) bool, emit func(dataset.Shard)) error {
	if err := f.grouper.open(ctx, f.Options); err != nil {
		return err
	}
	var t, other Target
	if !targets(&t) || targets(&other) {
		return fmt.Errorf("tfrecordio: shard number %d has no target, or two", number)
	}
	var pieces []piece
	var p piece
	for each(&p) {
		pieces = append(pieces, p)
		p = piece{}
	}
	shard, err := f.grouper.join(ctx, t, pieces)
	if err == nil {
		emit(shard)
	}
	return err
}

// Collect writes one shard from the parcels of all blocks, which may be in any
// order, in this process: what Write does, without an engine.
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
		var files gatherer
		shard, err = files.write(ctx, g.st, t, parts, o.WindowBytes)
		return shard, errors.Join(err, files.close())
	}
	windows := map[int64][][]byte{}
	for _, p := range parcels {
		if p.Key>>32 == t.Number {
			windows[p.Key&(1<<32-1)] = append(windows[p.Key&(1<<32-1)], p.Data)
		}
	}
	var pieces []piece
	for number, data := range windows {
		p, err := g.piece(ctx, t, number, iterate(data))
		if err != nil {
			return shard, err
		}
		pieces = append(pieces, p)
	}
	return g.join(ctx, t, pieces)
}

// iterate returns an iterator as engines give them.
func iterate[T any](all []T) func(*T) bool {
	return func(x *T) bool {
		if len(all) == 0 {
			return false
		}
		*x, all = all[0], all[1:]
		return true
	}
}
