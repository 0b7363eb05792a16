package bundle

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOrder gives work of different lengths: results come in its order, each
// once, and no more than GOMAXPROCS run at a time.
func TestOrder(t *testing.T) {
	for _, procs := range []int{1, 2, 8} {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		var g Group[int]
		for range 2 { // bundles
			var got []int
			var busy, most atomic.Int64
			g.Begin(t.Context())
			for i := range 200 {
				done, err := g.Do(func(context.Context) (int, error) {
					n := busy.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					time.Sleep(time.Duration(i*37%11) * 20 * time.Microsecond)
					busy.Add(-1)
					return i, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, done...)
			}
			rest, err := g.Finish()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rest...)
			if len(got) != 200 || !slices.IsSorted(got) || got[199] != 199 || most.Load() > int64(procs) {
				t.Errorf("%d processors: %d at a time, %d results", procs, most.Load(), len(got))
			}
		}
	}
}

// TestSlowHead gives 100 pieces of work, the first of which does not end: Do waits with
// 4 results a core, and all come in order once the first ends.
func TestSlowHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		head, begun, got := make(chan struct{}), 0, []int{}
		go func() {
			grouped(t, 100, &got, func() { begun++ }, func(i int) {
				if i == 0 {
					<-head
				}
			})
		}()
		synctest.Wait()
		if begun != 9 || len(got) != 0 { // 8 are held, the 9th is not taken
			t.Errorf("behind the first piece, %d were given and %d returned; want 9 and 0", begun, len(got))
		}
		close(head)
		synctest.Wait()
		if len(got) != 100 || !slices.IsSorted(got) || got[99] != 99 {
			t.Errorf("the results are %v", got)
		}
	})
}

// grouped gives n pieces of work to a group, each after a call of given, and appends their
// numbers to got as the group returns them.
func grouped(t *testing.T, n int, got *[]int, given func(), work func(i int)) {
	var g Group[int]
	g.Begin(t.Context())
	for i := range n {
		given()
		done, err := g.Do(func(context.Context) (int, error) {
			work(i)
			return i, nil
		})
		if err != nil {
			t.Error(err)
		}
		*got = append(*got, done...)
	}
	rest, err := g.Finish()
	if err != nil {
		t.Error(err)
	}
	*got = append(*got, rest...)
}

// TestWait gives work that waits: 4 pieces leave their core to others, more do not.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
		end := make(chan struct{})
		var begun atomic.Int64
		var got []int
		for range 2 { // a piece that has waited is no longer counted
			go func() {
				grouped(t, 8, &got, func() {}, func(int) {
					begun.Add(1)
					Wait(func() { <-end })
				})
			}()
			synctest.Wait()
			if n := begun.Swap(0); n != maxWaiting+2 {
				t.Errorf("%d pieces began, want 4 without a core and 2 with one", n)
			}
			close(end)
			synctest.Wait()
			if n := begun.Swap(0); n != 2 || !slices.Equal(got, []int{0, 1, 2, 3, 4, 5, 6, 7}) {
				t.Errorf("%d pieces more, got %v", n, got)
			}
			end, got = make(chan struct{}), nil
		}
	})
}

// TestForgets: a group keeps no result that it has returned.
func TestForgets(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(3))
	var g Group[int]
	g.Begin(t.Context())
	head := make(chan struct{})
	for range 3 {
		if got, err := g.Do(func(context.Context) (int, error) { <-head; return 1, nil }); err != nil || len(got) > 0 {
			t.Fatal(got, err)
		}
	}
	all := g.work
	close(head)
	got, err := g.Finish()
	if err != nil || len(got) != 3 || slices.ContainsFunc(all, func(w *work[int]) bool { return w != nil }) {
		t.Errorf("of %v, %v is kept; %v", got, all, err)
	}
}

// TestError lets two of many fail: the error is that of the earlier one, and no
// work goes on after it was returned.
func TestError(t *testing.T) {
	var g Group[int]
	for range 50 {
		g.Begin(t.Context())
		var busy atomic.Int64
		var err error
		for i := 0; err == nil && i < 100; i++ {
			_, err = g.Do(func(ctx context.Context) (int, error) {
				busy.Add(1)
				defer busy.Add(-1)
				if i == 10 {
					time.Sleep(time.Millisecond)
				}
				if i == 10 || i == 11 {
					return 0, fmt.Errorf("element %d", i)
				}
				return i, ctx.Err()
			})
		}
		if err == nil {
			_, err = g.Finish()
		}
		if err == nil || err.Error() != "element 10" {
			t.Fatalf("got %v", err)
		}
		if n := busy.Load(); n != 0 {
			t.Fatalf("%d go on", n)
		}
	}
}

// TestStop abandons a bundle: its work sees that, and the next bundle has none of
// its results.
func TestStop(t *testing.T) {
	var g Group[string]
	g.Stop() // of nothing
	g.Begin(t.Context())
	seen := make(chan error, 1)
	if _, err := g.Do(func(ctx context.Context) (string, error) {
		<-ctx.Done()
		seen <- ctx.Err()
		return "old", nil
	}); err != nil {
		t.Fatal(err)
	}
	g.Begin(t.Context())
	if err := <-seen; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, err := g.Finish(); len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestFailedDo fails a piece of work: the next piece is not begun, and Do returns
// the error.
func TestFailedDo(t *testing.T) {
	var g Group[int]
	g.Begin(t.Context())
	defer g.Stop()
	if _, err := g.Do(func(context.Context) (int, error) { return 0, errors.New("bad") }); err != nil && err.Error() != "bad" {
		t.Fatal(err)
	}
	for _, w := range g.work {
		<-w.done
	}
	begun := false
	_, err := g.Do(func(context.Context) (int, error) { begun = true; return 1, nil })
	g.Stop()
	if begun || err == nil || err.Error() != "bad" {
		t.Errorf("begun %v, %v", begun, err)
	}
}

// TestPool takes, gives back and empties: no value is in two hands.
func TestPool(t *testing.T) {
	var p Pool[int]
	a, b := p.Take(), p.Take()
	if a == b {
		t.Fatal("one value was taken twice")
	}
	p.Put(a)
	if got := p.Take(); got != a {
		t.Error("a free value was not taken")
	}
	if got := p.Take(); got == a || got == b {
		t.Error("a value was taken twice")
	}
	p.Put(a)
	p.Put(b)
	if all := p.Empty(); !slices.Equal(all, []*int{a, b}) {
		t.Errorf("Empty returned %d values, want both", len(all))
	}
	if all := p.Empty(); len(all) != 0 {
		t.Errorf("%d values are left", len(all))
	}
}

// TestFinishStops fails a piece of work while a later one waits for its context: the
// later one has ended when Finish returns.
func TestFinishStops(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	var g Group[int]
	g.Begin(t.Context())
	fail, ended := make(chan struct{}), new(atomic.Bool)
	for _, f := range []func(context.Context) (int, error){
		func(context.Context) (int, error) { <-fail; return 0, errors.New("bad") },
		func(ctx context.Context) (int, error) { <-ctx.Done(); ended.Store(true); return 0, ctx.Err() },
	} {
		if _, err := g.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	close(fail)
	_, err := g.Finish()
	if err == nil || err.Error() != "bad" || !ended.Load() {
		t.Errorf("got %v, ended %v", err, ended.Load())
	}
	g.Stop()
}
