package command_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// These tests ask for slots as an orchestrator does: in processes that it starts again.

const aSlot, theSlot = "2025-11-01T03:00:00Z", "20251101T030000Z"

// night makes a process that runs the slot.
func (l *lab) night(args ...string) *exec.Cmd {
	return l.child(append([]string{"retrain", "--once", "--slot", aSlot, "--json"}, args...)...)
}

// until starts a process and returns its output after the first line with this beginning.
func (l *lab) until(c *exec.Cmd, line string) *bufio.Reader {
	l.t.Helper()
	pipe, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	said := ""
	for r := bufio.NewReader(pipe); ; {
		text, err := r.ReadString('\n')
		if said += text; err != nil {
			l.t.Fatalf("no line begins with %q: %v: %s", line, err, said)
		}
		if strings.HasPrefix(text, line) {
			return r
		}
	}
}

// rest waits for the end of a process and returns what it still says.
func rest(c *exec.Cmd, r *bufio.Reader) (code int, said string) {
	var b strings.Builder
	_, _ = r.WriteTo(&b)
	_ = c.Wait()
	return c.ProcessState.ExitCode(), b.String()
}

// TestSlotStopped stops a night by SIGKILL and by SIGTERM in its training: the slot stays
// due, and the next process goes on.
func TestSlotStopped(t *testing.T) {
	l := newLab(t)
	long := []string{"--set", "train.epochs=60", "--set", "train.checkpoint.every_steps=30"}
	record := filepath.Join(l.work, "schedule", "slots", theSlot+".json")
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		c := l.night(long...)
		r := l.until(c, fmt.Sprintf("train: epoch %d: ", 3+20*i))
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code, said := rest(c, r); code != []int{-1, 75}[i] {
			t.Errorf("after %v: exit code %d: %s", signal, code, said)
		}
		for _, name := range []string{record, filepath.Join(l.work, "rounds", theSlot+".json")} {
			if _, err := os.Stat(name); !os.IsNotExist(err) {
				t.Errorf("after %v there is %s: %v", signal, name, err)
			}
		}
	}
	o := l.finish(l.night(long...))
	if r := l.parse(slotKeys, o); o.code != 0 || r["status"] != "ran" || r["exit"] != "done" || r["round"] != theSlot || strings.Contains(o.stderr, "train: epoch 3: ") {
		t.Errorf("at last: %v", o)
	}
	if o := l.finish(l.night(long...)); o.code != 0 || l.parse(slotKeys, o)["reason"] != "it ran before" {
		t.Errorf("and again: %v", o)
	}
}

// TestSlotBusy: somebody's run by hand trains the same model. The night waits for it, and
// says so; then its slot has had its round.
func TestSlotBusy(t *testing.T) {
	l := newLab(t)
	long := []string{"--set", "train.epochs=60"}
	hand := l.child(append([]string{"run"}, long...)...)
	handSays := l.until(hand, "train: epoch 2: ")
	if err := hand.Process.Signal(syscall.SIGSTOP); err != nil { // else it may be over too soon
		t.Fatal(err)
	}
	night := l.night(append(long, "--quiet")...)
	stdout, err := night.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	nightSays := l.until(night, "WARNING: train waits: ")
	if err := hand.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if code, said := rest(hand, handSays); code != 0 {
		t.Errorf("by hand: exit code %d: %s", code, said)
	}
	result, _ := bufio.NewReader(stdout).ReadString('\n')
	if code, said := rest(night, nightSays); code != 0 || !strings.Contains(result, `"status":"ran","exit":"done","reason":"nothing new`) {
		t.Errorf("the night: exit code %d: %s, %s", code, result, said)
	}
}

// TestSlotTogether starts two processes for a slot whose model is refused: one runs it,
// the other waits, and both end with the outcome.
func TestSlotTogether(t *testing.T) {
	l := newLab(t)
	l.ok("run")
	refused := []string{"--set", "train.lr=1e-5", "--set", "train.epochs=40"}
	first := l.night(refused...)
	says := l.until(first, "train: epoch 1: ")
	second := make(chan outcome, 1)
	go func() { second <- l.finish(l.night(refused...)) }()
	if code, said := rest(first, says); code != 3 {
		t.Errorf("the first: exit code %d: %s", code, said)
	}
	o := <-second
	if r := l.parse(slotKeys, o); o.code != 3 || r["exit"] != "refused" || !strings.HasPrefix(r["reason"].(string), "it ran before: round: the gate refused the model") {
		t.Errorf("the second: %v", o)
	}
	l.ok("retrain", "--list")
}

