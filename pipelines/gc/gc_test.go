package gc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/runners/claim"
	"github.com/quire-ml/quire/runners/store"
)

// small is a world with rounds, of which the last one stays.
func small(t *testing.T, rounds int) (*world, gc.Options) {
	t.Helper()
	st, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, st, 5)
	t.Cleanup(func() { w.end(); st.Close() })
	for range rounds {
		w.round()
	}
	return w, gc.Options{Policy: gc.Policy{Last: 1}, Now: func() time.Time { return w.now }}
}

// names returns the names of items, with their reasons.
func names(items []gc.Item) string {
	var list []string
	for _, it := range items {
		list = append(list, strings.TrimSuffix(it.Name+": "+strings.Join(it.Why, "; "), ": "))
	}
	return strings.Join(list, "\n")
}

// TestDry changes nothing, and says what Delete then does.
func TestDry(t *testing.T) {
	w, o := small(t, 8)
	w.stranger()
	before := w.snapshot()
	dry, err := gc.Run(t.Context(), w.st, o)
	if err != nil || dry.Deleted || len(dry.Goes) == 0 || len(dry.Left) > 0 {
		t.Fatalf("%+v, %v", dry, err)
	}
	if after := w.snapshot(); len(after) != len(before) {
		t.Errorf("a dry run has %d files, before it there were %d", len(after), len(before))
	}
	var bytes int64
	for _, text := range before {
		bytes += int64(len(text))
	}
	if dry.GoesBytes+dry.StaysBytes+dry.ForeignBytes != bytes {
		t.Errorf("%d bytes go, %d stay and %d are of others; there are %d", dry.GoesBytes, dry.StaysBytes, dry.ForeignBytes, bytes)
	}
	if len(dry.Foreign) != 1 || strings.TrimSuffix(dry.Foreign[0].Name, "/") == "" || dry.Foreign[0].Files != 1 {
		t.Errorf("of others there are %+v", dry.Foreign)
	}
	o.Delete = true
	done, err := gc.Run(t.Context(), w.st, o)
	if err != nil || !done.Deleted || names(done.Goes) != names(dry.Goes) || names(done.Stays) != names(dry.Stays) || done.GoesBytes != dry.GoesBytes {
		t.Errorf("dry, these went:\n%s\nthen:\n%s\n%v", names(dry.Goes), names(done.Goes), err)
	}
	dir, _ := w.st.Local()
	if left := emptyFolders(t, filepath.Join(dir, "sets")); len(left) > 0 {
		t.Errorf("empty folders stay: %v", left)
	}
	if w.read("gc/last.json") == "" || w.read("gc/lease.json") != "" {
		t.Error("the removal has no record, or its lease stays")
	}
}

