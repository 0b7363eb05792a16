package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

// TestRetention: the last, the best and the pinned checkpoints stay. With a
// negative rate the loss goes up, so the first epochs are the best.
func TestRetention(t *testing.T) {
	for _, c := range []struct {
		name  string
		last  int
		pins  string
		want  []int64
		warns bool
	}{
		{"last and best", 1, "", []int64{4, 16}, false},
		{"last 3 and best", 3, "", []int64{4, 14, 15, 16}, false},
		{"pinned", 2, "# to show\n7 # good\n\n 13\n99\n", []int64{4, 7, 13, 15, 16}, false},
		{"pins that cannot be read", 1, "7\nstep seven\n", []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			st, o := newStore(t), options()
			o.Epochs, o.EverySteps, o.KeepLast, o.LR = 4, 1, c.last, -0.01
			if c.pins != "" {
				if _, err := st.Put(context.Background(), run.PinsName, []byte(c.pins)); err != nil {
					t.Fatal(err)
				}
			}
			warned := 0
			mustRun(t, st, o, func(r train.Report) error {
				if r.Warning != nil {
					warned++
					if want := st.Join(run.PinsName) + `: line 2: "step seven" is not the step of a checkpoint`; !strings.Contains(r.Warning.Error(), want) {
						t.Errorf("warned %v, want %s", r.Warning, want)
					}
				}
				return nil
			})
			if got := steps(t, st); !slices.Equal(got, c.want) || (warned > 0) != c.warns {
				t.Errorf("checkpoints of steps %v, want %v; %d warnings", got, c.want, warned)
			}
			kept, err := run.Checkpoints(context.Background(), st)
			if err != nil {
				t.Fatal(err)
			}
			var listed []int64
			for _, p := range kept {
				listed = append(listed, p.Step)
				if _, err := checkpoint.Load(context.Background(), st, p); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(listed, c.want) {
				t.Errorf("the journal lists %v, want %v", listed, c.want)
			}
		})
	}
}

// TestEvery saves by time: after the first step, and after each step without a
// save under way; or only at the ends of epochs.
func TestEvery(t *testing.T) {
	for every, want := range map[time.Duration][]int64{time.Nanosecond: {1, 4, 8}, time.Hour: {4, 8}, 0: {4, 8}} {
		st, o := newStore(t), options()
		o.EverySteps, o.Every = 0, every
		mustRun(t, st, o, nil)
		got := steps(t, st)
		if every == time.Nanosecond {
			got = slices.DeleteFunc(got, func(step int64) bool { return !slices.Contains(want, step) })
		}
		if !slices.Equal(got, want) {
			t.Errorf("every %v: checkpoints of steps %v, want %v", every, got, want)
		}
	}
}

// TestReader reads the newest checkpoint in a loop while a run saves and deletes.
func TestReader(t *testing.T) {
	st, o := newStore(t), options()
	o.Epochs, o.EverySteps, o.KeepLast = 5, 1, 1
	done := make(chan error)
	go func() {
		last := int64(0)
		for {
			c, _, err := run.Open(context.Background(), st.URL(), "latest")
			if err != nil && !errors.Is(err, store.ErrNotExist) || c != nil && c.Step < last {
				t.Errorf("read step %v after %d, %v", c, last, err)
			}
			if c != nil {
				last = c.Step
			}
			if err == nil && last == 20 || t.Failed() {
				done <- err
				return
			}
		}
	}()
	mustRun(t, st, o, nil)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestLostLease: a training whose lease another has taken can save no more, and the
// files of the other stay.
func TestLostLease(t *testing.T) {
	for _, at := range []int64{0, 2, 7} { // positions of an epoch
		st, o := newStore(t), options()
		o.EverySteps = 0
		dir, err := run.Acquire(context.Background(), st, nil)
		if err != nil {
			t.Fatal(err)
		}
		data, before := trainData(), map[string]string{}
		data.read = func(epoch int, position int64) error {
			if epoch == 2 && position == at {
				takeOver(t, st)
				before = contents(t, st)
			}
			return nil
		}
		_, err = train.Run(context.Background(), dir, data, validationData(), o, nil)
		if !errors.Is(err, store.ErrLost) || !strings.Contains(err.Error(), st.Join("run.json")) {
			t.Errorf("%v, want a lost lease", err)
		}
		after := contents(t, st)
		for _, name := range []string{"latest.json", "best.json", "run.json"} {
			if after[name] != before[name] {
				t.Errorf("position %d: %s has changed", at, name)
			}
		}
	}
}

// takeOver takes the lease of a run as another process would whose clock says
// that it has expired.
func takeOver(t *testing.T, st *store.Store) {
	t.Helper()
	var j json.RawMessage
	if held, err := store.ReadLeased(context.Background(), st, "run.json", &j); err != nil || !held {
		t.Fatalf("held %v, %v", held, err)
	}
	data, err := store.MarshalSealed(map[string]any{"format": "quire-lease/1", "value": j,
		"holder": map[string]any{"id": "other", "host": "elsewhere", "pid": 1, "machine": "", "process": "", "until": time.Now().Add(time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(st.Join("run.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}
