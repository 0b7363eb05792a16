package command_test

import (
	"bufio"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestRunTogether starts identical rounds at the same time, in processes: all end well.
// Those that come second wait for the first, and find everything done. A process that
// dies in its training is no hindrance: another one goes on.
func TestRunTogether(t *testing.T) {
	for _, kill := range []bool{false, true} {
		l := newLab(t)
		args := []string{"run", "--set", "train.epochs=40", "--set", "train.checkpoint.every_steps=30"}
		var rounds sync.WaitGroup
		var mu sync.Mutex
		killed, trained, waited := false, 0, 0
		for range 3 {
			c := l.child(args...)
			stderr, err := c.StderrPipe()
			if err == nil {
				err = c.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			rounds.Go(func() {
				said, victim := "", false
				for lines := bufio.NewScanner(stderr); lines.Scan(); {
					line := lines.Text()
					said += line + "\n"
					mu.Lock()
					switch {
					case kill && !killed && strings.HasPrefix(line, "train: epoch 5: "):
						killed, victim = true, true
						c.Process.Kill()
					case strings.HasPrefix(line, "train: epoch 40: "):
						trained++
					case strings.HasPrefix(line, "WARNING: train waits: "):
						waited++
					}
					mu.Unlock()
				}
				if err := c.Wait(); (err != nil) != victim {
					t.Errorf("kill %v: %v: %s", kill, err, said)
				}
			})
		}
		rounds.Wait()
		if trained != 1 || waited == 0 || killed != kill {
			t.Errorf("kill %v: %d rounds trained, %d waited", kill, trained, waited)
		}
		if sets, err := filepath.Glob(filepath.Join(l.work, "sets", "*", "manifest.json")); err != nil || len(sets) != 1 {
			t.Errorf("the sets are %v, %v", sets, err)
		}
		wantStages(t, l.ok(args...), "nothing to do")
	}
}
