package command_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quire-ml/quire/runners/store"
)

// killVariable makes a child kill itself at so manieth file operation of a save, or
// on a shard.
const killVariable = "COMMAND_TEST_KILL"

// killAt lets this process die inside a save.
func killAt(nth int64) {
	var count atomic.Int64
	store.InjectFaults(func(op, name string) error {
		dir := filepath.Dir(name)
		if dir == "checkpoints" || name == "latest.json" || name == "best.json" || name == "run.json" || filepath.Ext(name) == ".tfrecord" {
			if count.Add(1) == nth {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {} // this operation does not happen
			}
		}
		return nil
	})
}

// brief makes a training of two epochs of 50 steps, saved often.
var brief = []string{"train", "--set", "train.max_steps=100", "--set", "train.batch=12", "--set", "train.checkpoint.every_steps=7"}

// An end is how a child was stopped.
type end struct {
	killed bool // else it has ended by itself
	code   int
	took   time.Duration // since it was told to
}

// stop runs a child and sends it a signal after a time.
func (l *lab) stop(c *exec.Cmd, signal os.Signal, after time.Duration) end {
	l.t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	told := make(chan time.Time, 1)
	timer := time.AfterFunc(after, func() {
		c.Process.Signal(signal)
		told <- time.Now()
	})
	c.Wait()
	e := end{killed: c.ProcessState.ExitCode() == -1, code: c.ProcessState.ExitCode()}
	if !timer.Stop() {
		e.took = time.Since(<-told)
	}
	if e.code != -1 && e.code != 0 && e.code != 75 {
		l.t.Errorf("exit code %d: %s", e.code, stderr.String())
	}
	return e
}

// TestKilledAndTerminated stops trainings by SIGKILL, half of them inside a save,
// and by SIGTERM, again and again until they are done. The last checkpoint is
// that of a training that was never stopped.
func TestKilledAndTerminated(t *testing.T) {
	kills, terms := 10, 10
	if soak {
		kills, terms = 200, 100
	}
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // a folder in memory, where syncs cost nothing
	}
	l := newLab(t)
	l.ok("prep")
	whole := filepath.Join(l.dir, "whole")
	r := l.result(trainKeys, append(brief, "--out", whole)...)
	final, began := l.read(r["checkpoint"].(string)), time.Now()
	l.finish(l.child(append(brief, "--fresh", "--out", filepath.Join(l.dir, "timed"))...))
	took := time.Since(began)
	random := rand.New(rand.NewPCG(1, 2))
	killed, inside, terminated, ends, slowest := 0, 0, 0, 0, time.Duration(0)
	for round := 0; killed+inside < kills || terminated < terms; round++ {
		after := took/4 + time.Duration(random.Int64N(int64(took)*3/4))
		switch {
		case killed+inside < kills && round%2 == 0:
			c := l.child(brief...)
			if aimed := inside <= killed; aimed {
				c.Env = append(c.Env, killVariable+"="+strconv.Itoa(1+random.IntN(60)))
				if l.stop(c, syscall.SIGKILL, time.Hour).killed {
					inside++
				}
			} else if l.stop(c, syscall.SIGKILL, after).killed {
				killed++
			}
		case terminated < terms:
			e := l.stop(l.child(brief...), syscall.SIGTERM, after)
			if e.code == 75 {
				terminated++
			}
			slowest = max(slowest, e.took)
		}
		if round%4 == 3 {
			ends++
			l.same(final, r["step"].(float64))
		}
	}
	if slowest > 10*time.Second {
		t.Errorf("a training ended %v after SIGTERM", slowest)
	}
	t.Logf("%d killed inside a save, %d elsewhere, %d terminated, the slowest in %v; %d trainings compared", inside, killed, terminated, slowest, ends)
}

// same lets a training end, compares its last checkpoint, and clears the run.
func (l *lab) same(final string, steps float64) {
	l.t.Helper()
	r := l.result(trainKeys, brief...)
	if got := l.read(r["checkpoint"].(string)); got != final || r["step"] != steps {
		l.t.Errorf("the training ends at step %v with another checkpoint", r["step"])
	}
	if l.read(filepath.Join(l.work, "run", "latest.json")) != l.read(filepath.Join(l.dir, "whole", "latest.json")) {
		l.t.Error("latest.json differs from that of a training that was never stopped")
	}
	if err := os.RemoveAll(filepath.Join(l.work, "run")); err != nil {
		l.t.Fatal(err)
	}
}

// TestSecondSignal ends a training at once that a first signal lets finish its
// step.
func TestSecondSignal(t *testing.T) {
	l := newLab(t)
	l.write(l.corpus, text(200_000))
	l.ok("prep", "--set", "prep.seq_length=200")
	c := l.child("train", "--set", "prep.seq_length=200", "--set", "model.hidden=1024", "--set", "train.batch=512", "--set", "train.log_every=1")
	pipe, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewReader(pipe); ; { // until the model is being made
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "steps an epoch") {
			break
		}
	}
	go io.Copy(io.Discard, pipe)
	ended := make(chan struct{})
	go func() {
		for { // one after the other, until it ends
			c.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	err = c.Wait()
	close(ended)
	var exit *exec.ExitError
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); !errors.As(err, &exit) || !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM itself", err)
	}
}

// TestHeld refuses a second training of a run, with who holds it, before it
// writes anything.
func TestHeld(t *testing.T) {
	l, _, _ := newLong(t)
	c, _ := l.startLong()
	defer c.Wait()
	defer c.Process.Kill()
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil { // it would end too soon
		t.Fatal(err)
	}
	config := filepath.Join(l.work, "run", "config.yaml")
	before := l.read(config)
	for _, more := range [][]string{{}, {"--replace"}, {"--fresh"}, {"--set", "train.epochs=5"}} {
		l.fails(1, []string{filepath.Join(l.work, "run", "run.json"), "process " + strconv.Itoa(c.Process.Pid) + " on ", "holds the lease until 20"}, append(long, more...)...)
	}
	if l.read(config) != before || strings.Contains(before, "epochs: 5") {
		t.Error("a training that is refused changed config.yaml")
	}
}
