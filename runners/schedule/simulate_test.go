package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// A world is a store, the rounds that ran in it, two places where schedulers start, work
// and die, and an orchestrator that asks for slots, again and again. Everything happens
// in the virtual time of a synctest bubble.
type world struct {
	t    *testing.T
	dir  string
	o    Options
	base time.Duration // wall clocks minus the bubble's clock
	end  time.Time     // on a true clock

	opening sync.Mutex

	mu        sync.Mutex
	r         *rand.Rand
	running   int
	done      map[string]bool
	worked    map[string]int // by slot
	again     map[string]int // times that a slot was asked to run again
	asked     map[string]int // answers of the orchestrator's, by kind
	crashes   int
	takeovers int
	jumps     int
}

var errCrash = errors.New("the machine is gone")

// between returns a random time.
func (w *world) between(lo, hi time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return lo + time.Duration(w.r.Int64N(int64(hi-lo)))
}

func (w *world) chance(of int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.r.IntN(of) == 0
}

func (w *world) true() time.Time { return time.Now().Add(w.base) }

// exit is how the rounds of a slot end: one in seven fails.
func exit(slot time.Time) string {
	if slot.Unix()/60%7 == 0 {
		return "failed"
	}
	return ""
}

// round works for some minutes, mostly less than a slot, unless it was done.
func (w *world) round(ctx context.Context, slot time.Time, after string) (Outcome, error) {
	w.mu.Lock()
	id := ID(slot) + after
	out := Outcome{Round: "round of " + id, Exit: exit(slot)}
	if w.running++; w.running > 1 {
		w.t.Errorf("slot %s: %d rounds run at a time", id, w.running)
	}
	done := w.done[id]
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running--
		w.mu.Unlock()
	}()
	if done {
		return out, nil
	}
	length := w.between(time.Minute, 10*time.Minute)
	if w.chance(10) {
		length *= 5
	}
	if err := store.Wait(ctx, length); err != nil {
		return Outcome{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done[id] = true
	w.worked[ID(slot)]++
	return out, nil
}

// orchestrate asks for slots until the end of the world: for the last one, for one that
// it has asked for before, for one that has not come, or for one to run again. Its clock
// is right. It waits as long as it has to.
func (w *world) orchestrate() {
	ctx, stop := context.WithDeadline(context.Background(), time.Now().Add(w.end.Sub(w.true())))
	defer stop()
	w.opening.Lock()
	st, err := store.Open(ctx, w.dir)
	w.opening.Unlock()
	if err != nil {
		w.t.Error(err)
		return
	}
	defer st.Close()
	o := w.o
	o.Holder, o.Now = "orchestrator", w.true
	for store.Wait(ctx, w.between(time.Minute, 2*time.Hour)) == nil {
		s := New(st.OnMachine(fmt.Sprintf("pod of %v", w.true())), o)
		slot, again, kind := s.Last(), false, "last"
		switch w.between(0, 6) {
		case 0:
			slot, kind = w.o.Timetable.Last(slot.Add(-w.between(time.Second, 10*time.Hour))), "older"
		case 1:
			slot, kind = w.o.Timetable.Next(w.true().Add(w.between(0, 100*time.Hour))), "future"
		case 2:
			again, kind = true, "again"
			w.mu.Lock()
			w.again[ID(slot)]++
			w.mu.Unlock()
		}
		r, err := s.Once(ctx, slot, again, w.round)
		var future *FutureError
		if errors.As(err, &future) != (kind == "future") {
			w.t.Errorf("%s slot %s: %+v, %v", kind, ID(slot), r, err)
		}
		if r != nil && r.Round != "" && r.Exit != exit(slot) || r != nil && r.Slot != ID(slot) {
			w.t.Errorf("%s slot %s: %+v, want exit %q", kind, ID(slot), r, exit(slot))
		}
		if ctx.Err() == nil && err != nil && kind != "future" && !errors.Is(err, context.DeadlineExceeded) {
			w.t.Errorf("%s slot %s: %v", kind, ID(slot), err)
		}
		w.mu.Lock()
		w.asked[kind]++
		w.mu.Unlock()
	}
}

// life is one scheduler on a machine, from its start to its death, or to the end of
// the world.
func (w *world) life(name, machine string) {
	ctx, stop := context.WithDeadline(context.Background(), time.Now().Add(w.end.Sub(w.true())))
	defer stop()
	ctx, die := context.WithCancelCause(ctx)
	defer die(nil)
	// One in three lives ends by a store operation, others by the clock.
	left, cut := int(w.between(5, 3000)), time.Time{}
	var dead bool
	var mu sync.Mutex
	fault := func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if left--; left == 0 {
			if w.chance(3) {
				cut = time.Now().Add(w.between(20*time.Second, 3*time.Minute)) // the network, for a while
			} else {
				dead = true
				die(errCrash)
			}
		}
		if dead || time.Now().Before(cut) {
			return errCrash
		}
		return nil
	}
	w.opening.Lock() // the faults to come are one for the process
	restore := store.InjectFaults(fault)
	st, err := store.Open(ctx, w.dir)
	restore()
	w.opening.Unlock()
	if err != nil {
		w.t.Error(err)
		return
	}
	defer st.Close()
	time.AfterFunc(w.between(time.Hour, 48*time.Hour), func() {
		mu.Lock()
		defer mu.Unlock()
		dead = true
		die(errCrash)
	})
	offset := time.Duration(0)
	var clock sync.Mutex
	jump := time.NewTicker(w.between(time.Hour, 20*time.Hour))
	defer jump.Stop()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-jump.C:
				clock.Lock()
				offset = []time.Duration{0, time.Hour, -time.Hour, 0, 7 * time.Second, 50 * time.Hour, 5 * 365 * 24 * time.Hour}[w.between(0, 7)]
				far := offset > time.Hour
				clock.Unlock()
				w.count(&w.jumps)
				if far && store.Wait(ctx, 2*time.Minute) == nil { // somebody has seen it
					clock.Lock()
					offset = 0
					clock.Unlock()
				}
			}
		}
	}()
	o := w.o
	o.Holder = name
	o.Now = func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return w.true().Add(offset)
	}
	o.Log = func(format string, args ...any) {
		if strings.Contains(fmt.Sprintf(format, args...), "taking over") {
			w.count(&w.takeovers)
		}
	}
	New(st.OnMachine(machine), o).Run(ctx, w.round)
	if dead {
		w.count(&w.crashes)
	}
}

