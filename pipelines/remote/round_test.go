package remote_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/runners/store"
)

// TestRound: a round whose stages run on another machine leaves the bytes of one here, and
// says where they run.
func TestRound(t *testing.T) {
	h := newHost(t)
	here := newLab(t, 1, nil)
	here.ok("run")
	there := newLab(t, 1, h.launch, "stages: [train, evaluate]")
	plan := there.ok("plan").stdout.String()
	if want := " on ssh -F "; strings.Count(plan, want) != 2 {
		t.Errorf("the plan does not say twice where:\n%s", plan)
	}
	o := there.ok("run", "--json")
	said := o.stderr.String()
	for _, want := range []string{"node: asks ssh -F ", " answers: ", "train: on ssh -F ", "train: epoch 1: training loss", "evaluate: on ssh -F "} {
		if !strings.Contains(said, want) {
			t.Errorf("the round does not say %q:\n%s", want, said)
		}
	}
	var result map[string]any
	if err := json.Unmarshal(o.stdout.Bytes(), &result); err != nil || result["promoted"] == "" {
		t.Errorf("the result is %s, %v", o.stdout.String(), err)
	}
	same(t, there.made(), here.made())
	if again := there.ok("run").stderr.String(); strings.Contains(again, "asks") || !strings.Contains(again, "train     nothing to do") {
		t.Errorf("a round with nothing to do:\n%s", again)
	}
}

// training returns the process that holds the run of the lab's workdir, 0 where none does,
// and the step of its last checkpoint.
func (l *lab) training() (pid int, step int64) {
	names, _ := filepath.Glob(filepath.Join(l.work, "runs", "*"))
	for _, name := range names {
		st, err := store.Open(l.t.Context(), name)
		if err != nil {
			continue
		}
		s, err := run.ReadState(l.t.Context(), st)
		st.Close()
		if err == nil && s.Holder != nil && !s.Holder.Dead {
			return s.Holder.PID, s.Latest.Step
		}
	}
	return 0, 0
}

// trainer is the process that trains; 0: none does.
func (l *lab) trainer() int {
	pid, _ := l.training()
	return pid
}

// client returns a process that another has started, such as its ssh; 0: there is none.
func client(parent int) int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			return pid
		}
	}
	return 0
}

// TestKilled ends, at random moments, the process that asks for a training, its ssh, and the
// training itself, by SIGKILL. The round has the bytes of one here that was left alone.
func TestKilled(t *testing.T) {
	if !exists("/proc/self/stat") {
		t.Skip("there is no /proc, in which the processes are found")
	}
	kills, epochs := 4, 16
	if soak {
		kills, epochs = 20, 60
	}
	steps := 306 * epochs
	h := newHost(t)
	here := newLab(t, epochs, nil)
	here.ok("run")
	want := here.made()
	l := newLab(t, epochs, h.launch)
	random := rand.New(rand.NewPCG(16, uint64(kills)))
	count := map[string]int{}
	s := l.start("run")
	for n := 0; n < kills; {
		_ = store.Wait(t.Context(), time.Duration(random.IntN(60))*time.Millisecond)
		if done(s) && asked(s) {
			s = l.start("run")
		} else if done(s) {
			t.Fatalf("the round ended after %d of %d kills: exit code %d: %s", n, kills, s.ProcessState.ExitCode(), s.stderr.String())
		}
		// The kills are spread over two thirds of the steps, so that no machine is too fast for them.
		trainer, step := l.training()
		if trainer == 0 || step < int64(steps*2/3*n/kills) {
			continue
		}
		victim, name := trainer, "trainer"
		switch random.IntN(3) {
		case 0:
			victim, name = s.Process.Pid, "submitter"
		case 1:
			if victim, name = client(s.Process.Pid), "ssh"; victim == 0 {
				continue // it follows the run by its files
			}
		}
		if syscall.Kill(victim, syscall.SIGKILL) != nil {
			continue
		}
		n++
		count[name]++
		if name == "submitter" {
			_ = s.end()
			s = l.start("run")
		}
	}
	code := s.end()
	if asked(s) {
		s = l.start("run")
		code = s.end()
	}
	if code != 0 {
		t.Fatalf("the round ends with exit code %d: %s", code, s.stderr.String())
	}
	same(t, l.made(), want)
	t.Logf("killed: %v", count)
}

