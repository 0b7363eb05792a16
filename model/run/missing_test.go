package run

import (
	"context"
	"os"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
)

// TestMissing takes away checkpoints of a run that has those of steps 1 to 4, of which 3
// is the best: a training goes on from the newest one before what is to be made again.
func TestMissing(t *testing.T) {
	ctx := context.Background()
	keep := Retention{KeepLast: 4, KeepBest: true}
	for _, c := range []struct {
		gone    []int64
		damaged int64
		want    int64 // 0: from zero; -1: an error
	}{
		{nil, 0, 4},
		{[]int64{4}, 0, 3},
		{[]int64{3}, 0, 2}, // 4 alone would leave best.json without its file
		{[]int64{2}, 0, 4},
		{[]int64{2, 3}, 0, 1},
		{[]int64{1, 2, 3}, 0, 0},
		{[]int64{1, 2, 3, 4}, 0, 0},
		{[]int64{1, 2, 4}, 3, -1}, // a damaged one is never made again
	} {
		st := newStore(t)
		d := acquire(t, st)
		for step, loss := range []float64{9, 8, 5, 7} {
			commit(t, d, keep, int64(step+1), loss)
		}
		for _, step := range c.gone {
			if err := os.Remove(st.Join(checkpoint.Path(step))); err != nil {
				t.Fatal(err)
			}
		}
		if c.damaged > 0 {
			if err := os.WriteFile(st.Join(checkpoint.Path(c.damaged)), []byte("x"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		n, err := d.NewestIntact(ctx)
		switch {
		case c.want < 0:
			if err == nil {
				t.Errorf("%+v: goes on from %+v", c, n.Pointer)
			}
			continue
		case err != nil || (n.Checkpoint == nil) != (c.want == 0) || c.want > 0 && n.Step != c.want || (c.want < 4) != (len(n.Damaged) > 0):
			t.Errorf("%+v: goes on from %+v, %v", c, n, err)
			continue
		}
		if step, err := Resumable(ctx, st); err != nil || step != c.want {
			t.Errorf("%+v: Resumable says %d, %v", c, step, err)
		}
		if c.want == 0 {
			err = d.Discard(ctx)
		} else {
			err = d.ResumeFrom(ctx, n, keep)
		}
		if err != nil {
			t.Fatal(err)
		}
		for step := c.want + 1; step <= 4; step++ { // as a training would
			commit(t, d, keep, step, []float64{9, 8, 5, 7}[step-1])
		}
		if latest, best := at(t, st); latest != 4 || best != 3 {
			t.Errorf("%+v: trained again, latest is %d and best %d", c, latest, best)
		}
		if _, err := Files(ctx, st); err != nil {
			t.Error(err)
		}
	}
}

// TestBegin: a directory is a run's from the start, also where no checkpoint follows.
func TestBegin(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	d := acquire(t, st)
	if err := d.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if err := d.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if ours, err := IsRun(ctx, st); err != nil || !ours {
		t.Errorf("begun: %v, %v", ours, err)
	}
	if err := DropJournal(ctx, st); err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"another program's": `{"run": 1}`, "an empty one": ""} {
		if err := os.WriteFile(st.Join(JournalName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if ours, err := IsRun(ctx, st); err != nil || ours {
			t.Errorf("%s: %v, %v", what, ours, err)
		}
	}
}
