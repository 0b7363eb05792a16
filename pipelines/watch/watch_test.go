package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/gcstest"
)

// A lab is the folder of a run that a machine elsewhere writes.
type lab struct {
	t     *testing.T
	st    *store.Store
	skew  time.Duration // of that machine's clock
	pid   int           // 0: the lease is free
	since time.Time     // by that clock
	saved []int64
	steps int64 // 0: no goal
	beats int
}

func newLab(t *testing.T, url string) *lab {
	t.Helper()
	st, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return &lab{t: t, st: st, steps: 100}
}

// hold lets a process elsewhere take the lease; 0 releases it.
func (l *lab) hold(pid int) {
	l.pid, l.since = pid, time.Now().Add(l.skew)
	l.beat()
}

// beat renews the lease, which lasts a minute, and writes the journal.
func (l *lab) beat() {
	l.t.Helper()
	points := []map[string]any{}
	for _, step := range l.saved {
		points = append(points, map[string]any{"format": "quire-pointer/1", "name": fmt.Sprintf("checkpoints/step-%08d.safetensors", step),
			"bytes": 100, "sha256": strings.Repeat("ab", 32), "step": step, "loss": 2 + 1/float64(step)})
	}
	value := map[string]any{"checkpoints": points}
	if l.steps > 0 {
		value["goal"] = map[string]any{"steps": l.steps, "epochs": 4}
	}
	l.beats++
	lease := map[string]any{"format": "quire-lease/1", "value": value}
	if l.pid != 0 {
		lease["holder"] = map[string]any{"id": fmt.Sprint(l.beats), "host": "gpu1", "pid": l.pid, "machine": "elsewhere", "seconds": 60,
			"since": l.since, "until": time.Now().Add(l.skew + time.Minute)}
	}
	data, err := store.MarshalSealed(lease)
	if err == nil {
		err = l.st.Replace(l.t.Context(), "run.json", data)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// write writes the metrics: a line a step, a second apart, the last one now; every 25 steps
// end an epoch.
func (l *lab) write(steps int64) {
	l.t.Helper()
	var all bytes.Buffer
	now := time.Now().Add(l.skew)
	for step := int64(1); step <= steps; step++ {
		nats, rate, epoch := 3-float64(step)/100, 1000.0, int(step-1)/25+1
		lines := []report.Line{{Step: step, Epoch: epoch, Train: &nats, PerSecond: &rate, Time: float64(now.Unix() - steps + step)}}
		if step%25 == 0 {
			lines = append(lines, report.Line{Step: step, Epoch: epoch, EpochTrain: &nats, Validation: &nats, Sample: fmt.Sprintf("text %d", epoch)})
		}
		for _, line := range lines {
			text, err := json.Marshal(line)
			if err != nil {
				l.t.Fatal(err)
			}
			all.Write(append(text, '\n'))
		}
	}
	if err := l.st.Replace(l.t.Context(), report.MetricsName, all.Bytes()); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) look() *Look {
	l.t.Helper()
	k, err := Take(l.t.Context(), l.st)
	if err != nil {
		l.t.Fatal(err)
	}
	return k
}

// TestLook has what the files of a training say, and no more than five requests of a bucket
// for it.
func TestLook(t *testing.T) {
	server := gcstest.New(t)
	for _, url := range []string{t.TempDir(), "gs://bucket/runs/ab"} {
		l := newLab(t, url)
		l.saved = []int64{20, 50}
		l.hold(7)
		l.since = l.since.Add(-time.Hour)
		l.beat()
		l.write(60)
		before := len(server.Log())
		k := l.look()
		if n := len(server.Log()) - before; store.IsURL(url) && n != 5 {
			t.Errorf("a look takes %d requests, want 5:\n%s", n, strings.Join(server.Log()[before:], "\n"))
		}
		if k.State != Training || k.Holder.PID != 7 || k.Holder.Host != "gpu1" || !k.Holder.Since.Equal(l.since) || time.Since(*k.LastSign) > 10*time.Second {
			t.Errorf("%s: %s by %+v, last sign %v", url, k.State, k.Holder, k.LastSign)
		}
		if k.Step != 60 || k.Steps != 100 || k.Epoch != 3 || k.Epochs != 4 || k.SavedStep != 50 || k.CharsPerSecond != 1000 ||
			!strings.HasSuffix(string(k.Checkpoint), "runs/ab/checkpoints/step-00000050.safetensors") && store.IsURL(url) {
			t.Errorf("%s: %+v", url, k)
		}
		if *k.TrainNats != 2.4 || *k.EpochTrainNats != 2.5 || *k.ValidationNats != 2.5 || *k.BestNats != 2.02 || k.Sample != "text 2" {
			t.Errorf("%s: losses %v, %v, %v, %v, sample %q", url, *k.TrainNats, *k.EpochTrainNats, *k.ValidationNats, *k.BestNats, k.Sample)
		}
		if *k.SecondsLeft != 40 { // a step a second
			t.Errorf("%s: %v s left, want 40", url, *k.SecondsLeft)
		}
		l.since = time.Now().Add(-10 * time.Second) // another holder wrote the lines before
		l.beat()
		if k = l.look(); k.SecondsLeft == nil || *k.SecondsLeft != 40 {
			t.Errorf("%s: of a young holder %v s are left", url, k.SecondsLeft)
		}
		l.since = time.Now().Add(time.Second)
		l.beat()
		if k = l.look(); k.SecondsLeft != nil {
			t.Errorf("%s: of a holder without a line %v s are left", url, *k.SecondsLeft)
		}
	}
}

// TestStates has the states of a run.
func TestStates(t *testing.T) {
	l := newLab(t, t.TempDir())
	var none *FindError
	if _, err := Take(t.Context(), l.st); !errors.As(err, &none) || !strings.Contains(err.Error(), "no folder of a run") {
		t.Errorf("an empty folder: %v", err)
	}
	l.hold(0)
	state := func(want State, words string) {
		t.Helper()
		k := l.look()
		if k.State != want || !strings.Contains(k.nobody(), words) {
			t.Errorf("the state is %s: %s; want %s: %s", k.State, k.nobody(), want, words)
		}
		var out bytes.Buffer
		if k.Print(&out); !strings.Contains(out.String(), words) {
			t.Errorf("printed:\n%s", out.String())
		}
	}
	state(Stopped, "stopped before the first step")
	l.write(30)
	state(Stopped, "stopped at step 30 of 100, nothing saved yet")
	l.saved = []int64{25}
	l.beat()
	state(Stopped, "stopped at step 30 of 100, saved at step 25")
	l.saved = []int64{25, 100}
	l.beat()
	if k := l.look(); k.State != Ended {
		t.Errorf("at the last step the state is %s", k.State)
	}
	l.steps = 0
	l.beat()
	state(Stopped, "stopped at step 100")
	l.steps, l.saved, l.skew = 100, []int64{25}, -time.Hour
	l.hold(7)
	state(Expired, "nobody trains: the lease of process 7 on gpu1 has expired at ")
	l.saved = []int64{100}
	l.beat()
	if k := l.look(); k.State != Ended {
		t.Errorf("at the last step, the lease expired, the state is %s", k.State)
	}
	l.saved, l.skew = []int64{25}, 0
	l.beat()
	if k := l.look(); k.State != Training {
		t.Errorf("held, the state is %s", k.State)
	}
	l.hold(0)
	note, err := store.MarshalSealed(map[string]any{"step": 31, "reason": "the loss is NaN"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.st.Replace(t.Context(), "diverged.json", note); err != nil {
		t.Fatal(err)
	}
	state(Diverged, "the training diverged at step 31: the loss is NaN")
}

// TestDamagedMetrics tells damage once, and looks on.
func TestDamagedMetrics(t *testing.T) {
	l := newLab(t, t.TempDir())
	l.hold(7)
	if err := l.st.Replace(t.Context(), report.MetricsName, []byte("{\"step\":1}\nx\n")); err != nil {
		t.Fatal(err)
	}
	w := New(l.st)
	var told []string
	w.Damaged = func(err error) { told = append(told, err.Error()) }
	for range 3 {
		if k, err := w.Look(t.Context()); err != nil || k.State != Training {
			t.Fatalf("%+v, %v", k, err)
		}
	}
	if len(told) != 1 || !strings.Contains(told[0], "metrics.jsonl: byte 11: ") {
		t.Errorf("told: %q", told)
	}
}

// follow follows the run of l until it ends, and returns what the console has.
func (l *lab) follow(idle time.Duration) (look *Look, lines string, err error) {
	var out bytes.Buffer
	look, err = Follow(l.t.Context(), l.st, Options{Console: report.NewConsole(&out, false), Idle: idle})
	return look, out.String(), err
}

// inBubble runs a test in a bubble of virtual time, whose clock is 27 years behind that of
// the file system.
func inBubble(t *testing.T, test func(t *testing.T, l *lab)) {
	dir := t.TempDir()
	if shm, err := os.MkdirTemp("/dev/shm", "watch"); err == nil { // syncs cost nothing there
		t.Cleanup(func() { os.RemoveAll(shm) })
		dir = shm
	}
	synctest.Test(t, func(t *testing.T) { test(t, newLab(t, dir)) })
}

// TestFollow follows a training over the death of its holder and a takeover, to its end.
func TestFollow(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		go func() {
			l.steps = 75
			l.hold(7)
			for step := int64(10); step <= 30; step += 5 {
				l.write(step)
				l.beat()
				time.Sleep(15 * time.Second)
			}
			l.saved = []int64{25}
			l.beat()
			time.Sleep(3 * time.Minute) // it was killed
			l.hold(8)
			for step := int64(26); step <= 75; step++ {
				l.write(step)
				l.beat()
				time.Sleep(time.Second)
			}
			l.saved = []int64{25, 75}
			l.hold(0)
		}()
		time.Sleep(time.Second)
		k, lines, err := l.follow(5 * time.Minute)
		if err != nil || k.State != Ended || k.Step != 75 {
			t.Fatalf("%+v, %v\n%s", k, err, lines)
		}
		at := -1
		for _, want := range []string{": process 7 on gpu1 trains since 2000-01-01T00:00:00Z, for 1s: epoch 1/4  step 10/75  loss 2.900  1000 chars/s  sign of life 1s ago\n",
			"watch  epoch 1/4  step 10/75  loss 2.900  1000 chars/s  sign of life 6s ago   13 %\n",
			"watch  epoch 1/4  step 15/75  loss 2.850  1000 chars/s  1m0s left  sign of life 2s ago   20 %\n",
			"watch: epoch 1: training loss 2.7500 nats a character, validation 2.7500\nwatch: epoch 1 writes:\n  text 1\n",
			"step 30/75",
			"watch: nobody trains: the lease of process 7 on gpu1 has expired at 2000-01-01T00:02:15Z; the last sign of life was 2000-01-01T00:01:15Z," +
				" at step 30 of 75, saved at step 25; looking for 5m0s whether another goes on\n",
			": process 8 on gpu1 trains since 2000-01-01T00:04:15Z, for ",
			"watch: epoch 2: training loss 2.5000",
			"watch: epoch 3: training loss 2.2500"} {
			next := strings.Index(lines, want)
			if next <= at {
				t.Errorf("want %q, after byte %d, in\n%s", want, at, lines)
			}
			at = next
		}
		if n := strings.Count(lines, "nobody trains"); n != 1 {
			t.Errorf("nobody trains is said %d times:\n%s", n, lines)
		}
	})
}

// TestFollowAgain waits for another holder as long after the second death as after the first.
func TestFollowAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.write(60)
		go func() {
			for pid := 1; pid <= 3; pid++ {
				l.hold(pid)
				time.Sleep(30 * time.Second)
				l.hold(0)
				time.Sleep(4 * time.Minute)
			}
		}()
		time.Sleep(time.Second)
		began := time.Now()
		_, lines, err := l.follow(5 * time.Minute)
		if took := time.Since(began); err == nil || took < 14*time.Minute+20*time.Second || took > 15*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		if n := strings.Count(lines, "looking for 5m0s whether another goes on"); n != 3 {
			t.Errorf("it is said %d times that nobody trains:\n%s", n, lines)
		}
		if strings.Contains(lines, "watch: epoch 1") {
			t.Errorf("epochs that had ended before are told:\n%s", lines)
		}
	})
}

