package tfrecordio

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
	"github.com/quire-ml/quire/transforms/dataset"
)

const (
	maxOpen    = 256      // part files that a gatherer keeps open
	probeBytes = 64 << 10 // read at once to find where a shard starts
)

// A gatherer collects the records of one shard after another from part files. It
// is for one goroutine at a time.
type gatherer struct {
	st     *store.Store
	target Target
	parts  []part
	next   []int64 // for each part, its first entry not yet taken
	open   map[string]*store.Object
	buf    []byte // entries as read
	window *window
}

// write writes the shard t from the set's parts, which are not changed, holding
// at most about windowBytes of records in memory.
func (g *gatherer) write(ctx context.Context, st *store.Store, t Target, parts []part, windowBytes int64) (dataset.Shard, error) {
	g.st, g.target, g.parts = st, t, parts
	if g.open == nil {
		g.open = map[string]*store.Object{}
	}
	if len(g.next) != len(parts) {
		g.next = make([]int64, len(parts))
	}
	g.window = windows.Take()
	defer windows.Put(g.window)
	w, err := create(ctx, st, t)
	if err != nil {
		return dataset.Shard{}, err
	}
	defer w.abort()
	for number := int64(0); ; number++ {
		lo, hi := t.window(number, windowBytes)
		if lo >= hi {
			break
		}
		g.window.begin(lo, hi, t.RecordBytes)
		for i := range parts {
			if err := g.take(ctx, i, number == 0); err != nil {
				return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: part %s: %w", t.Name, parts[i].name, err)
			}
		}
		if err := g.window.complete(); err != nil {
			return dataset.Shard{}, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
		}
		if err := w.write(g.window.records); err != nil {
			return dataset.Shard{}, err
		}
		bundle.Done(int64(len(g.window.records)))
	}
	return w.commit()
}

func (g *gatherer) close() error {
	var errs []error
	for _, o := range g.open {
		errs = append(errs, o.Close())
	}
	clear(g.open)
	return errors.Join(errs...)
}

// take moves the entries of part i that are in the window. first is whether the
// window is the shard's first one.
func (g *gatherer) take(ctx context.Context, i int, first bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := g.parts[i]
	if !first && g.next[i] == p.count {
		return nil
	}
	o, err := g.part(ctx, p)
	if err != nil {
		return err
	}
	if first {
		if g.next[i], err = g.seek(o, p); err != nil {
			return err
		}
	}
	// Ranks are spread evenly: this is about how many of the part's are wanted.
	want := int64(float64(p.count)*(float64(g.window.hi-g.window.lo)/float64(g.target.Ranks))) + 4
	for g.next[i] < p.count {
		n := min(want, p.count-g.next[i], max(1, bufferBytes/g.target.entryBytes()))
		entries, err := g.read(o, g.next[i], n)
		if err != nil {
			return err
		}
		taken, err := g.window.place(entries, g.next[i]*g.target.entryBytes())
		if err != nil {
			return err
		}
		g.next[i] += taken
		if taken < n {
			break
		}
	}
	if len(g.open) > maxOpen {
		delete(g.open, p.name)
		return o.Close()
	}
	return nil
}

// seek returns the number of the part's first entry that is in the shard or after
// it. Entries are ordered by rank, and ranks spread evenly, so one or two looks at
// about the right place will do.
func (g *gatherer) seek(o *store.Object, p part) (int64, error) {
	lo := g.target.Lo
	size := g.target.entryBytes()
	look := max(1, probeBytes/size)
	a, b := int64(0), p.count            // the entry is one of a…b
	from, to := int64(0), g.target.Ranks // ranks of a…b-1 are between these
	for a < b {
		guess := a + int64(float64(b-a)*(float64(lo-from)/float64(max(1, to-from))))
		at := max(a, min(guess-look/2, b-look))
		n := min(look, b-at)
		entries, err := g.read(o, at, n)
		if err != nil {
			return 0, err
		}
		var damaged error
		rank := func(k int64) int64 {
			rank, err := checkedRank(entries[k*size:][:size])
			if err != nil && damaged == nil {
				damaged = fmt.Errorf("entry at byte %d: %w", (at+k)*size, err)
			}
			return rank
		}
		switch first, last := rank(0), rank(n-1); {
		case first >= lo:
			b, to = at, first
		case last < lo:
			a, from = at+n, last+1
		default:
			a = at + int64(sort.Search(int(n), func(k int) bool { return rank(int64(k)) >= lo }))
			b = a
		}
		if damaged != nil {
			return 0, damaged
		}
	}
	return a, nil
}

// read returns n entries from the one at index at on, valid until the next call.
func (g *gatherer) read(o *store.Object, at, n int64) ([]byte, error) {
	size := g.target.entryBytes()
	if int64(len(g.buf)) < n*size {
		g.buf = make([]byte, n*size)
	}
	if got, err := o.ReadAt(g.buf[:n*size], at*size); int64(got) < n*size {
		return nil, fmt.Errorf("read of %d bytes at byte %d stopped after %d: %w", n*size, at*size, got, err)
	}
	return g.buf[:n*size], nil
}

// part returns the open part.
func (g *gatherer) part(ctx context.Context, p part) (*store.Object, error) {
	if o, ok := g.open[p.name]; ok {
		return o, nil
	}
	o, err := g.st.OpenObject(ctx, p.name)
	if err != nil {
		return nil, err
	}
	g.open[p.name] = o
	if want := p.count * g.target.entryBytes(); o.Size() != want {
		return nil, fmt.Errorf("has %d bytes, want %d: %d entries", o.Size(), want, p.count)
	}
	return o, nil
}
