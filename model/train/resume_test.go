package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
)

// last is the part of a run that must not depend on its interruptions.
func last(t testing.TB, st *store.Store) map[string]string {
	t.Helper()
	all := contents(t, st)
	return map[string]string{"checkpoint": all[checkpoint.Path(8)], "latest": all["latest.json"], "best": all["best.json"]}
}

func wholeRun(t testing.TB) map[string]string {
	st := newStore(t)
	mustRun(t, st, options(), nil)
	return last(t, st)
}

// TestInterrupt cancels the context at every read of a sequence, of training and
// of validation, and lets the next call go on: the end has the same bytes.
func TestInterrupt(t *testing.T) {
	want := wholeRun(t)
	for n := 0; ; n++ {
		st := newStore(t)
		ctx, cancel := context.WithCancel(context.Background())
		reads := 0
		count := func(int, int64) error {
			if reads++; reads == n {
				cancel()
			}
			return nil
		}
		if n == 0 {
			cancel()
		}
		data, val := trainData(), validationData()
		data.read = count
		val.readAt = func(at int64) error { return count(0, at) }
		res, err := runIn(ctx, st, data, val, options(), nil)
		cancel()
		if err == nil {
			if n != reads+1 {
				t.Errorf("interrupt %d of %d was overlooked", n, reads)
			}
			break
		}
		if !errors.Is(err, train.ErrInterrupted) || res == nil || res.Done {
			t.Fatalf("interrupt %d: %+v, %v", n, res, err)
		}
		if p := pointerOf(t, st, "latest"); p.Step != res.Step || p.Name != res.Checkpoint {
			t.Errorf("interrupt %d: at step %d, but latest is %+v", n, res.Step, p)
		}
		again := mustRun(t, st, options(), nil)
		if got := last(t, st); again.Resumed != res.Step || !reflect.DeepEqual(got, want) {
			t.Errorf("interrupt %d at step %d: the end is %v, want %v", n, res.Step, got, want)
		}
	}
}

// TestManyInterrupts stops after every step.
func TestManyInterrupts(t *testing.T) {
	want, st, stops := wholeRun(t), newStore(t), 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		data, reads := trainData(), 0
		data.read = func(int, int64) error {
			if reads++; reads == options().Batch+1 { // the first read of this call's second step
				cancel()
			}
			return nil
		}
		res, err := runIn(ctx, st, data, validationData(), options(), nil)
		cancel()
		if err == nil {
			break
		}
		if stops++; !errors.Is(err, train.ErrInterrupted) || res.Step != int64(stops) {
			t.Fatalf("stop %d: %+v, %v", stops, res, err)
		}
	}
	if got := last(t, st); !reflect.DeepEqual(got, want) || stops != 7 {
		t.Errorf("after %d stops the end is %v, want %v", stops, got, want)
	}
}

// TestFailures: a failed read, and an observer's error at every report, end the
// run with that error, and the next call goes on.
func TestFailures(t *testing.T) {
	want, cause := wholeRun(t), errors.New("no more")
	for n, done := 1, false; !done; n++ {
		st, reports := newStore(t), 0
		_, err := runIn(context.Background(), st, trainData(), validationData(), options(), func(train.Report) error {
			if reports++; reports == n {
				return cause
			}
			return nil
		})
		if done = err == nil; !done && !errors.Is(err, cause) {
			t.Fatal(err)
		}
		mustRun(t, st, options(), nil)
		if got := last(t, st); !reflect.DeepEqual(got, want) {
			t.Errorf("report %d failed: the end is %v, want %v", n, got, want)
		}
	}
	st, data := newStore(t), trainData()
	data.read = func(epoch int, position int64) error {
		if epoch == 2 && position == 3 {
			return cause
		}
		return nil
	}
	if _, err := runIn(context.Background(), st, data, validationData(), options(), nil); !errors.Is(err, cause) {
		t.Errorf("a failed read: %v", err)
	}
	mustRun(t, st, options(), nil)
	if got := last(t, st); !reflect.DeepEqual(got, want) {
		t.Errorf("after a failed read the end is %v, want %v", got, want)
	}
}

