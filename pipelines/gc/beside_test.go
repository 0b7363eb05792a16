package gc_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

// Artifacts of a round whose stages write what the shipped ones write, and train nothing.
const (
	setArtifact   workflow.Artifact[string] = "set"
	modelArtifact workflow.Artifact[string] = "model"
	lossArtifact  workflow.Artifact[string] = "evaluation"
)

type seed struct {
	Seed int `json:"seed"`
}

// put writes a file once, as the stages do: the same bytes again succeed.
func put(ctx context.Context, st *store.Store, name, text string) error {
	_, err := st.Put(ctx, name, []byte(text))
	return err
}

// want reads a file of an artifact that a stage needs.
func want(ctx context.Context, st *store.Store, name, text string) error {
	data, _, err := st.Read(ctx, name)
	if err != nil {
		return err
	}
	if string(data) != text {
		return fmt.Errorf("%s is %q, want %q", name, data, text)
	}
	return nil
}

// pipeline is a round of one config. As the shipped prep does, its prep makes again what
// is missing of a set, and takes a set that is whole as it is.
func pipeline(n int) *workflow.Pipeline {
	p, err := workflow.New(
		workflow.Stage[seed, string]{Name: "prep", Version: 1, Config: seed{n}, Artifact: setArtifact,
			Run: func(ctx context.Context, c seed, task *workflow.Task) (out workflow.Product[string], err error) {
				dir := "sets/" + task.Key + "/"
				_, err = task.Store.Stat(ctx, dir+"manifest.json")
				if errors.Is(err, store.ErrNotExist) {
					err = errors.Join(put(ctx, task.Store, dir+"train-00000-of-00001.tfrecord", fmt.Sprint("shard ", c.Seed)), put(ctx, task.Store, dir+"vocab.json", "{}"),
						put(ctx, task.Store, dir+"manifest.json", fmt.Sprint("set ", c.Seed)))
				}
				out.Value = dir
				out.Files = []workflow.File{{Name: dir + "manifest.json"}, {Name: dir + "train-00000-of-00001.tfrecord"}}
				return out, err
			}},
		workflow.Stage[seed, string]{Name: "train", Version: 1, Config: seed{n}, Inputs: []workflow.Input{setArtifact}, Artifact: modelArtifact,
			Run: func(ctx context.Context, c seed, task *workflow.Task) (out workflow.Product[string], err error) {
				set, err := setArtifact.Of(task)
				if err != nil {
					return out, err
				}
				if err := errors.Join(want(ctx, task.Store, set+"manifest.json", fmt.Sprint("set ", c.Seed)),
					want(ctx, task.Store, set+"train-00000-of-00001.tfrecord", fmt.Sprint("shard ", c.Seed))); err != nil {
					return out, err
				}
				dir := "runs/" + task.Key + "/"
				lease, err := store.Acquire(ctx, task.Store, dir+"run.json", nil)
				if err != nil {
					return out, err
				}
				err = errors.Join(put(ctx, task.Store, dir+"checkpoints/step-00000001.safetensors", fmt.Sprint("weights ", c.Seed)),
					put(ctx, task.Store, dir+"latest.json", "1"), lease.Commit(ctx, map[string]any{"checkpoints": nil}), lease.Release(ctx))
				out.Value = dir
				out.Files = []workflow.File{{Name: dir + "latest.json"}, {Name: dir + "checkpoints/step-00000001.safetensors"}}
				return out, err
			}},
		workflow.Stage[seed, string]{Name: "evaluate", Version: 1, Config: seed{n}, Inputs: []workflow.Input{setArtifact, modelArtifact}, Artifact: lossArtifact,
			Run: func(ctx context.Context, c seed, task *workflow.Task) (out workflow.Product[string], err error) {
				set, err1 := setArtifact.Of(task)
				dir, err2 := modelArtifact.Of(task)
				out.Value = "1.5"
				return out, errors.Join(err1, err2, want(ctx, task.Store, set+"train-00000-of-00001.tfrecord", fmt.Sprint("shard ", c.Seed)),
					want(ctx, task.Store, dir+"checkpoints/step-00000001.safetensors", fmt.Sprint("weights ", c.Seed)))
			}})
	if err != nil {
		panic(err)
	}
	return p
}

