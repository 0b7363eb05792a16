package run

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quire-ml/quire/model/checkpoint"
	"github.com/quire-ml/quire/runners/store"
)

func TestOpen(t *testing.T) {
	ctx := context.Background()
	st := newStore(t)
	dir := st.URL()
	first, err := checkpoint.Save(ctx, st, ofStep(172))
	if err != nil {
		t.Fatal(err)
	}
	last, err := checkpoint.Save(ctx, st, ofStep(200))
	if err != nil {
		t.Fatal(err)
	}
	open := func(path, which string, step int64) {
		t.Helper()
		c, at, err := Open(ctx, path, which)
		if err != nil || c.Step != step || at != st.Join(checkpoint.Path(step)) {
			t.Errorf("Open(%s, %s) = %+v, %s, %v, want step %d", path, which, c, at, err, step)
		}
		if n, err := Bytes(ctx, path, which); err != nil || n != c.Bytes || n == 0 {
			t.Errorf("Bytes(%s, %s) = %d, %v, want %d", path, which, n, err, c.Bytes)
		}
	}
	none := func(path, which string) {
		t.Helper()
		if n, err := Bytes(ctx, path, which); err == nil || n != 0 {
			t.Errorf("Bytes(%s, %s) = %d, %v, want an error", path, which, n, err)
		}
	}
	none(dir, Best)
	none(dir, "step:9")
	none(dir, "step:x")
	none(st.Join("checkpoints/step-00000009.safetensors"), Best)
	open(dir, "step:200", 200)
	if _, _, err := Open(ctx, dir, Best); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "there is no checkpoint at "+dir) {
		t.Errorf("without pointers: %v", err)
	}
	open(st.Join(first.Name), Best, 172)
	if err := (&pointer{which: Latest}).swap(ctx, st, last); err != nil {
		t.Fatal(err)
	}
	open(dir, Latest, 200)
	open(dir, Best, 200)
	if err := (&pointer{which: Best}).swap(ctx, st, first); err != nil {
		t.Fatal(err)
	}
	open(dir, Best, 172)
	open(dir, Latest, 200)
	copied := filepath.Join(t.TempDir(), "model.bin")
	file, err := os.ReadFile(st.Join(first.Name))
	if err == nil {
		err = os.WriteFile(copied, file, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if c, at, err := Open(ctx, copied, Latest); err != nil || c.Step != 172 || at != copied {
		t.Errorf("a copied file: %+v, %s, %v", c, at, err)
	}
	t.Chdir(filepath.Dir(copied))
	if c, at, err := Open(ctx, "model.bin", Latest); err != nil || c.Step != 172 || at != "model.bin" {
		t.Errorf("a file by its name: %+v, %s, %v", c, at, err)
	}
	if _, _, err := Open(ctx, dir, "newest"); err == nil || !strings.Contains(err.Error(), `"newest" names no pointer; want latest or best`) {
		t.Errorf("another pointer: %v", err)
	}
	missing := filepath.Join(dir, "step-00000009.safetensors")
	if _, _, err := Open(ctx, missing, ""); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.Remove(st.Join(first.Name)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(ctx, dir, Best); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), st.Join(first.Name)) {
		t.Errorf("a pointer to a missing file: %v", err)
	}
}

// TestOpenStep reads by step: a committed checkpoint, a checkpoint that no journal
// lists, and a missing one.
func TestOpenStep(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	committed(t, st, Retention{KeepLast: 2}, 3, 6)
	if _, err := checkpoint.Save(ctx, st, ofStep(5)); err != nil {
		t.Fatal(err)
	}
	for which, step := range map[string]int64{"step:3": 3, "step:6": 6, "step:5": 5} {
		if c, at, err := Open(ctx, st.URL(), which); err != nil || c.Step != step || at != st.Join(checkpoint.Path(step)) {
			t.Errorf("%s is %+v, %s, %v", which, c, at, err)
		}
	}
	if _, _, err := Open(ctx, st.URL(), "step:4"); !errors.Is(err, fs.ErrNotExist) ||
		!strings.HasSuffix(err.Error(), "; the run has those of steps 3, 6") || !strings.Contains(err.Error(), st.Join(checkpoint.Path(4))) {
		t.Errorf("a missing step: %v", err)
	}
	// The journal shows that an intact file is not the committed one.
	if err := os.Remove(st.Join(checkpoint.Path(3))); err != nil {
		t.Fatal(err)
	}
	other := ofStep(3)
	other.Tensors[0].Data[1] = 9
	if _, err := checkpoint.Save(ctx, st, other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(ctx, st.URL(), "step:3"); err == nil || !strings.Contains(err.Error(), "the file is intact, but another") {
		t.Errorf("another file: %v", err)
	}
	if _, _, err := Open(ctx, newStore(t).URL(), "step:4"); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "the run has") {
		t.Errorf("a step of no run: %v", err)
	}
}