// TestLeftover: a checkpoint without a pointer, of a run with other numbers that
// was killed before it moved latest.json, is not in the way.
func TestLeftover(t *testing.T) {
	ctx, o := context.Background(), options()
	o.Identity.Config = json.RawMessage(`{"train":{"lr":1}}`)
	o.MaxSteps = 3
	st := newStore(t)
	mustRun(t, st, o, nil)
	for _, which := range []string{"latest", "best", "run"} {
		if err := st.Delete(ctx, which+".json", ""); err != nil {
			t.Fatal(err)
		}
	}
	mustRun(t, st, options(), nil)
	if got, want := last(t, st), wholeRun(t); !reflect.DeepEqual(got, want) {
		t.Errorf("the end is %v, want %v", got, want)
	}
}

// TestTwoRuns: of two runs in one directory, the second is refused, and all files
// stay.
func TestTwoRuns(t *testing.T) {
	st := newStore(t)
	refused := 0
	data := trainData()
	data.read = func(epoch int, position int64) error {
		before := contents(t, st)
		_, err := runIn(context.Background(), st, trainData(), validationData(), options(), nil)
		var held *store.HeldError
		if !errors.As(err, &held) || held.PID != os.Getpid() || !strings.Contains(err.Error(), st.Join("run.json")) {
			t.Errorf("%v, want the holder of the lease", err)
		}
		if after := contents(t, st); position == 0 && epoch == 1 && !reflect.DeepEqual(after, before) {
			t.Errorf("a run that is refused changed what is there: %v, before %v", after, before)
		}
		refused++
		return nil
	}
	if _, err := runIn(context.Background(), st, data, validationData(), options(), nil); err != nil || refused != 16 {
		t.Errorf("%d refused, %v", refused, err)
	}
	if got, want := last(t, st), wholeRun(t); !reflect.DeepEqual(got, want) {
		t.Errorf("the end is %v, want %v", got, want)
	}
}