// TestLastSign is the later one of the lease's renewal and the last line.
func TestLastSign(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.hold(7)
		time.Sleep(10 * time.Second)
		l.write(5)
		wrote := time.Now()
		time.Sleep(2 * time.Second)
		if k := l.look(); !k.LastSign.Equal(wrote) {
			t.Errorf("the last sign is %v, want that of the line, %v", k.LastSign, wrote)
		}
		l.beat()
		if k := l.look(); !k.LastSign.Equal(time.Now()) {
			t.Errorf("the last sign is %v, want that of the lease, %v", k.LastSign, time.Now())
		}
	})
}

// TestPace: the time left is estimated from half a minute, not from two lines beside the end
// of an epoch.
func TestPace(t *testing.T) {
	nats := 1.0
	visit := &tail{held: &Holder{}, after: -1}
	lines := []report.Line{{Step: 60, Train: &nats, Time: 1100}, {Step: 59, Train: &nats, Time: 1090}, {Step: 58, EpochTrain: &nats},
		{Step: 50, Train: &nats, Time: 1080}, {Step: 40, Train: &nats, Time: 1070}, {Step: 10, Train: &nats, Time: 1000}}
	n := 0
	for visit.visit(lines[n]) {
		n++
	}
	if left := visit.left(100); n != 4 || *left != 150 { // 20 steps in 30 s
		t.Errorf("%d lines were read, and 100 steps take %v s, want 150", n+1, left)
	}
}

