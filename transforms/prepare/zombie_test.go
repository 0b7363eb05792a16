package prepare

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/quire-ml/quire/runners/engine"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/transforms/corpus"
	"github.com/quire-ml/quire/transforms/dataset"
	"github.com/quire-ml/quire/transforms/layout"
	"github.com/quire-ml/quire/transforms/tfrecordio"
)

// A cluster runs a pipeline's own DoFns as badly as an engine may: every bundle
// several times, at once or later, some attempts broken off, in any order; and of
// each bundle's whole attempts one, by chance, counts.
type cluster struct {
	t       *testing.T
	r       *rand.Rand
	o       Options
	plan    plan
	lots    []corpus.Lot
	parcels []tfrecordio.Parcel
	late    []func() // attempts for after the end, whose errors do not count
}

// attempt runs a bundle of lots through cutFn, the first of them only where it
// is broken off.
func (c *cluster) attempt(lots []corpus.Lot, broken bool) (sent []tfrecordio.Parcel, err error) {
	f := &cutFn{Options: c.o}
	plans := func() func(*plan) bool {
		given := false
		return func(p *plan) bool {
			*p, given = c.plan, !given
			return given
		}
	}
	emit := func(key int64, data []byte) { sent = append(sent, tfrecordio.Parcel{Key: key, Data: data}) }
	if err := f.StartBundle(context.Background(), plans(), emit); err != nil {
		return nil, err
	}
	for i, b := range lots {
		if broken && i > 0 {
			return nil, f.Teardown()
		}
		if err := f.ProcessElement(context.Background(), b, plans(), emit); err != nil {
			return nil, err
		}
	}
	if broken {
		return nil, f.Teardown()
	}
	if err := f.FinishBundle(plans(), emit); err != nil {
		return nil, err
	}
	return sent, f.Teardown()
}

// repeat runs work one to three times at once, and maybe once more at the end; the
// result of one counts.
func repeat[R any](c *cluster, work func(broken bool) (R, error)) (result R) {
	n := 1 + c.r.IntN(3)
	chosen := c.r.IntN(n)
	broken := make([]bool, n)
	for i := range broken {
		broken[i] = i != chosen && c.r.IntN(2) == 0
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			out, err := work(broken[i])
			if err != nil {
				c.t.Errorf("attempt %d: %v", i, err)
			}
			if i == chosen {
				result = out
			}
		})
	}
	if c.r.IntN(3) == 0 {
		again := c.r.IntN(2) == 0
		c.late = append(c.late, func() { work(again) })
	}
	wg.Wait()
	return result
}

// cut runs all bundles.
func (c *cluster) cut() {
	lots := slices.Clone(c.lots)
	c.r.Shuffle(len(lots), func(i, j int) { lots[i], lots[j] = lots[j], lots[i] })
	for len(lots) > 0 {
		n := 1 + c.r.IntN(min(4, len(lots)))
		bundle := lots[:n]
		lots = lots[n:]
		sent := repeat(c, func(broken bool) ([]tfrecordio.Parcel, error) { return c.attempt(bundle, broken) })
		c.parcels = append(c.parcels, sent...)
	}
}

// finish writes the shards, in any order, and the manifest.
func (c *cluster) finish() {
	var shards []dataset.Shard
	var targets []tfrecordio.Target
	(&targetFn{}).ProcessElement(c.plan, func(t tfrecordio.Target) { targets = append(targets, t) })
	for _, i := range c.r.Perm(len(targets)) {
		c.r.Shuffle(len(c.parcels), func(i, j int) { c.parcels[i], c.parcels[j] = c.parcels[j], c.parcels[i] })
		parcels := slices.Clone(c.parcels)
		shards = append(shards, repeat(c, func(bool) (dataset.Shard, error) {
			return c.o.shards().Collect(context.Background(), targets[i], parcels)
		}))
	}
	repeat(c, func(bool) (string, error) {
		at := 0
		return (&finishFn{Options: c.o}).ProcessElement(context.Background(), 0, func(s *dataset.Shard) bool {
			if at++; at <= len(shards) {
				*s = shards[at-1]
			}
			return at <= len(shards)
		}, func(p *plan) bool { *p = c.plan; return true })
	})
}