// turns says who does its next operation on the store: the round, or the removal.
type turns struct {
	mu      sync.Mutex
	changed *sync.Cond
	next    func(done [2]int) int // of the operations so far: 0 is the round, 1 the removal
	done    [2]int
	idle    [2]bool // it has ended, or waits for the other
}

func (o *turns) step(who int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.idle[1-who] && o.next(o.done) != who {
		o.changed.Wait()
	}
	o.done[who]++
	o.changed.Broadcast()
}

func (o *turns) set(who int, idle bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idle[who] = idle
	o.changed.Broadcast()
}

// beside runs a round of an old config beside a removal under which that config's artifacts
// go, in the order of next, and checks that the round has what it says. It returns the
// number of operations of each, and whether the round has waited.
func beside(t *testing.T, dir string, next func(done [2]int) int) (done [2]int, waited bool) {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	for i, id := range []string{"20260101T000000Z", "20260102T000000Z"} {
		if _, err := pipeline(i+1).Run(ctx, st, workflow.Options{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	o := &turns{next: next}
	o.changed = sync.NewCond(&o.mu)
	party := func(who int) *store.Store {
		return st.WithFaults(func(op, _ string) error {
			if op != "write" && op != "commit" { // of one write with create
				o.step(who)
			}
			return nil
		})
	}
	var group sync.WaitGroup
	group.Go(func() {
		defer o.set(0, true)
		wait := func(e workflow.Event) {
			if e.Kind == workflow.Waits {
				waited = true
				o.set(0, true) // the removal goes on alone
			}
		}
		if _, err := pipeline(1).Run(ctx, party(0), workflow.Options{ID: "20260103T000000Z", Observe: wait}); err != nil {
			t.Errorf("the round: %v", err)
		}
	})
	group.Go(func() {
		defer o.set(1, true)
		var held *store.HeldError
		if _, err := gc.Run(ctx, party(1), gc.Options{Policy: gc.Policy{Last: 1}, Delete: true}); err != nil && !errors.As(err, &held) {
			t.Errorf("the removal: %v", err)
		}
	})
	group.Wait()
	// All that the round's record names is there, whole: a second one has nothing to do.
	r, err := workflow.ReadRecord(ctx, st, "20260103T000000Z")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Stages {
		if _, err := workflow.ReadMade(ctx, st, workflow.OutcomeName(s.Name, s.Key)); err != nil {
			t.Errorf("the round has done %s: %v", s.Name, err)
		}
	}
	again, err := pipeline(1).Run(ctx, st, workflow.Options{})
	if err != nil {
		t.Errorf("the round again: %v", err)
	} else if again.Round != r.Round {
		for _, s := range again.Stages {
			if s.Action == workflow.ActionRun {
				t.Errorf("the round again runs %s: %s", s.Name, strings.Join(s.Reasons, "; "))
			}
		}
	}
	return o.done, waited
}

// TestBeside lets a removal happen within a round, at each of its operations on the store,
// and a round within a removal; then both by turns that chance decides.
func TestBeside(t *testing.T) {
	memory(t)
	count, waits := 0, 0
	one := func(what string, next func(done [2]int) int) (done [2]int) {
		dir, err := os.MkdirTemp("", "beside")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		synctest.Test(t, func(t *testing.T) {
			var waited bool
			done, waited = beside(t, dir, next)
			if count++; waited {
				waits++
			}
			if t.Failed() {
				t.Errorf("in the order %s", what)
			}
		})
		return done
	}
	step := 3
	if soak {
		step = 1
	}
	for within := range 2 { // the other one comes at operation at of this one
		for at, n := 0, 1; at < n; at += step {
			done := one(fmt.Sprintf("%d until %d", within, at), func(done [2]int) int {
				if done[within] < at {
					return within
				}
				return 1 - within
			})
			n = done[within]
		}
	}
	for i := range uint64(40 / step) {
		r := rand.New(rand.NewPCG(i, 1))
		who, left := 0, 0
		one(fmt.Sprintf("of seed %d", i), func(done [2]int) int {
			if total := done[0] + done[1]; total >= left {
				who, left = 1-who, total+1+r.IntN(12)
			}
			return who
		})
	}
	if waits == 0 {
		t.Error("no round has waited for a removal")
	}
	t.Logf("%d orders; in %d the round has waited", count, waits)
}
