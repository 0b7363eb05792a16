package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quire-ml/quire/pipelines/report"
	"github.com/quire-ml/quire/runners/node"
	"github.com/quire-ml/quire/runners/store"
)

func number(x float64) *float64 { return &x }

// metrics writes lines of a run.
func metrics(t *testing.T, st *store.Store, lines ...report.Line) {
	t.Helper()
	m, err := report.OpenMetrics(t.Context(), st, 1<<40, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if err := m.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// elsewhere writes the lease of a process on another machine, which ends in d.
func elsewhere(t *testing.T, st *store.Store, pid int, d time.Duration) *store.Holding {
	t.Helper()
	type holder struct {
		ID      string    `json:"id"`
		Host    string    `json:"host"`
		PID     int       `json:"pid"`
		Machine string    `json:"machine"`
		Until   time.Time `json:"until"`
		Seconds float64   `json:"seconds"`
	}
	data, err := store.MarshalSealed(struct {
		Format string  `json:"format"`
		Holder *holder `json:"holder"`
		Value  any     `json:"value"`
	}{"quire-lease/1", &holder{"0a", "gpu1", pid, "another boot", time.Now().Add(d).UTC().Truncate(time.Millisecond), 60}, nil})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Replace(t.Context(), "run.json", data); err != nil {
		t.Fatal(err)
	}
	held, err := holding(t.Context(), st)
	if err != nil || held == nil || held.PID != pid {
		t.Fatalf("the holder is %+v, %v", held, err)
	}
	return held
}

// TestFollow: a training elsewhere is shown until it has ended, or is not renewed any more.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		var out bytes.Buffer
		console := report.NewConsole(&out, false)
		follow := func(least, most time.Duration) {
			t.Helper()
			start := time.Now()
			if err := Follow(t.Context(), st, console); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took < least || took > most {
				t.Errorf("it took %v, want %v to %v", took, least, most)
			}
		}
		follow(0, 0) // there is no run
		metrics(t, st, report.Line{Step: 10, Epoch: 1, Train: number(2.5)})
		elsewhere(t, st, 4711, time.Minute)
		time.AfterFunc(20*time.Second, func() { elsewhere(t, st, 4711, time.Minute) })
		follow(80*time.Second, 100*time.Second) // a lease of a minute, renewed after 20 s
		for _, want := range []string{"train: process 4711 on gpu1 trains this run: step 10, loss 2.500\n"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the console has no %q:\n%s", want, out.String())
			}
		}
		elsewhere(t, st, 4713, time.Minute)
		time.AfterFunc(5*time.Second, func() {
			if err := st.Delete(t.Context(), "run.json", ""); err != nil {
				t.Error(err)
			}
		})
		follow(5*time.Second, 20*time.Second)
		elsewhere(t, st, 4714, time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		if err := Follow(ctx, st, console); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestShow: whoever begins to train a run is shown.
func TestShow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, func() { elsewhere(t, st, 4711, time.Minute) })
		time.AfterFunc(100*time.Second, func() { elsewhere(t, st, 4712, time.Minute) })
		time.AfterFunc(110*time.Second, cancel)
		show(ctx, st, report.NewConsole(&out, false))
		for _, want := range []string{"process 4711 on gpu1 trains", "process 4712 on gpu1 trains"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the console has no %q:\n%s", want, out.String())
			}
		}
	})
}

// TestAlive tells a holder that renews its lease from one that has died.
func TestAlive(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		if held, lives := alive(t.Context(), st); lives {
			t.Errorf("nobody lives: %v", held)
		}
		elsewhere(t, st, 4711, time.Minute)
		start := time.Now()
		if held, lives := alive(t.Context(), st); lives || time.Since(start) < time.Minute {
			t.Errorf("a dead holder lives, %v, after %v", held, time.Since(start))
		}
		time.AfterFunc(15*time.Second, func() { elsewhere(t, st, 4711, 2*time.Minute) })
		if held, lives := alive(t.Context(), st); !lives || held.PID != 4711 {
			t.Errorf("a holder that renews its lease is dead: %v", held)
		}
	})
}

// lost is a node that loses its job, or never has one.
type lost struct{ ran int }

func (*lost) String() string                                  { return "ssh gpu1" }
func (*lost) Check(context.Context, node.Job) ([]byte, error) { return nil, nil }
func (n *lost) Run(context.Context, node.Job, func(string)) ([]byte, error) {
	n.ran++
	return nil, &node.LostError{Node: "ssh gpu1", Stage: "train", Host: "gpu1", PID: 4711, Err: errors.New("exit status 255")}
}

// TestTrainLost: a run that somebody trains is not asked for; one of which nothing more is
// heard is looked at.
func TestTrainLost(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st := openStore(t, dir)
		sub, err := st.Sub("runs/0a")
		if err != nil {
			t.Fatal(err)
		}
		n := &lost{}
		var out bytes.Buffer
		c := &Client{Node: n, Store: st, Workdir: dir, Config: []byte("name: x\n"), Console: report.NewConsole(&out, false)}
		fresh := true
		train := func() error {
			_, err := c.Train(t.Context(), Training{Key: "0a", Set: "sets/0b", Run: "runs/0a", Fresh: &fresh})
			return err
		}
		var held *store.HeldError
		if err := train(); !errors.Is(err, store.ErrTransient) || errors.As(err, &held) || n.ran != 1 || !fresh {
			t.Errorf("lost without a trainer: %v, fresh %v", err, fresh)
		}
		elsewhere(t, sub, 4711, time.Minute)
		if err := train(); !errors.As(err, &held) || held.PID != 4711 || n.ran != 1 {
			t.Errorf("held: %v, asked %d times", err, n.ran)
		}
		elsewhere(t, sub, 4711, -time.Second)
		time.AfterFunc(15*time.Second, func() { elsewhere(t, sub, 4711, time.Minute) })
		held = nil
		if err := train(); !errors.As(err, &held) || n.ran != 2 || fresh || !strings.Contains(out.String(), "the connection is lost, and the job may go on") {
			t.Errorf("lost with a trainer that lives: %v, asked %d times, fresh %v:\n%s", err, n.ran, fresh, out.String())
		}
		elsewhere(t, sub, 4711, -time.Second)
		held = nil
		if err := train(); errors.As(err, &held) || !errors.Is(err, store.ErrTransient) || n.ran != 3 {
			t.Errorf("lost with a trainer that is dead: %v", err)
		}
		far := elsewhere(t, sub, 4711, 1000*time.Hour) // by a wrong clock: the node's Acquire decides
		if far.Believable(time.Now()) {
			t.Error("a lease of a minute that ends in 1000 hours is believed")
		}
		if err := train(); n.ran != 4 {
			t.Errorf("a lease of a wrong clock: %v", err)
		}
	})
}

func TestExitErrors(t *testing.T) {
	st := openStore(t, t.TempDir())
	c := &Client{Node: &lost{}, Store: st, Console: report.NewConsole(new(bytes.Buffer), false)}
	exit := &node.ExitError{Node: "ssh gpu1", Stage: "train", Code: 1, Class: node.ClassHeld, Message: "held"}
	if err := c.trainError(t.Context(), st, Training{}, exit); !errors.Is(err, store.ErrTransient) {
		t.Errorf("held by somebody who is gone: %v", err)
	}
	exit = &node.ExitError{Node: "ssh gpu1", Stage: "train", Code: 2, Message: "too large"}
	if err := c.trainError(t.Context(), st, Training{}, exit); fmt.Sprint(err) != "node: train on ssh gpu1: too large" {
		t.Errorf("an error of the node: %v", err)
	}
}