func (w *world) count(n *int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*n++
}

// memory returns a folder in memory, where there is such a file system: here time
// is virtual, and a disk's is not.
func memory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "schedule")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// simulate runs the next n slots of a timetable, then checks the record of each.
func simulate(t *testing.T, seed uint64, n int, o Options, begin time.Time) {
	dir := memory(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, o: o, base: time.Until(begin),
			r: rand.New(rand.NewPCG(seed, 1)), done: map[string]bool{}, worked: map[string]int{},
			again: map[string]int{}, asked: map[string]int{}}
		w.end = begin
		for range n {
			w.end = o.Timetable.Next(w.end)
		}
		w.end = w.end.Add(2 * time.Hour) // the last ones end, also those of a slow clock
		var places sync.WaitGroup
		for place := range 2 {
			places.Go(func() {
				for life := 0; w.true().Before(w.end); life++ {
					w.life(fmt.Sprintf("scheduler %d.%d", place, life), fmt.Sprintf("start %d of machine %d", life/2, place))
					time.Sleep(w.between(time.Second, 40*time.Minute))
				}
			})
		}
		places.Go(w.orchestrate)
		places.Wait()
		synctest.Wait()
		w.check(begin, n)
	})
}

// check holds that every slot has a record, and that the record is true.
func (w *world) check(begin time.Time, n int) {
	st, err := store.Open(w.t.Context(), w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	defer st.Close()
	ran, skipped := 0, map[string]int{}
	slot, first := w.o.Timetable.Next(begin), true
	for range n {
		r, _, err := readRecord(w.t.Context(), st, slot)
		switch worked := w.worked[ID(slot)]; {
		case errors.Is(err, store.ErrNotExist) && first: // before the first scheduler looked
		case err != nil:
			w.t.Errorf("slot %s: %v", ID(slot), err)
		case r.Status == Ran && 1 <= worked && worked <= 1+w.again[ID(slot)] && strings.HasPrefix(r.Round, "round of "+ID(slot)) && r.Exit == exit(slot):
			ran++
		case r.Status == Skipped && worked == 0 && r.Reason != "":
			kind, _, _ := strings.Cut(r.Reason, ":")
			skipped[kind]++
		default:
			w.t.Errorf("slot %s worked %d times, its record is %+v", ID(slot), worked, r)
		}
		first = first && err != nil
		slot = w.o.Timetable.Next(slot)
	}
	w.t.Logf("%d slots: %d ran, skipped %v; %d crashes, %d takeovers, %d clock jumps; asked for %v", n, ran, skipped, w.crashes, w.takeovers, w.jumps, w.asked)
	if ran < n/2 {
		w.t.Errorf("only %d of %d slots ran", ran, n)
	}
}

// TestSlots is some days around a change of the clocks; the whole is TestSoakSlots.
func TestSlots(t *testing.T) {
	for seed, policy := range [][2]string{{"skip", "latest"}, {"buffer_one", "none"}} {
		table := timetable(t, "*/15 * * * *", "Europe/Berlin")
		simulate(t, uint64(seed), 200, Options{Timetable: table, Overlap: policy[0], CatchUp: policy[1]}, at(t, "2026-03-28T00:00:00Z"))
	}
}
