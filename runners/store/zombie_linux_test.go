package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestZombie: a process that has ended, and whose parent has not asked how, holds nothing.
// While it lives, it does, whatever its name.
func TestZombie(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Skip(err)
	}
	odd := filepath.Join(t.TempDir(), "a) Z (b")
	data, err := os.ReadFile(cat)
	if err == nil {
		err = os.WriteFile(odd, data, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(odd)
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	h := holder{ID: "id", Host: "host", PID: c.Process.Pid, Machine: machine(), Until: time.Now().Add(leaseTime)}
	s := mustOpen(t, t.TempDir())
	hold := func() {
		t.Helper()
		data, err := MarshalSealed(leased{Format: leaseFormat, Holder: &h, Value: []byte("null")})
		if err == nil {
			err = s.Replace(ctx, "run.json", data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hold()
	if _, err := Acquire(ctx, s, "run.json", nil); !errors.As(err, new(*HeldError)) {
		t.Errorf("a living process: %v", err)
	}
	in.Close()
	if err := unix.Waitid(unix.P_PID, c.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	l, err := Acquire(ctx, s, "run.json", nil)
	if err != nil {
		t.Fatalf("a zombie: %v", err)
	}
	if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
}

func TestStateOf(t *testing.T) {
	for stat, want := range map[string]byte{
		"2300 (quire) S 1 2300": 'S', "7 (a) Z (b) R 1": 'R', "7 (x) S) Z 1": 'Z', "7 (two words) X 1": 'X', "7 () Z 1": 'Z',
		"": 0, "7": 0, "7 (quire": 0, "7 (quire)": 0, "7 (quire) ": 0,
	} {
		if got := stateOf([]byte(stat)); got != want {
			t.Errorf("%q: %q, want %q", stat, got, want)
		}
	}
}
