// Package bundle works on the elements of a Beam bundle several at a time.
//
// An engine gives a DoFn one element after another, and the direct runner is one
// thread altogether. A DoFn whose elements are megabytes of work hands each to a
// Group. The DoFn emits the results that are ready, in the order of the elements,
// and the rest when the bundle finishes. So the engine's thread alone calls an
// emitter, and the emitted elements do not depend on the number of goroutines.
//
// All groups of a process share its cores: an engine may run several bundles of a
// DoFn at once, and split the one that is slow, and the memory of work under way
// must not grow with their number. A group holds at most 4 results a core: behind a
// slow piece of work, Do waits.
package bundle

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// A Group runs pieces of work, each with a result R. A group is for one bundle at a
// time, and its methods are for one goroutine. The zero value is ready to use.
type Group[R any] struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   []*work[R] // in order
	failed *atomic.Bool
}

type work[R any] struct {
	done   chan struct{}
	result R
	err    error
}

// Begin makes the group ready for a bundle. It stops the work that a failed bundle
// left behind and forgets the results of that work.
func (g *Group[R]) Begin(ctx context.Context) {
	g.Stop()
	g.ctx, g.cancel = context.WithCancel(ctx)
	g.failed = new(atomic.Bool)
}

// queue is the number of pieces of work, a core, that a group holds: under way, or
// done behind a piece that is not.
const queue = 4

// Do runs f on a goroutine, when fewer than GOMAXPROCS of all groups are busy and
// the group holds fewer than 4 GOMAXPROCS pieces of work. f must not wait for work
// of a group. Do returns the results of earlier work that are ready, or the error of
// the earliest that failed.
func (g *Group[R]) Do(f func(ctx context.Context) (R, error)) ([]R, error) {
	early, err := g.take(queue*runtime.GOMAXPROCS(0) - 1)
	if err != nil {
		return nil, err
	}
	cores.take()
	if g.failed.Load() {
		cores.give()
		return g.Finish()
	}
	w := &work[R]{done: make(chan struct{})}
	g.work = append(g.work, w)
	ctx, failed := g.ctx, g.failed
	go func() {
		defer close(w.done)
		defer cores.give()
		if w.result, w.err = f(ctx); w.err != nil {
			failed.Store(true)
		}
	}()
	ready, err := g.take(len(g.work))
	if err != nil {
		return nil, err
	}
	return append(early, ready...), nil
}

// maxWaiting bounds the pieces of work that are in Wait without a core: each holds what it
// has open, such as files.
const maxWaiting = 4

var waiting atomic.Int64

// Wait calls f, which waits for a disk or a network, from within a piece of work. Meanwhile,
// other work has the core, unless 4 pieces wait already.
func Wait(f func()) {
	defer waiting.Add(-1)
	if waiting.Add(1) <= maxWaiting {
		cores.give()
		defer cores.take()
	}
	f()
}

// A semaphore admits GOMAXPROCS pieces of work.
type semaphore struct {
	mu   sync.Mutex
	left sync.Cond
	busy int
}

var cores = newSemaphore()

func newSemaphore() *semaphore {
	s := new(semaphore)
	s.left.L = &s.mu
	return s
}

func (s *semaphore) take() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy >= runtime.GOMAXPROCS(0) {
		s.left.Wait()
	}
	s.busy++
}

func (s *semaphore) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.left.Signal()
}

// Finish waits for all work. It returns the results that Do has not returned, or
// the error of the earliest work that failed.
func (g *Group[R]) Finish() ([]R, error) { return g.take(0) }

// take removes finished work from the start of the queue. It waits for work until at
// most most pieces are left.
func (g *Group[R]) take(most int) (results []R, err error) {
	for len(g.work) > 0 {
		w := g.work[0]
		if len(g.work) <= most {
			select {
			case <-w.done:
			default:
				return results, nil
			}
		}
		<-w.done
		g.work[0] = nil // or the array keeps its result
		g.work = g.work[1:]
		if w.err != nil {
			g.Stop()
			return nil, w.err
		}
		results = append(results, w.result)
	}
	return results, nil
}

// Stop cancels the work that is going on and waits for its end.
func (g *Group[R]) Stop() {
	if g.cancel != nil {
		g.cancel()
	}
	for _, w := range g.work {
		<-w.done
	}
	g.work = nil
}

// A Pool keeps values that goroutines work with, such as buffers and open files,
// for later use. The zero value is ready to use; it is safe for concurrent use.
type Pool[T any] struct {
	mu   sync.Mutex
	free []*T
}

// Take removes a T from the pool, or returns a new one where the pool is empty.
func (p *Pool[T]) Take() *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return new(T)
	}
	x := p.free[n-1]
	p.free = p.free[:n-1]
	return x
}

// Put gives x back.
func (p *Pool[T]) Put(x *T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, x)
}

// Empty removes everything and returns it.
func (p *Pool[T]) Empty() []*T {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.free
	p.free = nil
	return all
}

var done atomic.Int64

// Done adds to the bytes that all groups of this process have worked through. They
// measure progress alone: repeated work counts again.
func Done(bytes int64) { done.Add(bytes) }

// Bytes returns the sum of all calls of Done.
func Bytes() int64 { return done.Load() }
