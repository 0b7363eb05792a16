package command_test

import (
	"bufio"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// watchKeys are the keys of the result of runs watch.
const watchKeys = "run state holder last_sign step steps epoch epochs train_nats epoch_train_nats validation_nats best_nats " +
	"chars_per_second seconds_left checkpoint saved_step sample"

// TestWatchFinds names a run by its folder, its key, the beginning of its key, its round, and not
// at all.
func TestWatchFinds(t *testing.T) {
	l := newLab(t)
	l.fails(1, []string{l.work + " has no runs yet"}, "runs", "watch")
	round := l.result(runKeys, "run")["round"].(string)
	runs, err := filepath.Glob(filepath.Join(l.work, "runs", "*"))
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	key := filepath.Base(runs[0])
	for _, name := range []string{runs[0], key, key[:6], round} {
		r := l.result(watchKeys, "runs", "watch", name)
		if r["run"] != runs[0] || r["state"] != "ended" || r["step"] != 60.0 || r["steps"] != 60.0 || r["epoch"] != 2.0 || r["holder"] != nil {
			t.Errorf("%s: %v", name, r)
		}
	}
	o := l.ok("runs", "watch")
	for _, want := range []string{"run       " + runs[0] + "\n", "state     ended at step 60 of 60, epoch 2\n", "losses    training loss ", "sample    the "} {
		if !strings.Contains(o.stdout, want) {
			t.Errorf("no %q in\n%s", want, o.stdout)
		}
	}
	l.ok("prep")
	l.ok("train") // by hand, later
	if r := l.result(watchKeys, "runs", "watch"); r["run"] != filepath.Join(l.work, "run") {
		t.Errorf("the newest run is %v", r["run"])
	}
	l.fails(1, []string{`"abcdef": no run, key of a run or round of ` + l.work + " is called so; `runs list`"}, "runs", "watch", "abcdef")
	l.fails(1, []string{"it is no folder of a run", "it is a workdir, in which round " + round}, "runs", "watch", l.work)
	l.fails(2, []string{`"b" is an argument too many`}, "runs", "watch", "a", "b")
}

// TestWatchKilled follows a real training that is killed, to the end of the one that goes on.
func TestWatchKilled(t *testing.T) {
	l := newLab(t)
	l.ok("prep", "--set", "prep.seq_length=3")
	dir := filepath.Join(l.work, "run")
	c, _ := l.startLong()
	defer c.Wait()
	defer c.Process.Kill()
	if err := c.Process.Signal(syscall.SIGSTOP); err != nil { // it would end too soon
		t.Fatal(err)
	}
	pid := strconv.Itoa(c.Process.Pid)
	r := l.result(watchKeys, "runs", "watch", dir, "--once")
	if holder := r["holder"].(map[string]any); r["state"] != "training" || strconv.FormatFloat(holder["pid"].(float64), 'f', -1, 64) != pid ||
		r["saved_step"].(float64) < 40 || r["steps"].(float64) <= r["step"].(float64) {
		t.Errorf("a training that was halted: %v", r)
	}

	watcher := l.child("runs", "watch", dir, "--json")
	pipe, err := watcher.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stdout strings.Builder
	watcher.Stdout = &stdout
	if err := watcher.Start(); err != nil {
		t.Fatal(err)
	}
	defer watcher.Wait()
	defer watcher.Process.Kill()
	lines := bufio.NewReader(pipe)
	until := func(part string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("no %q: %v", part, err)
			}
			if strings.Contains(line, part) {
				return
			}
		}
	}
	until(dir + ": process " + pid + " on ")
	_ = c.Process.Kill()
	_ = c.Wait()
	until("nobody trains: the lease of process " + pid + " on ")
	o := l.run("runs", "watch", dir, "--once", "--json", "--quiet")
	l.failed(o, 1, "nobody trains: the lease of process "+pid+" on ", "; start `run`, or what began it, again to go on")
	if r := l.parse(watchKeys, o); r["state"] != "expired" {
		t.Errorf("a training that was killed: %v", r)
	}
	trained := l.result(trainKeys, long...)
	_, _ = io.Copy(io.Discard, lines)
	if err := watcher.Wait(); err != nil {
		t.Errorf("the watcher: %v", err)
	}
	r = l.parse(watchKeys, outcome{stdout: stdout.String()})
	if r["state"] != "ended" || r["step"] != trained["step"] || r["checkpoint"] != trained["checkpoint"] || r["validation_nats"] != trained["validation_nats"] {
		t.Errorf("the watcher ends with %v, the training with %v", r, trained)
	}
}