// damage flips a bit near the end of a file.
func damage(t *testing.T, st *store.Store, name string) {
	t.Helper()
	file, err := os.ReadFile(st.Join(name))
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-10] ^= 1
	if err := os.WriteFile(st.Join(name), file, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDamage: damaged pointers, a damaged journal, or checkpoints none of which
// is intact stop a run; no training starts from zero.
func TestDamage(t *testing.T) {
	all := []string{checkpoint.Path(8), checkpoint.Path(6), checkpoint.Path(4), checkpoint.Path(3)}
	for _, names := range [][]string{{"latest.json"}, {"best.json"}, {"run.json"}, all} {
		st := newStore(t)
		mustRun(t, st, options(), nil)
		for _, name := range names {
			damage(t, st, name)
		}
		before := contents(t, st)
		_, err := runIn(context.Background(), st, trainData(), validationData(), options(), nil)
		if err == nil || !strings.Contains(err.Error(), st.Join(names[0])) || len(names) > 1 && !strings.HasSuffix(err.Error(), "nor is one of the 3 before it intact; put back an intact copy") {
			t.Errorf("%v damaged: %v", names, err)
		}
		if after := contents(t, st); !reflect.DeepEqual(after, before) {
			t.Errorf("%v damaged: the run changed what was there", names)
		}
		if err := compatible(context.Background(), st, options()); err == nil {
			t.Errorf("%v damaged: compatible", names)
		}
	}
}

// TestFallBack: newest checkpoints that are damaged or gone are named, the one
// before is taken, and the end is the same.
func TestFallBack(t *testing.T) {
	whole := newStore(t)
	mustRun(t, whole, options(), nil)
	want := contents(t, whole)
	all := []int64{8, 6, 4, 3}
	for n := 1; n < len(all); n++ {
		st := newStore(t)
		mustRun(t, st, options(), nil)
		for i, step := range all[:n] {
			if i%2 == 0 {
				damage(t, st, checkpoint.Path(step))
			} else if err := os.Remove(st.Join(checkpoint.Path(step))); err != nil {
				t.Fatal(err)
			}
		}
		if err := compatible(context.Background(), st, options()); err != nil {
			t.Errorf("%d damaged: not compatible: %v", n, err)
		}
		var named []string
		res := mustRun(t, st, options(), func(r train.Report) error {
			if r.Warning != nil {
				named = append(named, r.Warning.Error())
			}
			if len(named) == n && r.Resumed {
				if p := pointerOf(t, st, "latest"); p.Step != all[n] {
					t.Errorf("%d damaged: latest.json names step %d", n, p.Step)
				}
			}
			return nil
		})
		if res.Resumed != all[n] || len(named) != n {
			t.Errorf("%d damaged: went on from step %d, said %q", n, res.Resumed, named)
		}
		for i, text := range named {
			if !strings.Contains(text, st.Join(checkpoint.Path(all[i]))) || !strings.HasSuffix(text, fmt.Sprintf("; the checkpoint of step %d is taken instead", all[n])) {
				t.Errorf("%d damaged: said %q", n, text)
			}
		}
		if got := contents(t, st); !reflect.DeepEqual(got, want) {
			t.Errorf("%d damaged: the end is %v, want %v", n, got, want)
		}
	}
}

// TestUnreadable: a checkpoint that cannot be read is not taken for a damaged one.
func TestUnreadable(t *testing.T) {
	st := newStore(t)
	mustRun(t, st, options(), nil)
	before, cause := contents(t, st), errors.New("the cable is out")
	broken := st.WithFaults(func(op, name string) error {
		if op == "readat" {
			return cause
		}
		return nil
	})
	if _, err := runIn(context.Background(), broken, trainData(), validationData(), options(), nil); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if after := contents(t, st); !reflect.DeepEqual(after, before) {
		t.Error("the run changed what was there")
	}
}

func TestIdentity(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	if err := compatible(ctx, st, options()); err != nil {
		t.Errorf("an empty directory: %v", err)
	}
	mustRun(t, st, options(), nil)
	if err := compatible(ctx, st, options()); err != nil {
		t.Errorf("the same: %v", err)
	}
	config := func(old, new string) func(*train.Options) {
		return func(o *train.Options) {
			o.Identity.Config = json.RawMessage(strings.Replace(string(o.Identity.Config), old, new, 1))
		}
	}
	for _, c := range []struct {
		change func(*train.Options)
		want   []string
	}{
		{config(`"epochs":2`, `"epochs":9`), nil},
		{config(`"lr":0.01`, `"lr":0.02`), []string{"train.lr: the run has 0.01, now 0.02"}},
		{config(`,"lr":0.01`, ``), []string{"train.lr: the run has 0.01, now none"}},
		{config(`"lr"`, `"seed":1,"lr"`), []string{"train.seed: the run has none, now 1"}},
		{config(`4`, `8`), []string{"model.hidden: the run has 4, now 8"}},
		{func(o *train.Options) { o.Identity.Cell = "lstm" }, []string{"cell: the run has gru, now lstm"}},
		{func(o *train.Options) { o.Identity.Unit, o.Identity.Normalize = "byte", "nfc" },
			[]string{"unit: the run has rune, now byte", "normalize: the run has none, now nfc"}},
		{func(o *train.Options) { o.Identity.Set = "77" }, []string{"set: the run has 5e7, now 77"}},
		{func(o *train.Options) { o.Identity.Vocab = json.RawMessage(`[]`) }, []string{"vocabulary differs"}},
	} {
		o := options()
		c.change(&o)
		before := contents(t, st)
		_, err := runIn(ctx, st, trainData(), validationData(), o, nil)
		for _, err := range []error{err, compatible(ctx, st, o)} {
			var other *train.IdentityError
			switch {
			case c.want == nil && err != nil:
				t.Errorf("%v, want no error", err)
			case c.want == nil:
			case !errors.As(err, &other) || !slices.Equal(other.Differences, c.want):
				t.Errorf("%v, want %v", err, c.want)
			case !strings.HasSuffix(err.Error(), "this run came from other inputs ("+strings.Join(c.want, "; ")+")"):
				t.Errorf("the error reads %v", err)
			}
		}
		if after := contents(t, st); c.want != nil && !reflect.DeepEqual(after, before) {
			t.Errorf("%v: the run changed what was there", c.want)
		}
		if c.want == nil {
			st = newStore(t)
			mustRun(t, st, options(), nil)
		}
	}
}