// TestFollowNobody ends at once where nobody trains, and after a while where somebody did.
func TestFollowNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.hold(0)
		began := time.Now()
		var nobody *NobodyError
		if _, lines, err := l.follow(time.Hour); !errors.As(err, &nobody) || nobody.Look.State != Stopped || time.Since(began) != 0 || lines != "" {
			t.Errorf("after %v: %v\n%s", time.Since(began), err, lines)
		}
		l.hold(7)
		go func() {
			time.Sleep(10 * time.Second)
			l.hold(0)
		}()
		_, lines, err := l.follow(5 * time.Minute)
		if took := time.Since(began); !errors.As(err, &nobody) || took < 5*time.Minute+10*time.Second || took > 5*time.Minute+40*time.Second {
			t.Errorf("after %v: %v\n%s", took, err, lines)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l.hold(7)
		if k, err := Follow(ctx, l.st, Options{Console: report.NewConsole(&bytes.Buffer{}, true)}); k == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %+v, %v", k, err)
		}
	})
}

// TestClocks has holders whose clocks are wrong by an hour: a living one is not taken for
// dead, and a dead one not for living.
func TestClocks(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, time.Hour} {
		inBubble(t, func(t *testing.T, l *lab) {
			l.skew, l.steps = skew, 10
			l.hold(7)
			began := time.Now()
			go func() {
				for range 40 {
					time.Sleep(15 * time.Second)
					l.beat()
				}
			}()
			k, lines, err := l.follow(0)
			took := time.Since(began)
			if err == nil || k.State != Expired || took < 11*time.Minute || took > 12*time.Minute {
				t.Errorf("clock wrong by %v: after %v %+v, %v\n%s", skew, took, k, err, lines)
			}
			if !strings.Contains(lines, "process 7 on gpu1 trains since") {
				t.Errorf("clock wrong by %v:\n%s", skew, lines)
			}
			if doubt := strings.Contains(lines, "looking for 1m0s whether it still lives"); doubt != (skew < 0) {
				t.Errorf("clock wrong by %v: in doubt: %v\n%s", skew, doubt, lines)
			}
		})
	}
}