// TestRefuses has everything that keeps a removal from deciding.
func TestRefuses(t *testing.T) {
	w, o := small(t, 4)
	o.Delete = true
	if _, err := gc.Run(t.Context(), w.st, gc.Options{Delete: true}); !errors.Is(err, gc.ErrNoPolicy) {
		t.Errorf("without a policy: %v", err)
	}
	var unknown *gc.SweepError
	o.Sweeps = []string{"3c2b7a"}
	if _, err := gc.Run(t.Context(), w.st, o); !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"3c2b7a"`) {
		t.Errorf("a sweep that there is not: %v", err)
	}
	o.Sweeps = nil
	w.sweep(true)
	sweep := w.sweeps[0].key
	damaged := []string{"rounds/" + w.rounds[0].id + ".json", "stages/prep/" + w.sets[0].key + ".json", "promoted.json", w.promoted[0].name,
		"sweeps/" + sweep + "/sweep.csv"}
	for _, name := range damaged {
		good := w.read(name)
		w.write(name, []byte("{}"))
		before := len(w.snapshot())
		o.Sweeps = []string{sweep}
		if _, err := gc.Run(t.Context(), w.st, o); err == nil || !strings.Contains(err.Error(), w.st.Join(name)) {
			t.Errorf("%s is damaged: %v", name, err)
		}
		if after := len(w.snapshot()); after != before {
			t.Errorf("%s is damaged: %d files stay of %d", name, after, before)
		}
		w.write(name, []byte(good))
	}
}

// TestOthers: one removal at a time; and a run that a process takes while it is about to
// go stays, with its outcome.
func TestOthers(t *testing.T) {
	w, o := small(t, 5)
	o.Delete = true
	var busy *madeRun
	for _, r := range w.runs {
		if r.whole && !w.oracle(o)["runs/"+r.key] {
			busy = r
		}
	}
	other := w.st.OnMachine("another boot")
	var lease *store.Lease
	var once sync.Once
	st := w.st.WithFaults(func(op, name string) error {
		if op != "delete" {
			return nil
		}
		once.Do(func() { // everything was looked at
			if _, err := gc.Run(t.Context(), w.st, o); !errors.As(err, new(*store.HeldError)) {
				t.Errorf("a second removal: %v", err)
			}
			var err error
			if lease, err = store.Acquire(t.Context(), other, "runs/"+busy.key+"/run.json", nil); err != nil {
				t.Error(err)
			}
		})
		return nil
	})
	res, err := gc.Run(t.Context(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release(t.Context())
	for _, name := range slices.Concat(w.folders["runs/"+busy.key], w.folders["stages/train/"+busy.key+".json"]) {
		if w.read(name) == "" {
			t.Errorf("%s is gone while a process holds its run", name)
		}
	}
	if len(res.Left) != 2 || !strings.Contains(names(res.Left), "works on it") || !strings.Contains(res.String(), "2 items in use") {
		t.Errorf("left are\n%s\n%v", names(res.Left), res)
	}
}

// TestAnnounced: what somebody used at the first look was not announced, so it stays also
// when its user ends before the second one: another may have begun to use it.
func TestAnnounced(t *testing.T) {
	w, o := small(t, 6)
	o.Delete = true
	dry, err := gc.Run(t.Context(), w.st, gc.Options{Policy: o.Policy, Now: o.Now})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(dry.Goes, func(it gc.Item) bool { return it.Kind == "run" })
	name := dry.Goes[i].Name
	user := claim.New(w.st, "round")
	if _, err := user.Take(t.Context(), strings.TrimPrefix(name, "runs/")); err != nil {
		t.Fatal(err)
	}
	looks := 0
	st := w.st.WithFaults(func(op, object string) error {
		if op == "list" && strings.HasSuffix(object, "gc/claims/") {
			if looks++; looks == 2 {
				return user.Release(context.Background())
			}
		}
		return nil
	})
	res, err := gc.Run(t.Context(), st, o)
	if err != nil || looks != 2 || !strings.Contains(names(res.Stays), name+": new: ") || w.read(name+"/latest.json") == "" {
		t.Errorf("%s was used at the first of %d looks: %v\n%s", name, looks, err, names(res.Stays))
	}
	if res, err = gc.Run(t.Context(), w.st, o); err != nil || !strings.Contains(names(res.Goes), name) {
		t.Errorf("%s stays: %v\n%s", name, err, names(res.Goes))
	}
}

// TestPointer: the round of latest.json stays, although another began later; and so does
// the start of trainings to come.
func TestPointer(t *testing.T) {
	w, o := small(t, 6)
	old := w.rounds[1]
	w.replace("rounds/latest.json", map[string]any{"format": "quire-latest/1", "round": old.id})
	res, err := gc.Run(t.Context(), w.st, o)
	if err != nil || !strings.Contains(names(res.Stays), "rounds/"+old.id+": the newest round") {
		t.Errorf("%v\n%s", err, names(res.Stays))
	}
	start := w.newRun(w.newSet(), true)
	for _, path := range []string{"runs/" + start.key, w.st.Join("runs/" + start.key + "/checkpoints/step-00000010.safetensors")} {
		o.Start = path
		res, err := gc.Run(t.Context(), w.st, o)
		if err != nil || !strings.Contains(names(res.Stays), "runs/"+start.key+": trainings start from it") ||
			!strings.Contains(names(res.Stays), "sets/"+start.set.key+": set of runs/"+start.key) {
			t.Errorf("start %s: %v\n%s", path, err, names(res.Stays))
		}
	}
	copied := "promoted/" + strings.Repeat("0a", 32) + ".safetensors"
	w.put(copied, copied, []byte("an old model"))
	o.Start = copied
	if res, err = gc.Run(t.Context(), w.st, o); err != nil || !strings.Contains(names(res.Stays), copied+": trainings start from it") {
		t.Errorf("start %s: %v\n%s", copied, err, names(res.Stays))
	}
}

// TestSlots: the records of the last slots stay, as those as new as a round that stays, and
// no others.
func TestSlots(t *testing.T) {
	w, o := small(t, 0)
	day := func(n int) string { return time.Date(2026, 1, n, 3, 0, 0, 0, time.UTC).Format("20060102T150405Z") }
	for n := range 150 {
		w.slot(day(1+n), "")
	}
	w.now = time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	w.round() // begins at day 31 or later
	w.now = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	o.Policy = gc.Policy{Last: 2}
	o.Delete = true
	if _, err := gc.Run(t.Context(), w.st, o); err != nil {
		t.Fatal(err)
	}
	for n := range 150 {
		at := time.Date(2026, 1, 1+n, 3, 0, 0, 0, time.UTC)
		stays := n >= 50-1 || !at.Before(w.rounds[0].began) // the round's own slot is one of the last 100
		if got := w.read("schedule/slots/"+day(1+n)+".json") != ""; got != stays && n != 49 && n != 50 {
			t.Errorf("slot %d stays: %v, want %v", n, got, stays)
		}
	}
}

// TestCaches removes what is older than a day of the user's caches, with Cache alone, and
// nothing while somebody uses the workdir.
func TestCaches(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	w, o := small(t, 2)
	o.Delete = true
	old, young := filepath.Join(cache, "quire/downloads/aa/book.txt"), filepath.Join(cache, "quire/shards/b")
	for _, path := range []string{old, young} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("text"), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	o.Now = time.Now
	if err := os.Chtimes(old, time.Now().Add(-25*time.Hour), time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	there := func() string {
		_, err1 := os.Stat(old)
		_, err2 := os.Stat(young)
		return fmt.Sprint(err1 == nil, err2 == nil)
	}
	run := func() *gc.Result {
		t.Helper()
		res, err := gc.Run(t.Context(), w.st, o)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if run(); there() != "true true" {
		t.Errorf("without Cache the files are %s", there())
	}
	w.claim(true)
	o.Cache = true
	if run(); there() != "true true" {
		t.Errorf("in use the files are %s", there())
	}
	w.end()
	w.ends = nil
	res := run()
	if last := res.Goes[len(res.Goes)-1]; there() != "false true" || last.Kind != "cache" || last.Bytes != 4 || last.Files != 1 {
		t.Errorf("the files are %s, the last that went %+v", there(), last)
	}
}

// TestAhead: the clock of the removal is a month ahead, so that a claim which a process renews
// looks old and left. Its user lives, as an attempt to take it shows; what it uses stays.
func TestAhead(t *testing.T) {
	w, o := small(t, 6)
	dry, err := gc.Run(t.Context(), w.st, o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(dry.Goes, func(it gc.Item) bool { return it.Kind == "run" })
	name := dry.Goes[i].Name
	value := fmt.Sprintf(`{"what":"sweep","began":"2026-01-01T00:00:00Z","keys":[%q]}`, strings.TrimPrefix(name, "runs/"))
	w.lease("gc/claims/user.json", json.RawMessage(value))
	o.Delete = true
	o.Now = func() time.Time { return time.Now().AddDate(0, 1, 0) }
	res, err := gc.Run(t.Context(), w.st, o)
	if err != nil || w.read(name+"/latest.json") == "" || w.read("gc/claims/user.json") == "" || !strings.Contains(names(res.Stays), name+": used by a sweep") {
		t.Errorf("%s, used by a living process, went by a clock that is ahead: %v\n%s", name, err, names(res.Stays))
	}
}

// TestApart: a training that renews its lease by a clock an hour behind keeps its run and set.
func TestApart(t *testing.T) {
	w, o := small(t, 6)
	dry, err := gc.Run(t.Context(), w.st, o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(dry.Goes, func(it gc.Item) bool { return it.Kind == "run" })
	name := dry.Goes[i].Name
	w.lease(name+"/run.json", nil)
	for ahead, stays := range map[time.Duration]bool{59 * time.Minute: true, 2 * time.Hour: false} {
		o.Now = func() time.Time { return time.Now().Add(ahead) }
		res, err := gc.Run(t.Context(), w.st, o)
		if err != nil || strings.Contains(names(res.Stays), name+": process ") != stays {
			t.Errorf("a clock that is %v ahead: %v\n%s", ahead, err, names(res.Stays))
		}
	}
}

// TestStartByLink: the run that trainings start from stays, by whatever name of the workdir.
func TestStartByLink(t *testing.T) {
	w, o := small(t, 6)
	dry, err := gc.Run(t.Context(), w.st, o)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(dry.Goes, func(it gc.Item) bool { return it.Kind == "run" })
	name := dry.Goes[i].Name
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(w.dir, link); err != nil {
		t.Fatal(err)
	}
	o.Start = filepath.Join(link, name)
	res, err := gc.Run(t.Context(), w.st, o)
	if err != nil || !strings.Contains(names(res.Stays), name+": trainings start from it") {
		t.Errorf("%v\n%s", err, names(res.Stays))
	}
}

// TestRequests: what was asked of another machine goes a day later, and not while anybody
// uses the workdir. What notify was told of the schedule is of quire, and stays.
func TestRequests(t *testing.T) {
	w, o := small(t, 2)
	asked := []string{"requests/" + strings.Repeat("0a", 32) + ".json", "requests/answer-ABC"}
	for _, name := range append(asked, "requests/notes.txt", "schedule/streak.json") {
		w.write(name, []byte("{}"))
	}
	o.Now = time.Now
	check := func(what string, age time.Duration, goes bool) {
		t.Helper()
		for _, name := range asked {
			at := time.Now().Add(-age)
			if err := os.Chtimes(filepath.Join(w.dir, name), at, at); err != nil {
				t.Fatal(err)
			}
		}
		res, err := gc.Run(t.Context(), w.st, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range asked {
			if got := strings.Contains(names(res.Goes), name); got != goes {
				t.Errorf("%s: %s goes: %v, want %v", what, name, got, goes)
			}
		}
		if len(res.Foreign) != 1 || res.Foreign[0].Name != "requests/notes.txt" {
			t.Errorf("%s: of others there are %+v", what, res.Foreign)
		}
	}
	check("young", 23*time.Hour, false)
	check("old", 25*time.Hour, true)
	w.lease("gc/claims/user.json", json.RawMessage(`{"what":"round","began":"2026-01-01T00:00:00Z","keys":[]}`))
	check("beside a round", 25*time.Hour, false)
	w.end()
	if err := os.Remove(filepath.Join(w.dir, "gc/claims/user.json")); err != nil {
		t.Fatal(err)
	}
	w.ends = nil
	w.lease("runs/"+w.runs[0].key+"/run.json", nil)
	check("beside a training", 25*time.Hour, false)
	o.Delete = true
	w.end()
	w.ends = nil
	check("at the end", 25*time.Hour, true)
	if w.read(asked[0])+w.read(asked[1]) != "" || w.read("schedule/streak.json") == "" {
		t.Error("requests are there still, or what notify was told is gone")
	}
}
