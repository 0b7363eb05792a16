package run

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
)

// TestRetention commits eight checkpoints, of which steps 3 and 5 have the lowest
// losses and steps 1 and 7 none.
func TestRetention(t *testing.T) {
	losses := []float64{0, 1.5, 1.1, 1.4, 1.2, 1.3, 0, 1.6}
	for _, c := range []struct {
		keep   Retention
		pins   string
		want   []int64
		best   int64
		warned string
	}{
		{Retention{}, "", []int64{8}, -1, ""},
		{Retention{KeepLast: 1}, "", []int64{8}, -1, ""},
		{Retention{KeepLast: 3}, "", []int64{6, 7, 8}, -1, ""},
		{Retention{KeepLast: 99}, "", []int64{1, 2, 3, 4, 5, 6, 7, 8}, -1, ""},
		{Retention{KeepBest: true}, "", []int64{3, 8}, 3, ""},
		{Retention{KeepLast: 2, KeepBest: true}, "", []int64{3, 7, 8}, 3, ""},
		{Retention{KeepLast: 2}, "# to show\n1 # good\n\n 4\n99", []int64{1, 4, 7, 8}, -1, ""},
		{Retention{KeepLast: 2}, "1\r\n4\r\n", []int64{1, 4, 7, 8}, -1, ""},
		{Retention{}, "1\nstep seven\n", []int64{1, 2, 3, 4, 5, 6, 7, 8}, -1, `line 2: "step seven" is not the step of a checkpoint`},
		{Retention{KeepBest: true}, "-7", []int64{1, 2, 3, 4, 5, 6, 7, 8}, 3, `line 1: "-7" is not the step of a checkpoint`},
	} {
		st := newStore(t)
		d := acquire(t, st)
		if _, err := st.Put(context.Background(), PinsName, []byte(c.pins)); err != nil {
			t.Fatal(err)
		}
		for i, loss := range losses {
			p, err := d.Save(context.Background(), ofStep(int64(i+1)))
			if err != nil {
				t.Fatal(err)
			}
			if loss != 0 {
				p = withLoss(p, loss)
			}
			warning, err := d.Commit(context.Background(), p, c.keep)
			if err != nil || (warning != nil) != (c.warned != "") {
				t.Fatal(warning, err)
			}
			if warning != nil && (!strings.Contains(warning.Error(), st.Join(PinsName)+": "+c.warned) ||
				!strings.HasSuffix(warning.Error(), "; no checkpoint is deleted until this file is mended")) {
				t.Errorf("warned %v, want %s", warning, c.warned)
			}
		}
		found, listed := steps(t, st)
		latest, best := at(t, st)
		if !slices.Equal(found, c.want) || !slices.Equal(listed, c.want) || latest != 8 || best != c.best {
			t.Errorf("%+v, pins %q: files of steps %v, listed %v, latest %d, best %d; want %v, 8, %d", c.keep, c.pins, found, listed, latest, best, c.want, c.best)
		}
	}
}

// TestRetentionOfLinks: a link to nothing in the place of an old checkpoint, such as one on
// a disk that is not there, does not end the training, and stays.
func TestRetentionOfLinks(t *testing.T) {
	st := newStore(t)
	d := acquire(t, st)
	commit(t, d, Retention{}, 2, 0)
	link := st.Join(checkpoint.Path(1))
	if err := os.Symlink("/nothing/here", link); err != nil {
		t.Fatal(err)
	}
	commit(t, d, Retention{}, 3, 0)
	if _, err := os.Lstat(link); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(st.Join(checkpoint.Path(2))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("step 2: %v", err)
	}
}

// TestBest: best.json moves only to a lower loss, gets a loss that was unknown
// before, and stays readable after KeepBest is off.
func TestBest(t *testing.T) {
	st := newStore(t)
	d, keep := acquire(t, st), Retention{KeepBest: true}
	commit(t, d, keep, 1, 0)
	if _, best := at(t, st); best != -1 {
		t.Errorf("without a loss, best.json names step %d", best)
	}
	commit(t, d, keep, 1, 1.5)
	commit(t, d, keep, 2, 1.5)
	if _, best := at(t, st); best != 1 {
		t.Errorf("of equal losses, best.json names step %d, not the first", best)
	}
	commit(t, d, keep, 3, 1.4)
	commit(t, d, Retention{}, 4, 1.3)
	commit(t, d, Retention{}, 5, 1.2)
	found, _ := steps(t, st)
	if latest, best := at(t, st); latest != 5 || best != 3 || !slices.Equal(found, []int64{3, 5}) {
		t.Errorf("best.json, no longer followed, names step %d, want 3; files of steps %v", best, found)
	}
	n, err := d.NewestIntact(context.Background())
	if err == nil {
		err = d.ResumeFrom(context.Background(), n, Retention{})
	}
	if _, best := at(t, st); err != nil || best != 3 {
		t.Errorf("resumed, best.json, no longer followed, names step %d, %v", best, err)
	}
}

// TestLowest: of equal losses the earlier step is the best, and a checkpoint without a loss
// is none.
func TestLowest(t *testing.T) {
	at := func(step int64, loss ...float64) checkpoint.Pointer {
		p := checkpoint.Pointer{Step: step}
		if len(loss) > 0 {
			p.Loss = &loss[0]
		}
		return p
	}
	for _, c := range []struct {
		list []checkpoint.Pointer
		want int64 // step; 0: none
	}{
		{nil, 0}, {[]checkpoint.Pointer{at(1)}, 0}, {[]checkpoint.Pointer{at(1), at(2, 3)}, 2},
		{[]checkpoint.Pointer{at(1, 2), at(2, 1), at(3, 1)}, 2}, {[]checkpoint.Pointer{at(1, 2), at(2), at(3, 1.5)}, 3},
	} {
		if best, ok := (journal{Checkpoints: c.list}).lowest(); best.Step != c.want || ok != (c.want > 0) {
			t.Errorf("of %v: step %d, %v, want %d", c.list, best.Step, ok, c.want)
		}
	}
}
