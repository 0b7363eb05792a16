package gc_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/gc"
	"github.com/quire-ml/quire/runners/store"
)

// oracle says which items stay, from what has happened alone: a second, naive account of
// what reaches what.
func (w *world) oracle(o gc.Options) map[string]bool {
	stays := map[string]bool{}
	keep := func(name string) {
		if len(w.folders[name]) > 0 {
			stays[name] = true
		}
	}
	keepKey := func(key string) {
		for name := range w.folders {
			if strings.Contains(name, "/"+key) {
				stays[name] = true
			}
		}
	}
	// The policy of these tests: the last n judged rounds, newest first.
	left, seenWhole := o.Policy.Last, false
	oldest := time.Time{}
	for _, d := range slices.Backward(w.rounds) {
		judged := d.exit == "done" || d.exit == "refused"
		kept := judged && left > 0 || !judged && !seenWhole || d == w.rounds[len(w.rounds)-1] || d.id == w.running
		if judged {
			seenWhole = true
			left--
		}
		if !kept {
			continue
		}
		oldest = d.began
		keep("rounds/" + d.id)
		for _, key := range d.keys {
			keepKey(key)
		}
		if d.from != nil {
			keepKey(d.from.key)
		}
	}
	keepPromotion := func(p *madePromotion) {
		keep(p.name)
		keepKey(p.SHA256)
		keepKey(p.set.key)
		if p.Round != "" {
			keepKey(p.Round)
		}
		for name := range w.folders { // the decision of its round
			for _, d := range w.rounds {
				if d.keys["promote"] == p.Round && p.Round != "" && strings.Contains(name, "/"+d.keys["gate"]) {
					stays[name] = true
				}
			}
		}
	}
	n := max(o.Promotions, 2)
	for i, p := range w.promoted {
		if i >= len(w.promoted)-n {
			keepPromotion(p)
			keepPromotion(w.arrived(p))
		}
	}
	if len(w.promoted) > 0 { // n models: that in service, and those to which n-1 rollbacks lead
		p := w.promoted[len(w.promoted)-1]
		for i := range n {
			keepPromotion(p)
			p = w.arrived(p)
			keepPromotion(p)
			if p.Previous == "" || i == n-1 {
				break
			}
			p = w.byName(p.Previous)
		}
	} else {
		for name := range w.folders {
			if strings.HasPrefix(name, "promoted/") || strings.HasPrefix(name, "promotions/") {
				keep(name)
			}
		}
	}
	now := o.Now()
	for _, c := range w.claims {
		newer := slices.ContainsFunc(w.rounds, func(d *madeRound) bool { return d.began.After(c.began) && (d.exit == "done" || d.exit == "refused") })
		if c.live || now.Sub(c.began) <= 7*24*time.Hour || !newer {
			keep(c.name)
			for _, key := range c.keys {
				keepKey(key)
			}
		}
	}
	for _, s := range w.sweeps {
		if s.named {
			keep("sweeps/" + s.key)
			for _, r := range s.runs {
				keepKey(r.key)
				for name := range w.folders {
					if strings.HasPrefix(name, "stages/evaluate/") && strings.Contains(w.read(name), r.sha) {
						stays[name] = true
					}
				}
			}
		}
	}
	for _, r := range w.runs {
		if r.pinned || r.held {
			keepKey(r.key)
		}
		if r.whole && stays["runs/"+r.key] {
			keepKey(r.set.key)
		}
	}
	slots := slices.Clone(w.slots)
	slices.Sort(slots)
	for i, id := range slots {
		at, err := time.Parse("20060102T150405Z", id)
		if err != nil {
			w.t.Fatal(err)
		}
		if i >= len(slots)-100 || !oldest.IsZero() && !at.Before(oldest) || id == w.running || stays["rounds/"+id] {
			keep("schedule/slots/" + id + ".json")
		}
	}
	return stays
}

// beats reports whether a file changes by itself, because a lease in it is renewed.
func (w *world) beats(name string) bool {
	return strings.HasSuffix(name, "/run.json") || strings.HasPrefix(name, "gc/")
}

// checkKept reports what is lost of what must stay.
func (w *world) checkKept(what string, stays map[string]bool, before, after map[string]string) {
	w.t.Helper()
	check := func(name string) {
		if got, ok := after[name]; !ok || got != before[name] && !w.beats(name) {
			w.t.Errorf("%s: %s is lost or changed", what, name)
		}
	}
	for item := range stays {
		for _, name := range w.folders[item] {
			check(name)
		}
	}
	for _, name := range w.foreign {
		check(name)
	}
	for _, r := range w.runs {
		if r.pinned {
			check("runs/" + r.key + "/pins.txt")
		}
	}
	for _, name := range []string{"promoted.json", "rounds/latest.json", "schedule/state.json"} {
		if _, ok := before[name]; ok {
			check(name)
		}
	}
}

