package tfrecordio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/bundle"
)

// maxOpen is the number of part files that a gatherer keeps open, or its share of those that the process may.
const maxOpen = 256

// share returns how many parts a gatherer keeps open: its share of a third of the files that the
// process may open, where there is one a core. Shards that wait for the disk need three each.
var share = sync.OnceValue(func() int { return store.OpenFiles(3*runtime.GOMAXPROCS(0), maxOpen) })

// openParts counts the parts that are open in the process. An engine may run several bundles
// at once, each with its gatherers: together, they keep no more open than one a core may.
var openParts atomic.Int64

// A gatherer writes shards, one after another, from part files. It is for one
// goroutine at a time.
type gatherer struct {
	st     *store.Store
	target Target
	parts  []part
	next   []int64 // for each part, its first entry not yet taken
	open   map[string]*store.Object
	buf    []byte // entries as read
	frame  frame  // of the set's records
	slab   *slab
}

// write writes the shard t from the set's parts, which are not changed, holding
// at most about slabBytes of records in memory. The shard is to be committed, or aborted.
func (g *gatherer) write(ctx context.Context, st *store.Store, t Target, parts []part, slabBytes int64) (_ *shardWriter, err error) {
	g.st, g.target, g.parts = st, t, parts
	if g.open == nil {
		g.open = map[string]*store.Object{}
	}
	if len(g.next) != len(parts) {
		g.next = make([]int64, len(parts))
	}
	g.slab = slabs.Take()
	defer slabs.Put(g.slab)
	w, err := create(ctx, st, t)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			w.abort()
		}
	}()
	for number := int64(0); ; number++ {
		lo, hi := t.slab(number, slabBytes)
		if lo >= hi {
			break
		}
		g.slab.begin(t, lo, hi)
		for i := range parts {
			if err := g.take(ctx, i, number == 0); err != nil {
				return nil, fmt.Errorf("tfrecordio: shard %s: part %s: %w", t.Name, parts[i].name, err)
			}
		}
		if err := g.slab.complete(); err != nil {
			return nil, fmt.Errorf("tfrecordio: shard %s: %w", t.Name, err)
		}
		if err := w.write(g.slab.records); err != nil {
			return nil, err
		}
		bundle.Done(int64(len(g.slab.records)))
	}
	return w, nil
}

func (g *gatherer) close() error {
	var errs []error
	for _, o := range g.open {
		errs = append(errs, o.Close())
		openParts.Add(-1)
	}
	clear(g.open)
	return errors.Join(errs...)
}

// take copies the entries of part i whose ranks are in the slab. first says that the
// slab is the shard's first.
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
	// Ranks are spread evenly: about this many of the part's entries are in the slab, and
	// hardly ever more than two deviations more.
	mean := float64(p.count) * (float64(g.slab.hi-g.slab.lo) / float64(g.target.Ranks))
	want := int64(mean+2*math.Sqrt(mean)) + 4
	for g.next[i] < p.count {
		n := min(want, p.count-g.next[i], max(1, bufferBytes/g.target.entryBytes()))
		entries, err := g.read(o, g.next[i], n)
		if err != nil {
			return err
		}
		taken, err := g.slab.place(entries, g.next[i]*g.target.entryBytes())
		if err != nil {
			return err
		}
		g.next[i] += taken
		if taken < n {
			break
		}
	}
	if len(g.open) > share() || openParts.Load() > int64(share()*runtime.GOMAXPROCS(0)) {
		delete(g.open, p.name)
		openParts.Add(-1)
		return o.Close()
	}
	return nil
}

// seek returns the number of the part's first entry whose rank is not less than the
// shard's first. Entries are ordered by rank and ranks spread evenly, so mostly one
// read around the expected place finds the entry.
func (g *gatherer) seek(o *store.Object, p part) (int64, error) {
	lo := g.target.Lo
	size := g.target.entryBytes()
	most := int64(2*math.Sqrt(float64(p.count))) + 4 // two standard deviations of the place, either way
	most = min(most, max(1, bufferBytes/size))
	g.frame.of(int(g.target.IDBytes))
	a, b := int64(0), p.count            // the entry is one of a…b
	from, to := int64(0), g.target.Ranks // ranks of a…b-1 are between these
	for a < b {
		guess := a + int64(float64(b-a)*(float64(lo-from)/float64(max(1, to-from))))
		at := max(a, min(guess-most/2, b-most))
		n := min(most, b-at)
		entries, err := g.read(o, at, n)
		if err != nil {
			return 0, err
		}
		var damaged error
		rank := func(k int64) int64 {
			rank, _, err := g.frame.check(entries[k*size:][:size])
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

// read returns the entries at…at+n-1, valid until the next call.
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

// part opens a part, unless it is open.
func (g *gatherer) part(ctx context.Context, p part) (*store.Object, error) {
	if o, ok := g.open[p.name]; ok {
		return o, nil
	}
	o, err := g.st.OpenObject(ctx, p.name)
	if err != nil {
		return nil, err
	}
	g.open[p.name] = o
	openParts.Add(1)
	if want := p.count * g.target.entryBytes(); o.Size() != want {
		return nil, fmt.Errorf("has %d bytes, want %d: %d entries", o.Size(), want, p.count)
	}
	return o, nil
}