func init() { beam.RegisterFunction(keepStatistics) }

var kept corpus.Statistics // by keepStatistics, on the direct runner

func keepStatistics(s corpus.Statistics) { kept = s }

// TestZombies makes one set 500 times on such a cluster, by both ways to the
// shards. (That of the counting pass is in package corpus.)
func TestZombies(t *testing.T) {
	docs := write(t, text{"a", wide(900)}, text{"b", "to be or not to be, that is the question"}, text{"b2", wide(20)}, text{"b3", ""}, text{"c", wide(333)})
	for _, by := range []string{"tail", "block"} {
		o := Options{SeqLength: 6, Seed: 3, Shards: 3, RangeBytes: 200, SlabBytes: 200, ValidationFraction: 0.2, ValidationBy: by, Stride: 5}
		want := files(t, made(t, "direct", docs, o))
		o = o.complete(corpus.Bytes(docs))
		if _, err := corpus.Digests(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		list := o.list(docs)
		pages := list.Pages()
		lots, err := pages[0].Lots(t.Context(), o.RangeBytes)
		if err != nil || len(pages) != 1 {
			t.Fatal(len(pages), err)
		}
		p, s := beam.NewPipelineWithRoot()
		beam.ParDo0(s, keepStatistics, corpus.Count(s, o.form(), corpus.Ranges(s, list, corpus.Create(s, list))))
		if err := engine.Run(t.Context(), "direct", p, engine.Options{}); err != nil {
			t.Fatal(err)
		}
		for seed := range uint64(250) {
			c := &cluster{t: t, r: rand.New(rand.NewPCG(seed, 6)), o: o, lots: lots}
			c.o.Dir = inMemory(t)
			c.o.Way = []string{"files", "engine"}[seed%2]
			c.o.InlineBytes = []int64{1 << 20, 1}[seed/2%2]
			c.makePlan(kept, pages)
			c.cut()
			c.finish()
			c.clean()
			for _, i := range c.r.Perm(len(c.late)) {
				c.late[i]()
			}
			c.clean()
			if got := files(t, c.o.Dir); !maps.Equal(got, want) {
				t.Fatalf("%s, seed %d: got %v, want %v", by, seed, got, want)
			}
		}
	}
}

// clean does what the caller does before and after the pipeline.
func (c *cluster) clean() {
	c.t.Helper()
	st, err := store.Open(c.t.Context(), c.o.Dir)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := errors.Join(Clean(c.t.Context(), st, IsFile), st.Close()); err != nil {
		c.t.Fatal(err)
	}
}

// inMemory returns a new folder, in memory where the system has such: syncing
// files is most of the time.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "quire-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// makePlan makes the plan of pages and, by block, of counts in any order.
func (c *cluster) makePlan(st corpus.Statistics, pages []corpus.Page) {
	c.t.Helper()
	next := func(p *corpus.Page) bool {
		if len(pages) == 0 {
			return false
		}
		*p, pages = pages[0], pages[1:]
		return true
	}
	keep := func(p plan) { c.plan = p }
	if err := (&planFn{Options: c.o, Documents: 5}).ProcessElement(c.t.Context(), st, next, keep); err != nil {
		c.t.Fatal(err)
	}
	if c.o.rule().By == layout.ByTail {
		return
	}
	f := &sidesFn{Options: c.o}
	var splits []lotSides
	emit := func(s lotSides) { splits = append(splits, s) }
	plans := func(p *plan) bool { *p = c.plan; return true }
	if err := f.StartBundle(c.t.Context(), plans, emit); err != nil {
		c.t.Fatal(err)
	}
	for _, i := range c.r.Perm(len(c.lots)) {
		if err := f.ProcessElement(c.t.Context(), c.lots[i], plans, emit); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := f.FinishBundle(plans, emit); err != nil {
		c.t.Fatal(err)
	}
	err := (&completeFn{Options: c.o}).ProcessElement(c.t.Context(), c.plan, func(s *lotSides) bool {
		if len(splits) == 0 {
			return false
		}
		*s, splits = splits[0], splits[1:]
		return true
	}, keep)
	if err != nil || len(c.plan.Totals) == 0 {
		c.t.Fatalf("no plan: %v", err)
	}
}