// asked reports whether a session has ended because the ssh was killed by which it asked the
// node whether it can run stages.
func asked(s *session) bool {
	return s.ProcessState.ExitCode() == 1 && strings.Contains(s.stderr.String(), ": it does not answer; try it by hand")
}

// done reports whether a session has ended, without waiting for it.
func done(s *session) bool {
	if s.ProcessState != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Process.Pid))
	if err != nil || strings.Contains(string(stat), ") Z ") {
		_ = s.end()
		return true
	}
	return false
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("in two minutes it did not come to this: %s", what)
		}
		_ = store.Wait(t.Context(), 10*time.Millisecond)
	}
}

// TestFollowed: the machine that asked for a training dies, and the training goes on. The
// next round says who trains and how far, and ends with what that training makes.
func TestFollowed(t *testing.T) {
	h := newHost(t)
	l := newLab(t, 12, h.launch)
	s := l.start("run")
	trainer := 0
	until(t, "somebody trains", func() bool { trainer = l.trainer(); return trainer != 0 })
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.end()
	said := l.ok("run").stderr.String()
	for _, want := range []string{fmt.Sprintf("process %d on ", trainer), "holds the lease until", " trains this run: step ", " of 3672",
		"train: has ended at step"} {
		if !strings.Contains(said, want) {
			t.Errorf("the next round does not say %q:\n%s", want, said)
		}
	}
}

// TestInterrupted: SIGTERM goes through to the training, which saves; the exit code is 75,
// and nobody trains any more. The next round goes on.
func TestInterrupted(t *testing.T) {
	h := newHost(t)
	here := newLab(t, 12, nil)
	here.ok("run")
	l := newLab(t, 12, h.launch)
	s := l.start("run")
	until(t, "it has a checkpoint", func() bool {
		names, _ := filepath.Glob(filepath.Join(l.work, "runs", "*", "latest.json"))
		return len(names) > 0
	})
	trainer := l.trainer()
	if trainer == 0 { // a signal for 0 would reach this process
		t.Fatal("the training is over")
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.end(); code != 75 || !strings.Contains(s.stderr.String(), "quire: interrupted; what is finished is saved") {
		t.Fatalf("exit code %d: %s", code, s.stderr.String())
	}
	if l.trainer() != 0 || syscall.Kill(trainer, 0) == nil {
		t.Errorf("process %d trains on", trainer)
	}
	if said := l.ok("run").stderr.String(); !strings.Contains(said, "train: goes on at step ") {
		t.Errorf("the next round begins from zero:\n%s", said)
	}
	same(t, l.made(), here.made())
}

// TestStoppedThere: what a training says of its end there counts here: exit code and message.
func TestStoppedThere(t *testing.T) {
	h := newHost(t)
	l := newLab(t, 12, h.launch)
	s := l.start("run")
	trainer := 0
	until(t, "somebody trains", func() bool { trainer = l.trainer(); return trainer != 0 })
	if err := syscall.Kill(trainer, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.end(); code != 75 || !strings.Contains(s.stderr.String(), "was told to stop there") {
		t.Errorf("exit code %d: %s", code, s.stderr.String())
	}
	diverges := newLab(t, 2, h.launch)
	d := diverges.start("run", "--set", "train.lr=10", "--set", "train.weight_decay=10")
	code, said := d.end(), d.stderr.String()
	if last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]; code != 1 || !strings.HasPrefix(last, "quire: train: step ") ||
		strings.Count(last, "use a smaller train.lr") != 1 {
		t.Errorf("a training that diverges there ends with exit code %d: %s", code, last)
	}
}
