package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/workflow"
)

var ctx = context.Background()

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// chain is stages that count: each result is one more than the last.
type chain struct {
	last int
	said []string
	fail string          // name of the stage whose Run fails
	lost map[string]bool // stages whose outcome is not there any more
}

var errFail = errors.New("it failed")

func (c *chain) stages(names ...string) []workflow.Stage {
	var list []workflow.Stage
	for _, name := range names {
		list = append(list, workflow.Stage{Name: name,
			Find: func(_ context.Context, recorded json.RawMessage) (any, string, error) {
				if recorded == nil || c.lost[name] {
					return nil, "not there", nil
				}
				if err := json.Unmarshal(recorded, &c.last); err != nil {
					return nil, "", err
				}
				return c.last, "there", nil
			},
			Run: func(context.Context) (any, error) {
				if c.fail == name {
					return nil, errFail
				}
				c.last++
				return c.last, nil
			}})
	}
	return list
}

func (c *chain) observe(stage string, skip bool, why string) {
	c.said = append(c.said, fmt.Sprintf("%s %v %s", stage, skip, why))
}

func (c *chain) run(t *testing.T, st *store.Store, names ...string) (*workflow.Record, error) {
	t.Helper()
	c.last, c.said = 0, nil
	return workflow.Run(ctx, st, "key", c.stages(names...), c.observe)
}

func wantSaid(t *testing.T, c *chain, want ...string) {
	t.Helper()
	if !slices.Equal(c.said, want) {
		t.Errorf("the observer was told %q, want %q", c.said, want)
	}
}

func TestRun(t *testing.T) {
	st, c := open(t), &chain{}
	r, err := c.run(t, st, "a", "b")
	if err != nil || string(r.Result("a")) != "1" || string(r.Result("b")) != "2" || r.Result("c") != nil || r.Round != "key" {
		t.Fatalf("the record is %+v, %v", r, err)
	}
	wantSaid(t, c, "a false not there", "b false not there")
	before, _, err := st.Read(ctx, workflow.RecordName("key"))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = c.run(t, st, "a", "b"); err != nil || string(r.Result("b")) != "2" {
		t.Fatalf("the second record is %+v, %v", r, err)
	}
	wantSaid(t, c, "a true there", "b true there")
	c.lost = map[string]bool{"b": true}
	if r, err = c.run(t, st, "a", "b"); err != nil || string(r.Result("b")) != "2" {
		t.Fatalf("with b lost, the record is %+v, %v", r, err)
	}
	wantSaid(t, c, "a true there", "b false not there")
	if after, _, err := st.Read(ctx, workflow.RecordName("key")); err != nil || string(after) != string(before) {
		t.Errorf("the record of the same outcome is %s, %v, want %s", after, err, before)
	}
}

// TestRunFails ends a round at its second stage: there is no record, and the
// next run starts over with what Find finds.
func TestRunFails(t *testing.T) {
	st, c := open(t), &chain{fail: "b"}
	if _, err := c.run(t, st, "a", "b", "c"); !errors.Is(err, errFail) {
		t.Fatalf("the error is %v", err)
	}
	wantSaid(t, c, "a false not there", "b false not there")
	if list, err := st.List(ctx, ""); err != nil || len(list) != 0 {
		t.Errorf("a failed round left %v, %v", list, err)
	}
	c.fail = ""
	if r, err := c.run(t, st, "a", "b", "c"); err != nil || string(r.Result("c")) != "3" {
		t.Errorf("the record is %+v, %v", r, err)
	}
}

func TestRunCancelled(t *testing.T) {
	cancelled, stop := context.WithCancel(ctx)
	stop()
	c := &chain{}
	if _, err := workflow.Run(cancelled, open(t), "key", c.stages("a"), c.observe); !errors.Is(err, context.Canceled) || len(c.said) != 0 {
		t.Errorf("the error is %v after %q", err, c.said)
	}
}

// TestDamagedRecord flips every byte of a record, and cuts its end.
func TestDamagedRecord(t *testing.T) {
	st, c := open(t), &chain{}
	if _, err := c.run(t, st, "a"); err != nil {
		t.Fatal(err)
	}
	path := st.Join(workflow.RecordName("key"))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := c.run(t, st, "a"); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "delete it") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		flipped := slices.Clone(whole)
		flipped[i] ^= 1
		check(fmt.Sprintf("byte %d flipped", i), flipped)
		check(fmt.Sprintf("cut after %d bytes", i), whole[:i])
	}
}

// TestOtherRecord puts the record of one round in the place of another's.
func TestOtherRecord(t *testing.T) {
	st, c := open(t), &chain{}
	if _, err := c.run(t, st, "a"); err != nil {
		t.Fatal(err)
	}
	data, _, err := st.Read(ctx, workflow.RecordName("key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Put(ctx, workflow.RecordName("other"), data); err != nil {
		t.Fatal(err)
	}
	if _, err := workflow.Run(ctx, st, "other", c.stages("a"), c.observe); err == nil || !strings.Contains(err.Error(), `of round "key", want`) {
		t.Errorf("the error is %v", err)
	}
}

func TestKey(t *testing.T) {
	type inputs struct {
		Name  string
		Steps int
	}
	key := func(name string, values ...any) string {
		t.Helper()
		k, err := workflow.Key(name, values...)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	// A key that changes makes every artifact of earlier rounds unknown.
	if got, want := key("prep", 1, inputs{"a", 2}), "3693762a4203b81c8715"; got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
	seen := map[string]string{}
	for what, k := range map[string]string{
		"one": key("prep", 1, inputs{"a", 2}), "name": key("train", 1, inputs{"a", 2}), "version": key("prep", 2, inputs{"a", 2}),
		"field": key("prep", 1, inputs{"a", 3}), "less": key("prep", 1), "split": key("prep", "1", inputs{"a", 2}),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s have the same key", what, other)
		}
		seen[k] = what
	}
	if _, err := workflow.Key("prep", func() {}); err == nil {
		t.Error("a function has a key")
	}
}