// TestSlotOutage: the source answers 503 for a while. The night tries again, as rounds of
// their own, and nobody is told of a failure.
func TestSlotOutage(t *testing.T) {
	w := newWebsite(t)
	var down atomic.Int64
	down.Store(2)
	up := w.server.Config.Handler
	w.server.Config.Handler = http.HandlerFunc(func(resp http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".txt") && down.Add(-1) >= 0 {
			http.Error(resp, "later", http.StatusServiceUnavailable)
			return
		}
		up.ServeHTTP(resp, r)
	})
	once := func(code int, exit, reason, round string) {
		t.Helper()
		c := w.night("--set", "round.attempts=1", "--set", "round.pause_seconds=0", "--quiet")
		c.Env = append(c.Env, w.env...)
		o := w.finish(c)
		if r := w.parse(slotKeys, o); o.code != code || r["exit"] != exit || !strings.HasPrefix(r["reason"].(string), reason) || r["round"] != round {
			t.Errorf("want exit code %d, %s, %q, %s: %v", code, exit, reason, round, o)
		}
	}
	once(0, "done", "", theSlot+"-3")
	once(0, "done", "it ran before", theSlot+"-3")
	if told := w.notices.String(); strings.Contains(told, "failed") || !strings.Contains(told, "promoted") {
		t.Errorf("told %s", told)
	}
	list := w.result("rounds", "runs", "list")["rounds"].([]any)
	if got := fmt.Sprintln(list[0].(map[string]any)["exit"], list[1].(map[string]any)["exit"], list[2].(map[string]any)["exit"]); len(list) != 3 || got != "transient transient done\n" {
		t.Errorf("the rounds are %v", list)
	}
}

// TestDaemonQuiet: the failures of a daemon are visible with --quiet, and notified.
func TestDaemonQuiet(t *testing.T) {
	l := newLab(t)
	l.slot("01", 0)
	state, told := filepath.Join(l.work, "schedule", "state.json"), filepath.Join(l.dir, "told")
	l.write(state, "{}")
	c := l.child("retrain", "--quiet")
	c.Env = append(c.Env, "QUIRE_NOTIFY_COMMAND=cat >> "+told)
	r := l.until(c, "WARNING: schedule: store: "+state)
	if text := l.read(told); strings.Count(text, `"event":"failed"`) != 1 || !strings.Contains(text, state) {
		t.Errorf("told %s", text)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, said := rest(c, r); code != 75 {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// TestSlotRemedy: what run says to do about an error is in the error of a night, in the
// slot's record, in the round's record and in the notice, in the same words.
func TestSlotRemedy(t *testing.T) {
	for day, c := range []struct {
		remedy string
		code   int
		with   []string
	}{
		{"; correct corpus.sources: a relative path begins where the command was started", 1, set("corpus.sources=none.txt")},
		{"; train longer, with a larger train.epochs, or learn from more text", 3, set("train.epochs=0")},
		{"; use a smaller train.lr, or train.clip_norm: 1", 1, set("train.lr=10", "train.weight_decay=10")},
		{"; use a smaller train.batch (245 at most), a smaller prep.seq_length or more text", 1, set("train.batch=4096")},
		{"; change generate.prompt, or set it to nothing", 1, set("generate.prompt=ß")},
		{"; use a smaller model.hidden, train.batch or prep.seq_length, or a larger machine", 1, set("model.hidden=65536")},
	} {
		l := newLab(t)
		told := filepath.Join(l.dir, "told")
		t.Setenv("QUIRE_NOTIFY_COMMAND", "cat >> "+told)
		hand := l.run(append([]string{"run"}, c.with...)...)
		message := strings.TrimPrefix(lastLine(hand), "quire: ")
		if !strings.Contains(message, c.remedy) {
			t.Errorf("run: want %q: %v", c.remedy, hand)
			continue
		}
		if text := l.read(told); !strings.Contains(text, c.remedy) || noticesWith(t, text, c.remedy) != 1 {
			t.Errorf("%s: the notice of run is %s", c.remedy, text)
		}
		night := l.run(append([]string{"retrain", "--once", "--slot", fmt.Sprintf("2025-11-%02dT03:00:00Z", 1+day)}, c.with...)...)
		if strings.Contains(c.remedy, "machine") { // there is no record: the slot stays due
			if !strings.Contains(lastLine(night), message) {
				t.Errorf("the night: %v", night)
			}
			continue
		}
		if !strings.Contains(night.stderr, message) || !strings.Contains(night.stdout, message) || strings.Count(lastLine(night), c.remedy) > 1 {
			t.Errorf("the night does not say %q: %v", message, night)
		}
		if text := l.read(told); noticesWith(t, text, c.remedy) != 2-hand.code/3 { // the decision is not made, nor told, again
			t.Errorf("%s: the notices are %s", c.remedy, text)
		}
		if o := l.ok("retrain", "--list"); !strings.Contains(o.stdout, message) {
			t.Errorf("the list: %v", o)
		}
		if o := l.ok("runs", "show"); !strings.Contains(o.stdout, message) {
			t.Errorf("the record: %v", o)
		}
	}
}

// noticesWith returns the number of notices whose message has a remedy, which each has once.
func noticesWith(t *testing.T, notices, remedy string) (n int) {
	t.Helper()
	for d := json.NewDecoder(strings.NewReader(notices)); d.More(); {
		var notice struct{ Message string }
		if err := d.Decode(&notice); err != nil {
			t.Fatal(err)
		}
		n += strings.Count(notice.Message, remedy)
	}
	return n
}
