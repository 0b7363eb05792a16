package gc_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quire-ml/quire/pipelines/promotion"
	"github.com/quire-ml/quire/runners/schedule"
	"github.com/quire-ml/quire/runners/store"
)

// A world is a workdir and the list of what has happened there. It writes files in the
// formats of their packages, and knows nothing of package gc.
type world struct {
	t   testing.TB
	st  *store.Store
	dir string // of st, where it is local: then files are written and read without it, which is quicker
	r   *rand.Rand
	now time.Time

	sets     []*madeSet
	runs     []*madeRun
	rounds   []*madeRound
	promoted []*madePromotion
	claims   []*madeClaim
	sweeps   []*madeSweep
	slots    []string // ids
	foreign  []string // names
	running  string   // slot
	orphans  int

	folders map[string][]string // names of files, by item
	ends    []func()
}

type madeSet struct{ key, digest string }

type madeRun struct {
	key, sha string
	set      *madeSet
	from     *madeRun
	whole    bool // it has an outcome
	pinned   bool
	held     bool
}

type madeRound struct {
	id    string
	began time.Time
	exit  string
	keys  map[string]string // by stage
	run   *madeRun          // nil: it came to none
	from  *madeRun
}

type madePromotion struct {
	promotion.Promoted
	name string
	set  *madeSet
}

type madeClaim struct {
	name  string
	keys  []string
	began time.Time
	live  bool
}

type madeSweep struct {
	key   string
	runs  []*madeRun
	named bool
}

func newWorld(t testing.TB, st *store.Store, seed uint64) *world {
	dir, _ := st.Local()
	return &world{t: t, st: st, dir: dir, r: rand.New(rand.NewPCG(seed, 7)), now: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC), folders: map[string][]string{}}
}

func (w *world) hex(n int) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for range n {
		b.WriteByte(digits[w.r.IntN(16)])
	}
	return b.String()
}

func (w *world) key() string { return w.hex(20) }

// chance reports true in a share of the calls.
func (w *world) chance(share float64) bool { return w.r.Float64() < share }

func pick[T any](w *world, list []T) T { return list[w.r.IntN(len(list))] }

// put writes a file of an item.
func (w *world) put(item, name string, data []byte) {
	w.t.Helper()
	w.write(name, data)
	if item != "" && !slices.Contains(w.folders[item], name) {
		w.folders[item] = append(w.folders[item], name)
	}
}