// checkConsistent reports outcomes whose artifacts are not whole, and records of the
// history without their model.
func (w *world) checkConsistent(what string, after map[string]string) {
	w.t.Helper()
	whole := func(pointer, item string) {
		if _, ok := after[pointer]; !ok {
			return
		}
		for _, name := range w.folders[item] {
			if _, ok := after[name]; !ok {
				w.t.Errorf("%s: %s is there without %s", what, pointer, name)
			}
		}
	}
	for _, s := range w.sets {
		whole("stages/prep/"+s.key+".json", "sets/"+s.key)
		whole("sets/"+s.key+"/manifest.json", "sets/"+s.key)
	}
	for _, r := range w.runs {
		whole("stages/train/"+r.key+".json", "runs/"+r.key)
	}
	for _, d := range w.rounds {
		if _, ok := after["rounds/"+d.id+".json"]; !ok {
			continue
		}
		for stage, key := range d.keys {
			if name := "stages/" + stage + "/" + key + ".json"; len(w.folders[name]) > 0 {
				whole("rounds/"+d.id+".json", name)
			}
		}
	}
	for _, p := range w.promoted {
		whole(p.name, p.Checkpoint)
	}
}

// history lets a random history happen, kills a removal anywhere, and compares with the
// oracle; then a second removal frees the rest.
func history(t *testing.T, seed uint64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "history")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	st, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	w := newWorld(t, st, seed)
	defer w.end()
	for range 3 + w.r.IntN(25) {
		w.act()
	}
	w.check(fmt.Sprintf("seed %d", seed), func(o gc.Options, at int) (ops int, err error) { return killed(t, st, o, at) })
}

// killedIn counts the removals that were killed before they removed, while they did, and
// not at all.
var (
	counting sync.Mutex
	killedIn [3]int
)

var errKilled = errors.New("killed")

// changing are the operations that change a store: a kill between two others leaves the
// same as one before the next of these.
var changing = map[string]bool{"create": true, "write": true, "commit": true, "delete": true}

// killed removes, until a file operation from which on nothing is done any more.
func killed(t testing.TB, st *store.Store, o gc.Options, at int) (ops int, err error) {
	t.Helper()
	var mu sync.Mutex
	faulty := st.WithFaults(func(op, name string) error {
		mu.Lock()
		defer mu.Unlock()
		if changing[op] {
			ops++
		}
		if at >= 0 && ops > at {
			return errKilled
		}
		return nil
	})
	quiet := store.WithNotices(context.Background(), func(string) {})
	_, err = gc.Run(quiet, faulty, o)
	return ops, err
}

// check removes with a kill, and compares.
func (w *world) check(what string, run func(o gc.Options, at int) (int, error)) {
	t := w.t
	t.Helper()
	o := gc.Options{Policy: gc.Policy{Last: 1 + w.r.IntN(4)}, Promotions: w.r.IntN(5), Delete: true,
		Now: func() time.Time { return w.now.Add(time.Hour) }}
	for _, s := range w.sweeps {
		if s.named {
			o.Sweeps = append(o.Sweeps, s.key[:8])
		}
	}
	before, stays := w.snapshot(), w.oracle(o)
	goes := 0
	for item, names := range w.folders {
		if !stays[item] {
			goes += len(names)
		}
	}
	at := w.r.IntN(12 + 2*goes)
	ops, err := run(o, at)
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatalf("%s, killed at %d: %v", what, at, err)
	}
	after := w.snapshot()
	counting.Lock()
	switch gone := len(before) - len(after); {
	case err == nil:
		killedIn[2]++
	case gone > 0:
		killedIn[1]++
	default:
		killedIn[0]++
	}
	counting.Unlock()
	w.checkKept(fmt.Sprintf("%s, killed at %d of %d", what, at, ops), stays, before, after)
	w.checkConsistent(fmt.Sprintf("%s, killed at %d", what, at), after)
	if _, err := run(o, -1); err != nil {
		t.Fatalf("%s, again: %v", what, err)
	}
	after = w.snapshot()
	w.checkKept(what+", again", stays, before, after)
	for item, names := range w.folders {
		for _, name := range names {
			if _, ok := after[name]; ok && !stays[item] {
				t.Errorf("%s, again: %s is not freed", what, name)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// TestHistories lets random histories happen, and kills a removal at a random file
// operation: nothing is lost that is reached, and a second removal frees the rest.
func TestHistories(t *testing.T) {
	memory(t)
	const workers = uint64(3)
	n := uint64(60)
	if soak {
		n = 10_000
	}
	t.Run("seeds", func(t *testing.T) {
		for worker := range workers {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				for seed := worker; seed < n; seed += workers {
					history(t, seed)
				}
			})
		}
	})
	if at := killedIn; at[0] == 0 || at[1] == 0 || at[2] == 0 {
		t.Errorf("%d removals were killed before they removed, %d while they did, %d not at all", at[0], at[1], at[2])
	}
	t.Logf("%d histories; %d removals were killed before they removed, %d while they did, %d not at all", n, killedIn[0], killedIn[1], killedIn[2])
}
