package command_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// made returns what a round must leave, by name: sets, checkpoints, pointers,
// and of each stage the digest and the value of what it made. Not compared are
// times, rates, leases, and the paths of this test in config.yaml.
func (l *lab) made() map[string]string {
	l.t.Helper()
	all := map[string]string{}
	for name, digest := range l.contents() {
		base := filepath.Base(name)
		switch {
		case strings.HasPrefix(name, "rounds/") || base == "config.yaml" || base == "run.json" || base == ".prep.json":
		case base == "metrics.jsonl":
			for _, line := range strings.Split(l.read(filepath.Join(l.work, name)), "\n") {
				rest, _, _ := strings.Cut(line, `,"chars_per_second"`)
				all[name] += rest + "\n"
			}
		case strings.HasPrefix(name, "stages/"):
			all[name] = l.outcome(filepath.Join(l.work, name))
		case strings.HasPrefix(base, "events.out.tfevents"):
			all[name] = "" // they hold rates
		default:
			all[name] = digest
		}
	}
	return all
}

// outcome returns what a stage made, without what differs between two machines.
func (l *lab) outcome(path string) string {
	l.t.Helper()
	var o struct {
		Output struct {
			Digest string
			Value  map[string]any
			Files  []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(l.read(path)), &o); err != nil {
		l.t.Fatal(err)
	}
	for _, key := range []string{"seconds", "chars_per_second", "skipped"} {
		delete(o.Output.Value, key)
	}
	for _, f := range o.Output.Files {
		delete(f, "generation")
	}
	return fmt.Sprint(o)
}

// TestKillRound ends rounds by SIGKILL at random moments, some twice: the next
// one ends with the bytes of a round that was left alone.
func TestKillRound(t *testing.T) {
	kills := 2
	if soak {
		kills = 50
	}
	args := []string{"run", "--quiet", "--set", "train.epochs=6", "--set", "train.checkpoint.every_steps=10"}
	whole := newLab(t)
	began := time.Now()
	if o := whole.finish(whole.child(args...)); o.code != 0 {
		t.Fatal(o)
	}
	took := time.Since(began)
	want := whole.made()
	r := rand.New(rand.NewPCG(8, uint64(kills)))
	for i := range kills {
		l := newLab(t)
		var at []time.Duration
		for range 1 + i%2 {
			at = append(at, time.Duration(r.Int64N(int64(took))))
			c := l.child(args...)
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(at[len(at)-1]) // the moment is the test's input, not something to wait for
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		if o := l.finish(l.child(args...)); o.code != 0 {
			t.Fatalf("killed after %v of %v: %v", at, took, o)
		}
		got := l.made()
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("killed after %v of %v: %s is\n%s\nwant\n%s", at, took, name, got[name], want[name])
			}
		}
		for name := range got {
			if _, ok := want[name]; !ok && !strings.Contains(name, "/checkpoints/") && !strings.HasPrefix(name, "gc/claims/") { // what the killed one used
				t.Errorf("killed after %v of %v: %s is left", at, took, name)
			}
		}
	}
}
