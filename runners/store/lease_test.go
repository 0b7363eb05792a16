package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// record is the value of a lease in these tests.
type record struct{ N int }

func mustAcquire(t *testing.T, s *Store) *Lease {
	t.Helper()
	l, err := Acquire(ctx, s, "run.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sleeper returns a short lease that has expired: its holder sleeps, and renews it no
// more.
func sleeper(t *testing.T, s *Store) *Lease {
	t.Helper()
	ago := func() time.Time { return time.Now().Add(-time.Hour) }
	l, err := Acquire(ctx, s, "run.json", &LeaseOptions{Time: 100 * time.Millisecond, Now: ago})
	if err != nil {
		t.Fatal(err)
	}
	l.stop()
	l.beaten.Wait()
	l.time = leaseTime // for the deadline of a renewal
	if err := l.Commit(ctx, record{1}); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLease(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		a := mustAcquire(t, s)
		var got record
		if err := a.Value(&got); err != nil || got.N != 0 {
			t.Fatalf("a new value is %v, %v", got, err)
		}
		var held *HeldError
		if _, err := Acquire(ctx, s, "run.json", nil); !errors.As(err, &held) || held.PID != os.Getpid() || time.Until(held.Until) > leaseTime ||
			!strings.Contains(err.Error(), s.Join("run.json")+": process ") {
			t.Fatalf("a second holder: %v", err)
		}
		if err := a.Commit(ctx, record{7}); err != nil {
			t.Fatal(err)
		}
		if !a.renew(ctx) || a.Err() != nil {
			t.Fatalf("renewal: %v", a.Err())
		}
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || !held || got.N != 7 {
			t.Fatalf("read %v, held %v, %v", got, held, err)
		}
		if err := a.Release(ctx); err != nil {
			t.Fatal(err)
		}
		if err := a.Commit(ctx, record{8}); !errors.Is(err, ErrLost) {
			t.Errorf("commit after release: %v", err)
		}
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held || got.N != 7 {
			t.Fatalf("released: read %v, held %v, %v", got, held, err)
		}
		b := mustAcquire(t, s)
		if err := errors.Join(b.Value(&got), b.Commit(ctx, nil), b.Release(ctx)); err != nil || got.N != 7 {
			t.Fatalf("the next holder reads %v, %v", got, err)
		}
		if _, err := s.Stat(ctx, "run.json"); !errors.Is(err, ErrNotExist) {
			t.Errorf("without a value, the object stays: %v", err)
		}
	})
}

// TestSleeper: a holder that slept past its lease, which another has taken over,
// commits nothing, whatever became of the other.
func TestSleeper(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		for _, after := range []string{"held", "committed", "released"} {
			a := sleeper(t, s)
			held, stop := a.Hold(ctx)
			b := mustAcquire(t, s)
			if after != "held" {
				if err := b.Commit(ctx, record{1}); err != nil { // the same value
					t.Fatal(err)
				}
			}
			if after == "released" {
				if err := b.Release(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if a.renew(ctx) || !errors.Is(a.Err(), ErrConflict) {
				t.Errorf("%s: the sleeper renews: %v", after, a.Err())
			}
			if <-held.Done(); !errors.Is(context.Cause(held), ErrLost) {
				t.Errorf("%s: the sleeper's context ends with %v", after, context.Cause(held))
			}
			stop()
			if err := a.Commit(ctx, record{9}); !errors.Is(err, ErrLost) {
				t.Errorf("%s: the sleeper commits: %v", after, err)
			}
			if err := a.Release(ctx); err != nil {
				t.Errorf("%s: %v", after, err)
			}
			var got record
			if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held != (after != "released") || got.N != 1 {
				t.Errorf("%s: read %v, held %v, %v", after, got, held, err)
			}
			if after != "released" {
				if err := b.Release(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestLateRenewal: a renewal that fails is no loss before the lease's time is
// over, and one after it.
func TestLateRenewal(t *testing.T) {
	broken := false
	s := failing(t, func(op, name string) error {
		if broken && op == "rename" {
			return errors.New("broken")
		}
		return nil
	})
	l := mustAcquire(t, s)
	broken = true
	if !l.renew(ctx) {
		t.Errorf("one failed renewal: %v", l.Err())
	}
	l.renewed = time.Now().Add(-2 * leaseTime)
	if l.renew(ctx) || !errors.Is(l.Err(), ErrLost) || !strings.Contains(l.Err().Error(), "broken") {
		t.Errorf("renewals fail for long: %v", l.Err())
	}
}

// TestWriteComesThrough: a renewal that seemed to fail, but has replaced the
// object, costs nothing.
func TestWriteComesThrough(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		l := mustAcquire(t, s)
		late := func() {
			t.Helper()
			found, generation, err := readLeased(ctx, s, "run.json")
			if err != nil {
				t.Fatal(err)
			}
			found.Holder.Until = found.Holder.Until.Add(time.Second)
			data, err := MarshalSealed(found)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Swap(ctx, "run.json", data, generation); err != nil {
				t.Fatal(err)
			}
		}
		late()
		if !l.renew(ctx) {
			t.Errorf("renewal: %v", l.Err())
		}
		late()
		if err := l.Commit(ctx, record{3}); err != nil {
			t.Error(err)
		}
		late()
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
		var got record
		if held, err := ReadLeased(ctx, s, "run.json", &got); err != nil || held || got.N != 3 {
			t.Errorf("read %v, held %v, %v", got, held, err)
		}
	})
}

// TestHolderDies: what a dead process of this machine holds is free at once. The
// PID of another machine, or of another namespace here, says nothing.
func TestHolderDies(t *testing.T) {
	c, _ := startChild(t, "hang", t.TempDir())
	c.Process.Kill()
	c.Wait()
	later := time.Now().Add(leaseTime)
	boot, _, _ := strings.Cut(machine(), " ")
	for what, h := range map[string]holder{
		"free: a dead process":                   {PID: c.Process.Pid, Machine: machine(), Until: later},
		"free: an earlier process of my PID":     {PID: os.Getpid(), Machine: machine(), Process: "other", Until: later},
		"free: a forgotten lease":                {PID: os.Getpid(), Machine: machine(), Process: process, Until: later},
		"held: a living process":                 {PID: os.Getppid(), Machine: machine(), Until: later},
		"held: another namespace of PIDs":        {PID: c.Process.Pid, Machine: boot + " pid:[1]", Until: later},
		"held: another start of the machine":     {PID: c.Process.Pid, Machine: "x" + machine(), Until: later},
		"held: another machine":                  {PID: c.Process.Pid, Machine: "elsewhere", Until: later},
		"held: a machine of which nothing known": {PID: c.Process.Pid, Until: later},
		"free: its time is over":                 {PID: 1, Machine: "elsewhere", Until: time.Now().Add(-time.Second), Seconds: 0.01},
	} {
		s := mustOpen(t, t.TempDir())
		h.ID, h.Host = "id", "host"
		data, err := MarshalSealed(leased{Format: leaseFormat, Holder: &h, Value: []byte(`{"N":3}`)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, "run.json", data); err != nil {
			t.Fatal(err)
		}
		l, err := Acquire(ctx, s, "run.json", nil)
		var held *HeldError
		switch {
		case strings.HasPrefix(what, "held") && (!errors.As(err, &held) || held.Host != "host" || !held.Until.Equal(h.Until)):
			t.Errorf("%s: %v", what, err)
		case strings.HasPrefix(what, "free"):
			var got record
			if err == nil {
				err = errors.Join(l.Value(&got), l.Release(ctx))
			}
			if err != nil || got.N != 3 {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
	}
}

// TestMachine: a holder names the start of the machine and the namespace of its PID.
func TestMachine(t *testing.T) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip("no /proc: leases of dead processes expire")
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if want := strings.TrimSpace(string(boot)) + " " + namespace; err != nil || machine() != want || !strings.HasPrefix(namespace, "pid:[") {
		t.Errorf("the machine is %q, %v, want %q", machine(), err, want)
	}
}

// TestTakeover: holders on other machines, some of which died, with right and wrong
// clocks. Each case says after what time Acquire returns, and with what.
func TestTakeover(t *testing.T) {
	for _, c := range []struct {
		what  string
		clock time.Duration // of the holder, against that of the taker
		dies  bool          // at once
		wait  time.Duration // before Acquire
		held  bool          // it is an error
		takes time.Duration
	}{
		{"alive", 0, false, time.Hour, true, 0},
		{"alive, its clock behind", -time.Hour, false, time.Hour, true, leaseTime / leaseBeats},
		{"alive, its clock a little ahead", leaseTime - time.Second, false, time.Hour, true, 0},
		{"alive, its clock ahead", time.Hour, false, time.Hour, true, leaseTime / leaseBeats},
		{"dead, not expired", 0, true, leaseTime - time.Second, true, 0},
		{"dead, expired", 0, true, leaseTime, false, leaseTime},
		{"dead for long", 0, true, time.Hour, false, leaseTime},
		{"dead, its clock behind", -time.Hour, true, 0, false, leaseTime},
		{"dead, its clock years ahead", 50_000 * time.Hour, true, 0, false, leaseTime},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			s := mustOpen(t, dir)
			clock := func() time.Time { return time.Now().Add(c.clock) }
			a, err := Acquire(ctx, s.OnMachine("there"), "run.json", &LeaseOptions{Now: clock})
			if err != nil {
				t.Fatal(err)
			}
			if c.dies {
				a.stop()
			}
			time.Sleep(c.wait + time.Second/2)
			began := time.Now()
			b, err := Acquire(ctx, s, "run.json", nil)
			var held *HeldError
			took, late := time.Since(began).Round(time.Second), time.Duration(0)
			if c.held { // from the start to the next renewal, less the polls
				late = leaseTime / leaseBeats
			}
			if errors.As(err, &held) != c.held || !c.held && err != nil || took > c.takes || took < c.takes-late {
				t.Errorf("%s: %v after %v, want held %v after %v", c.what, err, took, c.held, c.takes)
			}
			if b != nil {
				err = b.Release(ctx)
			} else {
				err = nil
			}
			if err := errors.Join(err, a.Release(ctx)); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		})
	}
}

// TestWatchEnds: who watches a lease stops with the context.
func TestWatchEnds(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		a, err := Acquire(ctx, s.OnMachine("there"), "run.json", nil)
		if err != nil {
			t.Fatal(err)
		}
		a.stop()
		time.Sleep(time.Hour)
		began := time.Now()
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if _, err := Acquire(short, s, "run.json", nil); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := a.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestHold: the context of a holder that cannot renew ends before anyone may take the
// lease over; that of one that can does not.
func TestHold(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		broken := false
		s := mustOpen(t, dir).WithFaults(func(op, name string) error {
			if broken {
				return errors.New("broken")
			}
			return nil
		})
		l := mustAcquire(t, s)
		held, stop := l.Hold(ctx)
		defer stop()
		time.Sleep(time.Hour + time.Second)
		if held.Err() != nil {
			t.Errorf("after an hour of renewals: %v", context.Cause(held))
		}
		broken = true
		began := time.Now()
		<-held.Done()
		if took := time.Since(began); !errors.Is(context.Cause(held), ErrLost) || took != leaseTime*3/4-time.Second {
			t.Errorf("without the store: %v after %v", context.Cause(held), took)
		}
		broken = false
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestTaken: a holder learns by its next renewal that another has the lease.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, dir)
		l := mustAcquire(t, s)
		short, cancel := context.WithTimeout(ctx, leaseTime)
		defer cancel()
		held, stop := l.Hold(short)
		defer stop()
		data, err := MarshalSealed(leased{Format: leaseFormat, Holder: &holder{ID: "other"}, Value: []byte("null")})
		if err == nil {
			err = s.Replace(ctx, "run.json", data)
		}
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		<-held.Done()
		if took := time.Since(began); !errors.Is(context.Cause(held), ErrConflict) || took > leaseTime/leaseBeats || !errors.Is(l.Err(), ErrLost) {
			t.Errorf("%v after %v; the lease's error is %v", context.Cause(held), took, l.Err())
		}
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestRacingHolders lets many want a lease at once. Each counts in the value and
// gives up the lease; no count is lost, and never do two hold it.
func TestRacingHolders(t *testing.T) {
	conform(t, func(t *testing.T, s *Store) {
		var group sync.WaitGroup
		var mu sync.Mutex
		holding, counted := 0, 0
		for range 4 {
			group.Go(func() {
				for range 5 {
					l, err := Acquire(ctx, s, "run.json", nil)
					var held *HeldError
					if errors.As(err, &held) {
						continue
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					holding++
					if counted++; holding != 1 {
						t.Errorf("%d holders", holding)
					}
					mu.Unlock()
					var n record
					if err := l.Value(&n); err != nil {
						t.Error(err)
					}
					n.N++
					if err := l.Commit(ctx, n); err != nil {
						t.Error(err)
					}
					mu.Lock()
					holding--
					mu.Unlock()
					if err := l.Release(ctx); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		var got record
		if _, err := ReadLeased(ctx, s, "run.json", &got); err != nil || got.N != counted || counted == 0 {
			t.Errorf("counted %d, read %d, %v", counted, got.N, err)
		}
	})
}

// TestDamagedLease: a flipped byte, or a missing one, is an error with an address.
func TestDamagedLease(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	l := mustAcquire(t, s)
	if err := errors.Join(l.Commit(ctx, record{5}), l.Release(ctx)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.Join("run.json"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, bad []byte) {
		t.Helper()
		if err := os.WriteFile(s.Join("run.json"), bad, 0o666); err != nil {
			t.Fatal(err)
		}
		if l, err := Acquire(ctx, s, "run.json", nil); err == nil || !strings.Contains(err.Error(), s.Join("run.json")+": byte") {
			t.Fatalf("%s: %v, %v", what, l, err)
		}
	}
	for at := range whole {
		bad := append([]byte{}, whole...)
		bad[at] ^= 0x20
		check(fmt.Sprintf("byte %d", at), bad)
		check(fmt.Sprintf("cut at %d", at), whole[:at])
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Acquire(cancelled, mustOpen(t, t.TempDir()), "run.json", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
