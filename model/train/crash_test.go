package train_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/quire-ml/quire/model/run"
	"github.com/quire-ml/quire/model/train"
	"github.com/quire-ml/quire/runners/store"
	"github.com/quire-ml/quire/runners/store/crashtest"
)

// changing are the file operations that change the disk.
var changing = map[string]bool{"mkdir": true, "create": true, "write": true, "sync": true, "link": true, "rename": true, "remove": true, "syncdir": true}

// sweep returns one of two numbers, the second with -tags soak.
func sweep(short, long int) int {
	if soak {
		return long
	}
	return short
}

// saves returns the options of a run that saves after every step, and an observer
// that keeps the last step whose save is over, -1 before the first.
func saves() (train.Options, *atomic.Int64, func(train.Report) error) {
	o := options()
	o.EverySteps, o.KeepLast = 1, 2
	acknowledged, writing := new(atomic.Int64), int64(-1)
	acknowledged.Store(-1)
	return o, acknowledged, func(r train.Report) error {
		if r.Saved != "" {
			acknowledged.Store(writing)
			writing = r.Step
		}
		return nil
	}
}

// opens checks that the run in a directory has a newest checkpoint that is not
// older than the acknowledged one.
func opens(t *testing.T, what, dir string, acknowledged int64) {
	t.Helper()
	c, _, err := run.Open(context.Background(), dir, "latest")
	switch {
	case acknowledged < 0 && errors.Is(err, store.ErrNotExist):
	case err != nil:
		t.Errorf("%s: step %d is lost: %v", what, acknowledged, err)
	case c.Step < acknowledged || c.Step > acknowledged+2:
		t.Errorf("%s: step %d is there, acknowledged was %d", what, c.Step, acknowledged)
	}
}

// memory returns a folder in memory, if the machine has one: syncs cost nothing
// there.
func memory(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	return t.TempDir()
}

// expire lets the lease in a crash image expire: its holder is this process,
// which lives.
func expire(t *testing.T, dir string) {
	t.Helper()
	st, j := openStore(t, dir), json.RawMessage("null")
	_, err := store.ReadLeased(context.Background(), st, "run.json", &j)
	if errors.Is(err, store.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := store.MarshalSealed(map[string]any{"format": "quire-lease/1", "value": j})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(st.Join("run.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
}

// goesOn trains to the end from the disk after a crash, and compares the end.
func goesOn(t *testing.T, what string, st *store.Store, o train.Options, want map[string]string) {
	t.Helper()
	if _, err := runIn(context.Background(), st, trainData(), validationData(), o, nil); err != nil {
		t.Errorf("%s: %v", what, err)
	} else if got := last(t, st); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: the end is %v, want %v", what, got, want)
	}
}

// TestCrashImages lets the machine fail after every file operation of a run that
// saves eight times, and keeps none, half or all of the data that was not synced.
// The checkpoint whose save was over is there, or the next; and the run goes on to
// the same end.
func TestCrashImages(t *testing.T) {
	dir, crashes := memory(t), t.TempDir()
	want, seeds, images := wholeRun(t), sweep(1, 20), 0
	disk, err := crashtest.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	o, acknowledged, observe := saves()
	image := func(what string, keep float64, seed int) {
		images++
		to, acked := filepath.Join(crashes, fmt.Sprint(images)), acknowledged.Load()
		if err := disk.Image(to, keep, uint64(images)); err != nil {
			t.Error(err)
		}
		what = fmt.Sprintf("image %d, %s, %g kept, seed %d", images, what, keep, seed)
		opens(t, what, to, acked)
		if images%sweep(10, 4) == 0 {
			expire(t, to)
			goesOn(t, what, openStore(t, to), o, want)
		}
		os.RemoveAll(to)
	}
	var one sync.Mutex // the lease is renewed beside the save
	restore := store.WatchFiles(func(op, name string, err error) {
		one.Lock()
		defer one.Unlock()
		disk.Done(op, name, err)
		if !changing[op] || t.Failed() {
			return
		}
		what := op + " " + name
		image(what, 0, 0)
		image(what, 1, 0)
		for seed := range seeds {
			image(what, 0.5, seed)
		}
	})
	st := openStore(t, dir)
	restore()
	mustRun(t, st, o, observe)
	if images < sweep(500, 3000) {
		t.Errorf("only %d images", images)
	}
	t.Logf("%d images", images)
}

// TestDiskFails fails file operations of a run with a full and with a broken disk:
// each operation alone, and all from there on. The run ends with the error, the
// checkpoint before is there, and the next run goes on to the same end.
func TestDiskFails(t *testing.T) {
	memory(t)
	want, runs := wholeRun(t), 0
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, stays := range []bool{false, true} {
			for nth := 1; ; nth += sweep(23, 1) {
				what := fmt.Sprintf("operation %d fails with %v, stays %v", nth, cause, stays)
				var count atomic.Int64
				var broken atomic.Bool
				broken.Store(true)
				dir := t.TempDir()
				restore := store.InjectFaults(func(op, _ string) error {
					if !changing[op] || op == "remove" || !broken.Load() {
						return nil
					}
					if n := count.Add(1); n == int64(nth) || stays && n > int64(nth) {
						return cause
					}
					return nil
				})
				st := openStore(t, dir)
				restore()
				o, acknowledged, observe := saves()
				_, err := runIn(context.Background(), st, trainData(), validationData(), o, observe)
				if count.Load() < int64(nth) {
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
					break
				}
				if runs++; !errors.Is(err, cause) {
					t.Errorf("%s: %v", what, err)
				}
				broken.Store(false)
				opens(t, what, dir, acknowledged.Load())
				goesOn(t, what, st, o, want)
			}
		}
	}
	t.Logf("%d runs", runs)
}
