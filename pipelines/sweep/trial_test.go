package sweep

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quire-ml/quire/configs"
	"github.com/quire-ml/quire/pipelines/report"
)

// TestWork runs a trial whose training ends above the unigram entropy. The worker's
// lines and warnings name the trial.
func TestWork(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		l := newLab(t, "sweep.train.lr=0.01,0.000001")
		all := l.trials()
		all[1].Quiet = quiet
		var lines bytes.Buffer
		if err := all[1].work(t.Context(), &lines); err != nil {
			t.Fatal(err)
		}
		var want string
		if !quiet {
			want = fmt.Sprintf("sweep: trial 2 (train.lr=1e-06) begins, in %s\n", filepath.Join(l.work, all[1].run()))
		}
		want += "WARNING: sweep: trial 2: epoch 1 ends above the unigram entropy of "
		if !strings.HasPrefix(lines.String(), want) || strings.HasSuffix(lines.String(), "\nsweep: trial 2 is done\n") == quiet {
			t.Errorf("quiet %v: the worker writes\n%s", quiet, lines.String())
		}
		if got := strings.Count(lines.String(), "\n"); got != map[bool]int{false: 3, true: 1}[quiet] {
			t.Errorf("quiet %v: %d lines", quiet, got)
		}
	}
}

// TestResult reads a trial that no worker has run.
func TestResult(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01")
	_, err := l.trials()[0].result(t.Context(), l.store())
	if want := "sweep: trial 1 (train.lr=0.01): the workers are done, but "; err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), l.work) {
		t.Errorf("the error is %v", err)
	}
}

// TestWorkFails has a set without its first shard: the worker's error names the trial.
func TestWorkFails(t *testing.T) {
	l := newLab(t, "sweep.train.lr=0.01")
	first := l.trials()[0]
	shards, err := filepath.Glob(first.Set.Set.In(l.work) + "/train-*")
	if err != nil || len(shards) == 0 {
		t.Fatal(shards, err)
	}
	if err := os.Remove(shards[0]); err != nil {
		t.Fatal(err)
	}
	err = first.work(t.Context(), io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "sweep: trial 1 (train.lr=0.01): ") || !strings.Contains(err.Error(), filepath.Base(shards[0])) {
		t.Errorf("the error is %v", err)
	}
}

// TestBadItem gives a worker a message that is cut off.
func TestBadItem(t *testing.T) {
	if err := runTrial(t.Context(), []byte("half")); err == nil || !strings.HasPrefix(err.Error(), "sweep: a trial of 4 bytes: ") {
		t.Errorf("the error is %v", err)
	}
}

// child runs the sweep of a config file, for TestKilled.
func child(file string) int {
	r, err := configs.Load(configs.Options{Config: file})
	if err == nil {
		var trials []configs.Trial
		if trials, err = r.Trials(); err == nil {
			_, err = Run(context.Background(), r, trials, Options{Runner: "direct", Config: file, Console: report.NewConsole(os.Stderr, false)})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestKilled kills a sweep when its second trial begins. The next sweep keeps the
// first trial, and comes to the same table as a sweep that ran through.
func TestKilled(t *testing.T) {
	const section = "sweep: {train.lr: [0.01, 0.02, 0.03]}\n"
	whole, l := newLab(t), newLab(t)
	for _, l := range []*lab{whole, l} {
		if err := os.WriteFile(l.file, []byte(l.read(l.file)+section), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childVariable+"="+l.file)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	begun := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if t.Log(lines.Text()); strings.HasPrefix(lines.Text(), "sweep: trial 2 (train.lr=0.02) begins") {
			begun = true
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err == nil || !begun {
		t.Fatalf("the child was not killed: %v", err)
	}
	want := whole.swept()
	res := l.swept()
	said := l.console.String()
	if !strings.Contains(said, "sweep: trial 1 (train.lr=0.01): nothing to do, ") || strings.Contains(said, "trial 3 (train.lr=0.03): nothing") {
		t.Errorf("the console of the next sweep has\n%s", said)
	}
	if got, want := l.read(res.Table), whole.read(want.Table); got != want {
		t.Errorf("the table is\n%s, want\n%s", got, want)
	}
}