// TestOpenWhileDeleted: a reader whose checkpoint is deleted between the pointer
// and the file gets the next; with a pointer that stays, the error.
func TestOpenWhileDeleted(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	d := acquire(t, st)
	commit(t, d, Retention{}, 1, 0)
	armed := true
	defer store.InjectFaults(func(op, name string) error {
		if armed && op == "open" && strings.HasSuffix(name, filepath.Base(checkpoint.Path(1))) {
			armed = false
			commit(t, d, Retention{}, 2, 0)
		}
		return nil
	})()
	c, at, err := Open(ctx, st.URL(), Latest)
	if err != nil || c.Step != 2 || at != st.Join(checkpoint.Path(2)) || armed {
		t.Errorf("%+v, %s, %v; armed %v", c, at, err, armed)
	}
	damage(t, st, checkpoint.Path(2))
	if _, _, err := Open(ctx, st.URL(), Latest); err == nil || !strings.Contains(err.Error(), st.Join(checkpoint.Path(2))) ||
		!strings.HasSuffix(err.Error(), "; put back an intact copy") {
		t.Errorf("damaged: %v", err)
	}
}

func TestCheckWhich(t *testing.T) {
	for _, which := range []string{"best", "latest", "step:0", "step:500"} {
		if err := CheckWhich(which); err != nil {
			t.Errorf("%s: %v", which, err)
		}
	}
	for _, which := range []string{"", "newest", "Best", "step", "step:", "step:-1", "step:1.5", "step:x", "500"} {
		err := CheckWhich(which)
		if err == nil || !strings.Contains(err.Error(), "step:500") {
			t.Errorf("%q: %v", which, err)
		}
		if _, _, openErr := Open(context.Background(), t.TempDir(), which); openErr == nil {
			t.Errorf("%q opens", which)
		}
	}
}

