package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Team runs jobs on as many goroutines as GOMAXPROCS allows. They meet at
// barriers inside a job, which may be a whole pass over a batch, and stay awake
// for the next job if it comes soon: the jobs of a training step follow each
// other faster than a sleeping thread wakes. After that they end by themselves.
// A Team keeps the workers' memory from job to job; it runs one job at a time.
type Team struct {
	workers []*Worker
	size    int
	job     func(*Worker)
	barrier barrier

	product product // of the Gemm that runs
	gemm    func(*Worker)
}

// A Worker is one goroutine's part in a job.
type Worker struct {
	ID, Size int // 0 … Size-1 of Size
	team     *Team
	live     func()
	state    atomic.Int32
	a, b     []float32 // packed pieces of a product
	edge     []float32 // one tile of c
}

// The states of a worker's goroutine.
const (
	gone    = iota // there is none
	waiting        // it has done its job, or is about to have, and looks for the next
	called         // it has a job
)

// NewTeam returns a team.
func NewTeam() *Team {
	t := &Team{}
	t.barrier.cond.L = &t.barrier.mu
	t.gemm = func(w *Worker) { t.product.share(w) }
	return t
}

// Run calls job once on every worker and returns when all are done. work is
// about how many multiplications, or values, there are between two barriers: for
// little of it there are fewer workers. Job must compute each value from the
// inputs alone: how many workers there are, and so how the work is divided, is
// not defined.
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

// run does jobs until none comes for a while.
func (w *Worker) run() {
	for {
		w.team.job(w)
		patience := time.Duration(0)
		if w.Size <= runtime.NumCPU() {
			patience = linger
		}
		w.state.Store(waiting)
		w.Barrier()
		for look := newLook(patience); w.state.Load() == waiting; {
			if !look.again() && w.state.CompareAndSwap(waiting, gone) {
				return
			}
		}
	}
}

// A look says how long to go on looking for something without sleeping.
type look struct {
	patience time.Duration
	times    int
	began    time.Time
}

func newLook(patience time.Duration) look { return look{patience: patience} }

// again reports whether to look once more. Only now and then does it ask for
// the time.
func (l *look) again() bool {
	const rarely = 1 << 10
	if l.times++; l.times%rarely != 0 {
		return l.patience > 0
	}
	if l.times == rarely {
		l.began = time.Now()
	}
	return time.Since(l.began) < l.patience
}

// Barrier waits until every worker of the job is there. What they wrote before
// it can be read after it.
func (w *Worker) Barrier() { w.team.barrier.wait() }

// Range returns the worker's part lo … hi-1 of n items, in whole groups of
// grain items but for the last.
func (w *Worker) Range(n, grain int) (lo, hi int) {
	groups := (n + grain - 1) / grain
	return min(n, groups*w.ID/w.Size*grain), min(n, groups*(w.ID+1)/w.Size*grain)
}

// worthwhile is the work for which one more worker is called: a µs of products
// with AVX-512, 100 µs in plain Go.
const worthwhile = 1 << 16

const (
	// awake is how long a worker at a barrier looks before it sleeps. A thread
	// takes about 100 µs to wake up, and one that has slept makes the others
	// wait so long that they sleep too.
	awake = 200 * time.Microsecond
	// linger is how long a worker looks for the next job before it ends.
	linger = 400 * time.Microsecond
)

// A barrier lets size goroutines wait for each other, again and again.
type barrier struct {
	size    int32
	arrived atomic.Int32
	passed  atomic.Uint32 // counts the times that all had arrived
	mu      sync.Mutex
	cond    sync.Cond
}

func (b *barrier) wait() {
	size := b.size // once that all have arrived it may change for the next job
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
	if int(size) <= runtime.NumCPU() { // else the one waited for may want this processor
		for look := newLook(awake); look.again(); {
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