// TestRequests looks at a bucket rarely where nothing changes: five requests a look.
func TestRequests(t *testing.T) {
	for _, c := range []struct {
		what        string
		steps       bool
		least, most int
	}{
		{"a training that comes to no step: one a minute", false, 10, 16},
		{"a training that goes on: six a minute", true, 55, 61},
	} {
		inBubble(t, func(t *testing.T, l *lab) {
			l.hold(7)
			looks := 0
			seen := l.st.WithFaults(func(op, name string) error {
				if op == "read" {
					looks++
				}
				return nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			done := make(chan bool)
			go func() {
				defer close(done)
				for step := int64(1); store.Wait(ctx, 9*time.Second) == nil; step++ {
					l.beat()
					if c.steps {
						l.write(step)
					}
				}
			}()
			if _, err := Follow(ctx, seen, Options{Console: report.NewConsole(&bytes.Buffer{}, true)}); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			<-done
			if looks < c.least || looks > c.most {
				t.Errorf("%d looks in 10 minutes at %s", looks, c.what)
			}
		})
	}
}

// TestAway waits for a network that is away, and says so once; any other error ends it.
func TestAway(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.hold(7)
		l.write(5)
		var fail atomic.Pointer[error]
		set := func(err error) { fail.Store(&err) }
		set(nil)
		var out bytes.Buffer
		seen := l.st.WithFaults(func(op, name string) error { return *fail.Load() })
		go func() {
			time.Sleep(30 * time.Second)
			set(fmt.Errorf("no route to host: %w", store.ErrTransient))
			time.Sleep(10 * time.Minute)
			set(nil)
			l.beat()
			time.Sleep(time.Minute / 2)
			set(errors.New("permission denied"))
		}()
		k, err := Follow(t.Context(), seen, Options{Console: report.NewConsole(&out, false), Idle: time.Hour})
		if err == nil || !strings.Contains(err.Error(), "permission denied") || k == nil || k.Step != 5 {
			t.Errorf("%+v, %v", k, err)
		}
		if n := strings.Count(out.String(), "WARNING: watch: "); n != 1 || !strings.Contains(out.String(), "no route to host: this may pass; looking again") {
			t.Errorf("%d warnings:\n%s", n, out.String())
		}
	})
}