// TestNewestIntact: resume takes the newest checkpoint that is intact, names the
// newer ones, and writes nothing before ResumeFrom.
func TestNewestIntact(t *testing.T) {
	ctx, keep := context.Background(), Retention{KeepLast: 9, KeepBest: true}
	for _, c := range []struct {
		name    string
		damaged []int64
		missing []int64
		want    int64 // 0: an error
		best    int64
		fails   string
	}{
		{"all intact", nil, nil, 4, 3, ""},
		{"the newest damaged", []int64{4}, nil, 3, 3, ""},
		{"the newest missing", nil, []int64{4}, 3, 3, ""},
		{"an older one damaged", []int64{2}, nil, 4, 3, ""},
		{"two newest, with the best", []int64{3}, []int64{4}, 2, 2, ""},
		{"all but the first, which has no loss", []int64{2, 3, 4}, nil, 1, -1, ""},
		{"all", []int64{1, 3}, []int64{2, 4}, 0, 3, "; nor is one of the 3 before it intact; put back an intact copy"},
	} {
		st := newStore(t)
		d := acquire(t, st)
		for i, loss := range []float64{0, 1.3, 1.1, 1.2} {
			commit(t, d, keep, int64(i+1), loss)
		}
		for _, step := range c.damaged {
			damage(t, st, checkpoint.Path(step))
		}
		for _, step := range c.missing {
			if err := os.Remove(st.Join(checkpoint.Path(step))); err != nil {
				t.Fatal(err)
			}
		}
		before := files(t, st)
		n, err := d.NewestIntact(ctx)
		if !reflect.DeepEqual(files(t, st), before) {
			t.Errorf("%s: NewestIntact has changed the run", c.name)
		}
		if c.want == 0 {
			if err == nil || !strings.Contains(err.Error(), st.Join(checkpoint.Path(4))) || !strings.HasSuffix(err.Error(), c.fails) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err != nil || n.Step != c.want || n.Pointer.Step != c.want || n.Tensors[0].Data[0] != float32(c.want) || len(n.Damaged) != int(4-c.want) {
			t.Fatalf("%s: %+v, %v", c.name, n, err)
		}
		for i, err := range n.Damaged {
			if !strings.Contains(err.Error(), st.Join(checkpoint.Path(int64(4-i)))) {
				t.Errorf("%s: damaged checkpoint %d: %v", c.name, i, err)
			}
		}
		if err := d.ResumeFrom(ctx, n, keep); err != nil {
			t.Fatal(err)
		}
		latest, best := at(t, st)
		_, listed := steps(t, st)
		var want []int64
		for step := range c.want {
			want = append(want, step+1)
		}
		if latest != c.want || best != c.best || !slices.Equal(listed, want) || d.Latest().Step != c.want {
			t.Errorf("%s: latest %d, best %d, listed %v; want %d, %d, %v", c.name, latest, best, listed, c.want, c.best, want)
		}
		// A training that goes on from there saves the steps again.
		for step := c.want + 1; step <= 4; step++ {
			commit(t, d, keep, step, 0)
		}
		if latest, _ := at(t, st); latest != 4 {
			t.Errorf("%s: afterwards latest is %d", c.name, latest)
		}
	}
}

// TestKilledWithinCommit: a process that was killed after the journal, between
// the pointers, or before the deletions leaves the rest to the next.
func TestKilledWithinCommit(t *testing.T) {
	ctx, keep, killed := context.Background(), Retention{KeepBest: true}, errors.New("killed")
	for _, dies := range []string{"best.json", "latest.json", "checkpoints"} {
		st := newStore(t)
		armed := false
		dying := st.WithFaults(func(op, name string) error {
			if armed && (op == "create" || op == "delete") && (strings.HasSuffix(name, dies) || dies == "checkpoints" && strings.Contains(name, "checkpoints/step-")) {
				return killed
			}
			return nil
		})
		d, err := Acquire(ctx, dying, nil)
		if err != nil {
			t.Fatal(err)
		}
		commit(t, d, keep, 1, 2)
		p, err := d.Save(ctx, ofStep(2))
		if err != nil {
			t.Fatal(err)
		}
		armed = true
		if _, err := d.Commit(ctx, withLoss(p, 1), keep); !errors.Is(err, killed) {
			t.Fatalf("%s: %v", dies, err)
		}
		if _, _, err := Open(ctx, st.URL(), Best); err != nil {
			t.Errorf("%s: a reader gets %v", dies, err)
		}
		if latest, best := at(t, st); dies == "latest.json" && (latest != 1 || best != 2) {
			t.Errorf("latest %d, best %d: want latest.json written last", latest, best)
		}
		armed = false
		if err := d.Release(ctx); err != nil {
			t.Fatal(err)
		}
		next := acquire(t, st)
		n, err := next.NewestIntact(ctx)
		if err != nil || n.Step != 2 || len(n.Damaged) > 0 {
			t.Fatalf("%s: %+v, %v", dies, n, err)
		}
		if err := next.ResumeFrom(ctx, n, keep); err != nil {
			t.Fatal(err)
		}
		if latest, best := at(t, st); latest != 2 || best != 2 {
			t.Errorf("%s: latest %d, best %d", dies, latest, best)
		}
		if _, err := next.Commit(ctx, next.Latest(), keep); err != nil {
			t.Fatal(err)
		}
		if found, _ := steps(t, st); !slices.Equal(found, []int64{2}) {
			t.Errorf("%s: files of steps %v", dies, found)
		}
	}
}

// TestWithoutJournal: a run whose journal is older than its pointers, or lost,
// goes on from them; best.json counts only up to latest.json.
func TestWithoutJournal(t *testing.T) {
	ctx, st := context.Background(), newStore(t)
	d := acquire(t, st)
	commit(t, d, Retention{KeepLast: 9, KeepBest: true}, 1, 1)
	commit(t, d, Retention{KeepLast: 9, KeepBest: true}, 2, 2)
	if err := d.lease.Commit(ctx, nil); err != nil {
		t.Fatal(err)
	}
	damage(t, st, checkpoint.Path(2))
	n, err := d.NewestIntact(ctx)
	if err != nil || n.Step != 1 || len(n.Damaged) != 1 {
		t.Errorf("with both pointers: %+v, %v", n, err)
	}
	// latest.json goes back to step 1, best.json names step 2.
	one, two := pointer{which: Latest}, pointer{which: Best}
	if err := errors.Join(one.read(ctx, st), two.read(ctx, st)); err != nil {
		t.Fatal(err)
	}
	p1, p2 := two.Pointer, one.Pointer
	if err := errors.Join(one.move(ctx, st, p1), two.move(ctx, st, p2)); err != nil {
		t.Fatal(err)
	}
	if n, err = d.NewestIntact(ctx); err != nil || n.Step != 1 || len(n.Damaged) > 0 {
		t.Errorf("with a best.json newer than latest.json: %+v, %v", n, err)
	}
	if err := d.ResumeFrom(ctx, n, Retention{}); err != nil {
		t.Fatal(err)
	}
	if _, best := at(t, st); best != 1 {
		t.Errorf("best.json names step %d", best)
	}
}

// TestUnreadable: a checkpoint that cannot be read is not taken for a damaged one.
// A checkpoint that is read well the second time is intact.
func TestUnreadable(t *testing.T) {
	ctx, st, cause := context.Background(), newStore(t), errors.New("the cable is out")
	committed(t, st, Retention{KeepLast: 2}, 1, 2)
	broken := st.WithFaults(func(op, name string) error {
		if op == "readat" && strings.HasSuffix(name, checkpoint.Path(2)) {
			return cause
		}
		return nil
	})
	d := acquire(t, broken)
	if n, err := d.NewestIntact(ctx); !errors.Is(err, cause) || n != nil {
		t.Errorf("%+v, %v", n, err)
	}
	if err := d.Release(ctx); err != nil {
		t.Fatal(err)
	}
	reads := 0
	flaky := st.WithFaults(func(op, name string) error {
		if op == "open" && strings.HasSuffix(name, checkpoint.Path(2)) {
			if reads++; reads == 1 {
				return store.ErrNotExist
			}
		}
		return nil
	})
	if n, err := acquire(t, flaky).NewestIntact(ctx); err != nil || n.Step != 2 || len(n.Damaged) > 0 || reads != 2 {
		t.Errorf("after a flaky read: %+v, %v, %d reads", n, err, reads)
	}
}
