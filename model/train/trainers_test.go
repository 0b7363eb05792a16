package train_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

// TestTrainers lets two to eight trainers compete for one run. A refused trainer
// tries again; some are interrupted, and some sleep while their lease expires and
// another takes it over. No two save at once, and the end is the same.
func TestTrainers(t *testing.T) {
	memory(t)
	want := wholeRun(t)
	refused, lost := 0, 0
	for trial := range sweep(8, 200) {
		r := &race{t: t, url: t.TempDir(), rand: rand.New(rand.NewPCG(uint64(trial), 3)), asleep: make(chan struct{}), taken: make(chan struct{})}
		if trial%2 == 1 {
			close(r.asleep)
		}
		var group sync.WaitGroup
		for i := range 2 + trial%7 {
			sleeps, stop := i == 0 && trial%2 == 0, r.rand.IntN(40)
			group.Go(func() {
				if !sleeps {
					<-r.asleep
				}
				r.train(sleeps, stop)
			})
		}
		group.Wait()
		if got := last(t, openStore(t, r.url)); !reflect.DeepEqual(got, want) {
			t.Errorf("trial %d: the end is %v, want %v", trial, got, want)
		}
		refused, lost = refused+int(r.refused.Load()), lost+int(r.lost.Load())
	}
	if refused == 0 || lost == 0 {
		t.Errorf("%d were refused and %d have lost their lease, want some of both", refused, lost)
	}
	t.Logf("%d were refused, %d have lost their lease", refused, lost)
}

// A race is the competition of trainers for one run.
type race struct {
	t             *testing.T
	url           string
	rand          *rand.Rand
	refused, lost atomic.Int64
	once, sleep   sync.Once
	asleep        chan struct{} // closed when the sleeper, if any, sleeps
	taken         chan struct{} // closed when another has its lease
}

// shortLease is the lease of the sleeper.
const shortLease = 40 * time.Millisecond

// errAsleep is the error of a save that was under way when the sleeper fell asleep.
var errAsleep = errors.New("asleep")

// slept lets the others begin.
func (r *race) slept() { r.sleep.Do(func() { close(r.asleep) }) }

// train trains until the run is done, with a first call that sleeps, or that is
// interrupted at a read.
func (r *race) train(sleeps bool, stop int) {
	for first := true; ; first = false {
		err := r.call(sleeps && first, first, stop)
		if sleeps {
			r.slept() // where it has lost its lease before it could
		}
		var held *store.HeldError
		switch {
		case err == nil:
			return
		case errors.As(err, &held):
			r.refused.Add(1)
			<-time.After(time.Millisecond)
		case errors.Is(err, store.ErrLost), errors.Is(err, errAsleep):
			r.lost.Add(1)
		case !errors.Is(err, train.ErrInterrupted):
			r.t.Error(err)
			return
		}
	}
}

func (r *race) call(sleeps, first bool, stop int) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	st, err := store.Open(ctx, r.url)
	if err != nil {
		return err
	}
	defer st.Close()
	var asleep atomic.Bool
	o, lease := options(), (*store.LeaseOptions)(nil)
	if sleeps {
		lease = &store.LeaseOptions{Time: shortLease}
		st = st.WithFaults(func(op, name string) error {
			if asleep.Load() && op == "create" && strings.HasSuffix(name, "run.json") {
				return errAsleep
			}
			return nil
		})
	}
	dir, err := run.Acquire(ctx, st, lease)
	if err != nil {
		return err
	}
	defer dir.Release(ctx)
	if !sleeps {
		r.once.Do(func() { close(r.taken) })
	}
	data, reads := trainData(), 0
	data.read = func(int, int64) error {
		reads++
		if sleeps && reads == 5 {
			asleep.Store(true)
			r.slept()
			<-r.taken
			asleep.Store(false)
		}
		if first && !sleeps && reads == stop {
			cancel()
		}
		return nil
	}
	_, err = train.Run(ctx, dir, data, validationData(), o, nil)
	return err
}

// TestNothingLeft: runs that end well, are interrupted, fail or are refused leave
// no goroutine and no descriptor behind.
func TestNothingLeft(t *testing.T) {
	count := func() string {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("descriptors cannot be counted here: %v", err)
		}
		return fmt.Sprintf("%d goroutines, %d descriptors", runtime.NumGoroutine(), len(open))
	}
	all := func() {
		st := openStore(t, t.TempDir())
		o := options()
		o.EverySteps = 1
		for _, end := range []error{nil, errors.New("the end"), context.Canceled} {
			ctx, cancel := context.WithCancel(context.Background())
			data := trainData()
			data.read = func(epoch int, position int64) error {
				if epoch == 2 && position == 1 && end == context.Canceled {
					cancel()
				} else if epoch == 2 && position == 1 {
					return end
				}
				return nil
			}
			runIn(ctx, st, data, validationData(), o, nil)
			cancel()
		}
		dir, err := run.Acquire(context.Background(), st, nil)
		if err != nil {
			t.Fatal(err)
		}
		runIn(context.Background(), st, trainData(), validationData(), o, nil)
		if err := dir.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		st.Close()
	}
	all()
	before := count()
	for range 3 {
		all()
	}
	after := count()
	for range 1000 { // a goroutine that has done its work may not have ended yet
		if after == before {
			break
		}
		<-time.After(10 * time.Millisecond)
		after = count()
	}
	if after != before {
		t.Errorf("%s, before were %s", after, before)
	}
}
