package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Team runs a job on up to GOMAXPROCS goroutines, its workers. A job may be a
// whole pass over a batch: workers meet at barriers inside it. After a job the
// workers stay awake for a while, because the jobs of a training step follow each
// other faster than a sleeping thread wakes. A worker without a job then ends by
// itself. The memory of the workers stays with the Team from job to job.
//
// A Team runs one job at a time.
type Team struct {
	workers []*Worker
	size    int
	job     func(*Worker)
	barrier barrier

	product product // of the Gemm that runs
	gemm    func(*Worker)
}

// A Worker is one goroutine of a job. Only this goroutine may use it.
type Worker struct {
	ID, Size int // ID is in 0 … Size-1; the job has Size workers
	team     *Team
	live     func()
	state    atomic.Int32
	a, b     []float32 // packed blocks of a product's factors
	edge     []float32 // one tile of c
}

// The states of a worker's goroutine.
const (
	gone    = iota // no goroutine runs
	waiting        // its job is done, or will be at the barrier; the worker watches for the next
	called         // a job is there for it
)

// NewTeam returns a team without workers; Run starts them.
func NewTeam() *Team {
	t := &Team{}
	t.barrier.cond.L = &t.barrier.mu
	t.gemm = func(w *Worker) { t.product.share(w) }
	return t
}

// Run calls job once on every worker and returns when all calls have returned.
// work is the rough number of multiplications, or of values, between two
// barriers: a small job has fewer workers. The number of workers, and so the
// division of the work, is not defined: job must compute each value from the
// inputs alone.
func (t *Team) Run(work int, job func(*Worker)) {
	n := min(runtime.GOMAXPROCS(0), 1+work/worthwhile)
	for len(t.workers) < n {
		w := &Worker{ID: len(t.workers), team: t}
		w.live = w.run
		t.workers = append(t.workers, w)
	}
	t.size, t.job, t.barrier.size = n, job, int32(n)
	for _, w := range t.workers[:n] {
		w.Size = n
	}
	for _, w := range t.workers[1:n] {
		if !w.state.CompareAndSwap(waiting, called) {
			w.state.Store(called)
			go w.live()
		}
	}
	job(t.workers[0])
	t.workers[0].Barrier()
}

// run does jobs until none has come for a time of linger.
func (w *Worker) run() {
	for {
		w.team.job(w)
		patience := time.Duration(0)
		if w.Size <= runtime.NumCPU() {
			patience = linger
		}
		w.state.Store(waiting)
		w.Barrier()
		for s := newSpin(patience); w.state.Load() == waiting; {
			if !s.again() && w.state.CompareAndSwap(waiting, gone) {
				return
			}
		}
	}
}

// A spin bounds the time for which a goroutine checks a condition without
// sleeping.
type spin struct {
	patience time.Duration
	times    int
	began    time.Time
}

func newSpin(patience time.Duration) spin { return spin{patience: patience} }

// again reports whether to check once more. It reads the clock rarely.
func (s *spin) again() bool {
	const rarely = 1 << 10
	if s.times++; s.times%rarely != 0 {
		return s.patience > 0
	}
	if s.times == rarely {
		s.began = time.Now()
	}
	runtime.Gosched() // other goroutines, such as a server's, may need the processor
	return time.Since(s.began) < s.patience
}

// Barrier waits until every worker of the job has called it. Each worker then
// sees the values that the others wrote before.
func (w *Worker) Barrier() { w.team.barrier.wait() }

// Range returns the worker's part lo … hi-1 of n items. Parts are whole groups of
// grain items; the last group of all may be shorter. A part may be empty.
func (w *Worker) Range(n, grain int) (lo, hi int) {
	groups := (n + grain - 1) / grain
	return min(n, groups*w.ID/w.Size*grain), min(n, groups*(w.ID+1)/w.Size*grain)
}

// worthwhile is the work that calls for one more worker: 1 µs of products with
// AVX-512, 100 µs in plain Go.
const worthwhile = 1 << 16

const (
	// awake is the time for which a worker at a barrier spins before it sleeps. A
	// thread takes about 100 µs to wake: a worker that has slept makes the others
	// wait until they sleep too.
	awake = 200 * time.Microsecond
	// linger is the time for which a worker spins for the next job before it ends.
	linger = 400 * time.Microsecond
)

// A barrier lets size goroutines wait for each other, again and again.
type barrier struct {
	size    int32
	arrived atomic.Int32
	passed  atomic.Uint32 // the number of times that all have arrived
	mu      sync.Mutex
	cond    sync.Cond
}

func (b *barrier) wait() {
	size := b.size // read first: the next job may change it once all have arrived
	if size == 1 {
		return
	}
	passed := b.passed.Load()
	if b.arrived.Add(1) == size {
		b.arrived.Store(0)
		b.mu.Lock()
		b.passed.Add(1)
		b.cond.Broadcast()
		b.mu.Unlock()
		return
	}
	if int(size) <= runtime.NumCPU() { // with more workers than processors, a late worker may need this one
		for s := newSpin(awake); s.again(); {
			if b.passed.Load() != passed {
				return
			}
		}
	}
	b.mu.Lock()
	for b.passed.Load() == passed {
		b.cond.Wait()
	}
	b.mu.Unlock()
}
