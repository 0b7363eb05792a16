package store

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

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
		"free: an earlier process of my PID":     {PID: os.Getpid(), Machine: machine(), Process: "of an earlier version", Until: later},
		"free: a forgotten lease":                {PID: os.Getpid(), Machine: machine(), Until: later},
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

// TestReadHolder: a reader of a lease knows who holds it, since when, and the last sign of life,
// that a killed holder is dead, and that a released lease is free.
func TestReadHolder(t *testing.T) {
	s := mustOpen(t, t.TempDir())
	if _, _, err := ReadHolder(ctx, s, "run.json", nil); !errors.Is(err, ErrNotExist) {
		t.Fatalf("without the object: %v", err)
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	l, err := Acquire(ctx, s, "run.json", &LeaseOptions{Time: 20 * time.Second, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	began := now
	now = now.Add(15 * time.Second)
	if err := l.Commit(ctx, record{7}); err != nil {
		t.Fatal(err)
	}
	var got record
	h, generation, err := ReadHolder(ctx, s, "run.json", &got)
	if err != nil || generation == "" || got.N != 7 {
		t.Fatalf("value %v, generation %q, %v", got, generation, err)
	}
	host, _ := os.Hostname()
	want := Holding{Host: host, PID: os.Getpid(), Since: began, Renewed: now, Until: now.Add(20 * time.Second), Length: 20 * time.Second}
	if *h != want {
		t.Errorf("the holder is %+v, want %+v", *h, want)
	}
	live.Delete(l.self.ID) // as after the process has ended
	if h, _, err = ReadHolder(ctx, s, "run.json", &got); err != nil || !h.Dead {
		t.Errorf("after its end the holder is %+v, %v", h, err)
	}
	live.Store(l.self.ID, true)
	if err := l.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if h, _, err = ReadHolder(ctx, s, "run.json", &got); h != nil || err != nil {
		t.Errorf("the released lease has the holder %+v, %v", h, err)
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

// TestFailedAcquireAndRelease: a write of Acquire or Release may fail and leave the object
// with this process as holder. The lease is free at once: this process does not have it.
func TestFailedAcquireAndRelease(t *testing.T) {
	fails := ""
	s := failing(t, func(op, name string) error {
		if op == fails {
			return errors.New("broken")
		}
		return nil
	})
	free := func(what string) *Lease {
		t.Helper()
		if found, _, err := readLeased(ctx, s, "run.json"); err != nil || found.Holder == nil || found.Holder.PID != os.Getpid() {
			t.Fatalf("%s: the object is %+v, %v, want this process as holder", what, found, err)
		}
		return mustAcquire(t, s)
	}
	fails = "close" // after the link
	if _, err := Acquire(ctx, s, "run.json", nil); err == nil {
		t.Fatal("acquired")
	}
	fails = ""
	l := free("acquire")
	fails = "remove"
	if err := l.Release(ctx); err == nil {
		t.Fatal("released")
	}
	fails = ""
	if err := free("release").Release(ctx); err != nil {
		t.Error(err)
	}
}