// write writes a file, or replaces it.
func (w *world) write(name string, data []byte) {
	w.t.Helper()
	var err error
	if path := filepath.Join(w.dir, name); w.dir == "" {
		err = w.st.Replace(context.Background(), name, data)
	} else if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
		err = os.WriteFile(path, data, 0o666)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// fill writes files of a few bytes below a folder, an item.
func (w *world) fill(folder string, files ...string) {
	for _, file := range files {
		w.put(folder, folder+"/"+file, []byte(w.hex(1+w.r.IntN(40))))
	}
}

func (w *world) seal(item, name string, v any) {
	w.t.Helper()
	data, err := store.MarshalSealed(v)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(item, name, data)
}

// outcome writes the outcome of a stage.
func (w *world) outcome(stage, key, artifact, digest string, inputs map[string]string, files ...string) {
	name := "stages/" + stage + "/" + key + ".json"
	var list []map[string]any
	for _, f := range files {
		list = append(list, map[string]any{"name": f, "bytes": 1, "sha256": "", "generation": ""})
	}
	w.seal(name, name, map[string]any{"format": "quire-outcome/1", "stage": stage, "key": key, "version": 1, "config": map[string]any{},
		"inputs": inputs, "output": map[string]any{"name": artifact, "digest": digest, "value": map[string]any{"x": 1}, "files": list},
		"seconds": 1, "cost": map[string]any{}})
}

// madeSet makes a set and its outcome.
func (w *world) newSet() *madeSet {
	s := &madeSet{w.key(), w.hex(64)}
	w.fill("sets/"+s.key, "train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "vocab.json", "manifest.json")
	w.outcome("prep", s.key, "set", s.digest, nil, w.folders["sets/"+s.key]...)
	w.sets = append(w.sets, s)
	return s
}

// newRun makes a run on a set; whole, with its outcome.
func (w *world) newRun(s *madeSet, whole bool) *madeRun {
	r := &madeRun{key: w.key(), sha: w.hex(64), set: s, whole: whole}
	folder := "runs/" + r.key
	w.fill(folder, "checkpoints/step-00000010.safetensors", "config.yaml", "metrics.jsonl")
	w.seal(folder, folder+"/run.json", map[string]any{"format": "quire-lease/1", "value": map[string]any{"checkpoints": []any{}}})
	if whole {
		w.fill(folder, "loss.png", "latest.json", "best.json")
		w.outcome("train", r.key, "model", r.sha, map[string]string{"set": s.digest}, folder+"/latest.json")
	}
	w.runs = append(w.runs, r)
	return r
}

// round makes a round: with a new or an old set, a new or an old run.
func (w *world) round() {
	w.now = w.now.Add(time.Duration(1+w.r.IntN(60)) * time.Hour)
	d := &madeRound{id: w.now.Format("20060102T150405Z"), began: w.now, exit: "done", keys: map[string]string{}}
	if w.chance(0.2) {
		d.exit = pick(w, []string{"refused", "failed", "interrupted"})
	}
	var stages []map[string]any
	add := func(stage, key, artifact, digest string) {
		d.keys[stage] = key
		stages = append(stages, map[string]any{"name": stage, "action": "run", "reasons": []string{}, "key": key, "version": 1,
			"config": map[string]any{}, "inputs": map[string]any{}, "output": artifact, "digest": digest, "files": 0, "bytes": 0,
			"result": map[string]any{}, "seconds": 1, "cost": map[string]any{}})
	}
	s := w.newSetOr(0.5)
	add("prep", s.key, "set", s.digest)
	broken := d.exit == "failed" || d.exit == "interrupted"
	switch {
	case broken && w.chance(0.5):
		r := w.newRun(s, false)
		add("train", r.key, "model", "")
	case !broken:
		d.run = w.newRunOr(s, 0.3)
		if d.run.from == nil && w.chance(0.15) && len(w.runs) > 1 {
			d.from = pick(w, w.runs)
		}
		add("train", d.run.key, "model", d.run.sha)
		for _, stage := range []string{"evaluate", "gate"} {
			key, digest := w.key(), w.hex(64)
			w.outcome(stage, key, map[string]string{"evaluate": "evaluation", "gate": "decision"}[stage], digest, map[string]string{"model": d.run.sha})
			add(stage, key, stage, digest)
			if stage == "gate" && d.exit == "done" {
				promote := w.key()
				w.outcome("promote", promote, "promotion", w.hex(64), nil)
				add("promote", promote, "promotion", w.hex(64))
				w.promote(d.run, promotion.ByRound, promote, digest)
			}
		}
	}
	config := map[string]any{"train": map[string]any{"from": ""}}
	if d.from != nil {
		config["train"] = map[string]any{"from": "runs/" + d.from.key + pick(w, []string{"", "/checkpoints/step-00000010.safetensors"})}
	}
	w.seal("rounds/"+d.id, "rounds/"+d.id+".json", map[string]any{"format": "quire-round/2", "round": d.id, "began": d.began, "ended": d.began.Add(time.Minute),
		"exit": d.exit, "config": config, "versions": map[string]string{}, "host": map[string]string{}, "stages": stages})
	w.rounds = append(w.rounds, d)
	w.replace("rounds/latest.json", map[string]any{"format": "quire-latest/1", "round": d.id})
	if w.chance(0.8) {
		w.slot(d.id, d.id)
	}
}

func (w *world) newSetOr(old float64) *madeSet {
	if len(w.sets) > 0 && w.chance(old) {
		return pick(w, w.sets)
	}
	return w.newSet()
}

func (w *world) newRunOr(s *madeSet, old float64) *madeRun {
	for _, r := range w.runs {
		if r.set == s && r.whole && w.chance(old) {
			return r
		}
	}
	return w.newRun(s, true)
}

func (w *world) replace(name string, v any) {
	w.t.Helper()
	data, err := store.MarshalSealed(v)
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(name, data)
}

func (w *world) slot(id, round string) {
	name := "schedule/slots/" + id + ".json"
	w.seal(name, name, map[string]any{"format": "quire-slot/1", "slot": id, "status": schedule.Ran, "round": round, "at": w.now})
	w.slots = append(w.slots, id)
}

// promote puts a run's model into service, as package promotion does.
func (w *world) promote(r *madeRun, by, round, decision string) {
	w.install(promotion.Promoted{SHA256: r.sha, Set: r.set.digest, By: by, Round: round, Decision: decision, From: "runs/" + r.key + "/best"}, r.set)
}

func (w *world) install(next promotion.Promoted, set *madeSet) {
	w.t.Helper()
	ctx := context.Background()
	next.Checkpoint, next.Bytes = "promoted/"+next.SHA256+".safetensors", 10
	w.put(next.Checkpoint, next.Checkpoint, []byte("model "+next.SHA256[:10]))
	seen := ""
	if info, err := w.st.Stat(ctx, "promoted.json"); err == nil {
		seen = info.Generation
	}
	if next.By != promotion.ByRound {
		next.At = w.now.Format(time.RFC3339)
	}
	now, _, err := promotion.Swap(ctx, w.st, next, seen)
	if err != nil {
		w.t.Fatal(err)
	}
	if n := len(w.promoted); n > 0 && w.promoted[n-1].Number == now.Number {
		return // it was in service
	}
	data, err := store.MarshalSealed(now)
	if err != nil {
		w.t.Fatal(err)
	}
	name := fmt.Sprintf("promotions/%08d-%.12x.json", now.Number, sha256.Sum256(data))
	w.folders[name] = []string{name}
	w.promoted = append(w.promoted, &madePromotion{*now, name, set})
}

// byName returns the promotion with a record of that name.
func (w *world) byName(name string) *madePromotion {
	for _, p := range w.promoted {
		if p.name == name {
			return p
		}
	}
	w.t.Fatalf("no promotion %s", name)
	return nil
}

// arrived returns the promotion with which a model came into service first.
func (w *world) arrived(p *madePromotion) *madePromotion {
	if p.Restores == "" {
		return p
	}
	return w.byName(p.Restores)
}

// rollback puts the model back that was in service before.
func (w *world) rollback() {
	if len(w.promoted) == 0 {
		return
	}
	now := w.arrived(w.promoted[len(w.promoted)-1])
	if now.Previous == "" {
		return
	}
	before := w.arrived(w.byName(now.Previous))
	w.install(promotion.Promoted{SHA256: before.SHA256, Set: before.Promoted.Set, By: promotion.ByRollback, From: before.From, Round: before.Round,
		Decision: before.Decision, Restores: before.name}, before.set)
}

// claim writes a claim: of a living process, or of one that was interrupted.
func (w *world) claim(live bool) {
	began := w.now.Add(-time.Duration(w.r.IntN(20*24)) * time.Hour)
	c := &madeClaim{name: "gc/claims/" + w.hex(26) + ".json", began: began, live: live}
	for range 1 + w.r.IntN(3) {
		if len(w.runs) > 0 && w.chance(0.7) {
			c.keys = append(c.keys, pick(w, w.runs).key)
		}
		if len(w.sets) > 0 {
			c.keys = append(c.keys, pick(w, w.sets).key)
		}
		if len(w.promoted) > 0 && w.chance(0.3) {
			c.keys = append(c.keys, pick(w, w.promoted).SHA256)
		}
	}
	use := map[string]any{"what": "round", "began": began, "keys": c.keys}
	value, err := json.Marshal(use)
	if err != nil {
		w.t.Fatal(err)
	}
	if live {
		w.lease(c.name, value)
		w.folders[c.name] = []string{c.name}
	} else {
		w.seal(c.name, c.name, map[string]any{"format": "quire-lease/1", "value": use})
	}
	w.claims = append(w.claims, c)
}

// lease takes a lease until the world ends.
func (w *world) lease(name string, value json.RawMessage) {
	w.t.Helper()
	l, err := store.Acquire(context.Background(), w.st, name, &store.LeaseOptions{Value: value})
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends = append(w.ends, func() { _ = l.Release(context.Background()) })
}

// sweep writes the table of a sweep, over runs of its own and of rounds.
func (w *world) sweep(named bool) {
	p := &madeSweep{key: w.key(), named: named}
	table := "trial,nats,split,step,parameters,run,train.lr\n"
	for i := range 1 + w.r.IntN(3) {
		r := w.newRunOr(w.newSetOr(0.7), 0.3)
		p.runs = append(p.runs, r)
		w.outcome("evaluate", w.key(), "evaluation", w.hex(64), map[string]string{"model": r.sha})
		table += fmt.Sprintf("%d,1.5,validation,10,100,runs/%s,0.1\n", i+1, r.key)
	}
	folder := "sweeps/" + p.key
	w.put(folder, folder+"/sweep.csv", []byte(table))
	w.fill(folder, "sweep.png", "best.yaml")
	w.sweeps = append(w.sweeps, p)
}

// stranger writes a file that quire has not made.
func (w *world) stranger() {
	places := []string{"notes.txt", "rounds/README", "stages/mine/x.json", "sets/mine/data.txt", "runs/plots/a.png", "promoted/backup.safetensors",
		"schedule/slots/old.json", "sweeps/readme.md", "promotions/why.txt", "mine/a/b.txt", "gc/claims/x/y.json", "set/manifest.json"}
	for _, r := range w.runs {
		places = append(places, "runs/"+r.key+"/notes.txt", "runs/"+r.key+"/events.out.tfevents.1700000000.host")
	}
	for _, s := range w.sets {
		places = append(places, "sets/"+s.key+"/README.md")
	}
	name := pick(w, places)
	if !slices.Contains(w.foreign, name) {
		w.put("", name, []byte("of a person"))
		w.foreign = append(w.foreign, name)
	}
}

// orphan leaves what a killed process leaves: files without a pointer to them.
func (w *world) orphan() {
	w.orphans++
	switch w.r.IntN(6) {
	case 5:
		if n := len(w.promoted); n > 0 { // a promotion that was killed before its record came into service
			p := promotion.Promoted{Format: "quire-promoted/2", Number: w.promoted[n-1].Number + 1, Bytes: 10, SHA256: w.hex(64), By: promotion.ByRound}
			p.Checkpoint = "promoted/" + p.SHA256 + ".safetensors"
			w.put(p.Checkpoint, p.Checkpoint, []byte("model"))
			data, err := store.MarshalSealed(&p)
			if err != nil {
				w.t.Fatal(err)
			}
			name := fmt.Sprintf("promotions/%08d-%.12x.json", p.Number, sha256.Sum256(data))
			w.put(name, name, data)
		}
	case 0:
		w.fill("sets/"+w.key(), "train-00000-of-00002.tfrecord")
	case 1:
		w.newRun(w.newSetOr(0.8), false)
	case 2:
		w.fill("corpora/"+w.key(), "any name.txt", "below/another")
	case 3:
		name := "promoted/" + w.hex(64) + ".safetensors"
		w.put(name, name, []byte("killed before its record"))
	case 4:
		w.outcome("sample", w.key(), "sample", w.hex(64), nil)
	}
}

// act lets one thing happen.
func (w *world) act() {
	switch n := w.r.IntN(20); {
	case n < 9:
		w.round()
	case n == 9 && len(w.runs) > 0:
		if r := pick(w, w.runs); r.whole {
			w.promote(r, promotion.ByHand, "", "")
		}
	case n == 10 || n == 11:
		w.rollback()
	case n == 12 && len(w.runs) > 0:
		r := pick(w, w.runs)
		if !r.pinned {
			r.pinned = true
			w.put("", "runs/"+r.key+"/pins.txt", []byte("# the good one\n10\n"))
		}
	case n == 13 && len(w.runs) > 0:
		if r := pick(w, w.runs); !r.held {
			r.held = true
			w.lease("runs/"+r.key+"/run.json", nil)
		}
	case n == 14:
		w.claim(true)
	case n == 15:
		w.claim(false)
	case n == 16:
		w.sweep(w.chance(0.5))
	case n == 17:
		w.stranger()
	case n == 18:
		w.orphan()
	case n == 19 && w.running == "" && len(w.rounds) > 0:
		w.running = pick(w, w.rounds).id
		slot, _ := time.Parse("20060102T150405Z", w.running)
		w.replace("schedule/state.json", map[string]any{"format": "quire-schedule/1", "decided": slot, "began": slot, "ended": slot, "beat": 1,
			"running": map[string]any{"slot": slot, "up_to": slot, "began": slot, "holder": "nobody"}})
	}
}

// end gives the leases up.
func (w *world) end() {
	for _, end := range w.ends {
		end()
	}
}

// snapshot returns the bytes of all files.
func (w *world) snapshot() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	if w.dir == "" {
		list, err := w.st.List(context.Background(), "")
		if err != nil {
			w.t.Fatal(err)
		}
		for _, info := range list {
			all[info.Name] = w.read(info.Name)
		}
		return all
	}
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(d.Name(), ".tmp-") {
			name, _ := filepath.Rel(w.dir, path)
			all[name] = w.read(name)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

// read returns the bytes of a file; none where it is absent, as is one that a lease renews.
func (w *world) read(name string) string {
	w.t.Helper()
	var data []byte
	var err error
	if w.dir == "" {
		data, _, err = w.st.Read(context.Background(), name)
	} else {
		data, err = os.ReadFile(filepath.Join(w.dir, name))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(data)
}

// memory makes temporary folders that lie in memory, if the machine has some.
func memory(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm")
	}
}

// emptyFolders returns the folders without anything below a directory.
func emptyFolders(t testing.TB, dir string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if entries, _ := os.ReadDir(path); len(entries) == 0 {
				list = append(list, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
